"""Whether blocks fit: those of all ranks together, and those of a run to a checkpoint. No MPI: judged on one rank."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workload.checkpoint.blocks import Block, Box
from workload.manifest import ARRAY_NAME, Manifest


@dataclass(frozen=True, kw_only=True)
class Description:
    """What one rank says of its block: enough to judge without the data."""

    dtype: str
    shape: tuple[int, ...]
    offset: tuple[int, ...]
    part: tuple[int, ...]  # the shape of this rank's data
    objects: bool

    @property
    def array(self) -> tuple[str, tuple[int, ...]]:
        """What all ranks must say alike."""
        return self.dtype, self.shape

    def problems(self, name: str) -> list[str]:
        """What is wrong with this block by itself."""
        found = []
        if not ARRAY_NAME.fullmatch(name):
            found.append(f"array name {name!r}; allowed: a letter or _, then up to 63 letters, digits, _ and -")
        if self.objects:
            found.append(f"{name}: dtype {self.dtype} holds Python objects; allowed: plain numbers")
        if not len(self.shape) == len(self.offset) == len(self.part):
            found.append(f"{name}: shape {self.shape}, offset {self.offset}, data {self.part} differ in dimensions")
        elif math.prod(self.part) and not all(
            o >= 0 and o + n <= whole for o, n, whole in zip(self.offset, self.part, self.shape, strict=True)
        ):
            found.append(f"{name}: data {self.part} at {self.offset} does not lie in {self.shape}")
        return found


Descriptions = Mapping[str, Description]


def describe(blocks: Mapping[str, Block]) -> dict[str, Description]:
    return {
        name: Description(
            dtype=block.data.dtype.str,
            shape=tuple(int(n) for n in block.shape),
            offset=tuple(int(n) for n in block.offset),
            part=block.data.shape,
            objects=block.data.dtype.hasobject,
        )
        for name, block in blocks.items()
    }


def misfits(everyone: Sequence[Descriptions]) -> list[str]:
    """Why the blocks of all ranks, in rank order, are no arrays; empty where they are."""
    found = [problem for mine in everyone for name, block in mine.items() for problem in block.problems(name)]
    arrays = [{name: block.array for name, block in mine.items()} for mine in everyone]
    found += [
        f"rank {rank} has other arrays than rank 0: {mine}, not {arrays[0]}"
        for rank, mine in enumerate(arrays)
        if mine != arrays[0]
    ]
    if not found and everyone:
        for name, first in everyone[0].items():
            boxes = [(mine[name].offset, mine[name].part) for mine in everyone]
            found.append(tiling_problem(name, first.shape, boxes))
    return list(dict.fromkeys(problem for problem in found if problem))


def differences(manifest: Manifest, blocks: Mapping[str, Block], case: Mapping[str, Any]) -> list[str]:
    """What a checkpoint and a run do not have in common: arrays, dtypes, shapes, and the case."""
    there = {name: (array.dtype, array.shape) for name, array in manifest.arrays.items()}
    here = {name: (block.data.dtype.str, tuple(block.shape)) for name, block in blocks.items()}
    return [
        f"{key}: {a} there, {b} here"
        for one, other in ((there, here), (manifest.case, case))
        for key in sorted({*one, *other})
        if (a := one.get(key, "nothing")) != (b := other.get(key, "nothing"))
    ]


def tiling_problem(name: str, shape: Sequence[int], boxes: Sequence[Box]) -> str:
    """Why `boxes` do not fill `shape` without overlap; "" where they do. Boxes without elements do not count."""
    real = [(o, n) for o, n in boxes if math.prod(n)]
    filled = sum(math.prod(n) for _, n in real)
    if filled != math.prod(shape):
        return f"{name}: all blocks together have {filled} elements, the array {tuple(shape)} has {math.prod(shape)}"
    if len(real) < 2 or not shape:
        return ""
    low = np.array([o for o, _ in real])
    high = low + np.array([n for _, n in real])
    order = np.lexsort(low.T[::-1])
    low, high = low[order], high[order]
    for i in range(len(low) - 1):
        # Sorted by the first axis: only those that start before this one ends can meet it.
        rivals = slice(i + 1, i + 1 + int(np.searchsorted(low[i + 1 :, 0], high[i, 0])))
        if np.any(np.all((low[rivals] < high[i]) & (high[rivals] > low[i]), axis=1)):
            return f"{name}: the block at {tuple(low[i].tolist())} overlaps another one"
    return ""
