"""A rank's part of a global array, in memory and in pieces in a store. No MPI: nothing here is collective."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from workload.manifest import Array, Piece
from workload.vault.inventory import mismatch
from workload.vault.store import LostError, Store

PIECE_BYTES: Final = 64 << 20  # at most: one S3 request each, and what one thread holds where it must copy

Box = tuple[tuple[int, ...], tuple[int, ...]]  # offset, shape


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """A rank's part of a global array.

    data: this part, of any dtype but object; a view with strides is fine (the inside of a field with a halo).
    shape: of the global array. offset: of `data` in it, one number a dimension. All blocks together fill the array
    without overlap; a rank that has nothing of it passes `data` of size 0.
    """

    data: NDArray[Any]
    shape: tuple[int, ...]
    offset: tuple[int, ...]

    @classmethod
    def whole(cls, data: NDArray[Any], *, mine: bool) -> Self:
        """An array that one rank alone saves: `mine` on that rank. On restore, the others get nothing either."""
        empty = (0,) * data.ndim
        return cls(
            data=data if mine else data[tuple(slice(0) for _ in data.shape)],
            shape=data.shape,
            offset=empty,
        )


def pieces(shape: Sequence[int], itemsize: int, limit: int = PIECE_BYTES) -> Iterator[Box]:
    """Cut a box into boxes of at most `limit` bytes (or one element), slabs before rows, in C order."""
    size = math.prod(shape) * itemsize
    if not size:
        return
    if size <= limit or not shape:
        yield (0,) * len(shape), tuple(shape)
        return
    axis = next(i for i, n in enumerate(shape) if n > 1) if max(shape) > 1 else 0
    if shape[axis] == 1:
        yield (0,) * len(shape), tuple(shape)
        return
    thick = max(1, limit // (size // shape[axis]))
    for start in range(0, shape[axis], thick):
        slab = list(shape)
        slab[axis] = min(thick, shape[axis] - start)
        for offset, part in pieces(slab, itemsize, limit):
            moved = list(offset)
            moved[axis] += start
            yield tuple(moved), part


def write_blocks(store: Store, folder: str, rank: int, blocks: Mapping[str, Block]) -> dict[str, list[Piece]]:
    """Write all of `blocks` into `folder` and return their pieces, by array.

    Raises
    ------
    StoreError
        The store failed.
    """
    tasks: list[tuple[str, str, Block, Box]] = []
    for name, block in blocks.items():
        tasks += [
            (name, f"{name}.r{rank:05d}.{i:03d}", block, box)
            for i, box in enumerate(pieces(block.data.shape, block.data.itemsize))
        ]

    written: dict[str, list[Piece]] = {name: [] for name in blocks}
    if not tasks:
        return written
    with store.writing(folder) as write, ThreadPoolExecutor(store.writers) as pool:

        def write_one(task: tuple[str, str, Block, Box]) -> tuple[str, Piece]:
            name, file, block, (offset, shape) = task
            data = _bytes_of(np.ascontiguousarray(_view(block.data, offset, shape)))
            crc = write(file, data)
            where = tuple(a + b for a, b in zip(block.offset, offset, strict=True))
            return name, Piece(name=file, offset=where, shape=shape, size=data.nbytes, crc32=crc)

        for name, piece in pool.map(write_one, tasks):
            written[name].append(piece)
    return written


def read_blocks(store: Store, folder: str, arrays: Mapping[str, Array], blocks: Mapping[str, Block]) -> list[str]:
    """Fill `blocks` from `folder`, whatever ranks wrote it, and return the damage found: empty where all is well.

    With damage, what `blocks` hold is undefined.

    Raises
    ------
    StoreError
        The store failed: that says nothing about the checkpoint.
    """
    tasks = [
        (block, piece)
        for name, block in blocks.items()
        for piece in arrays[name].pieces
        if _overlap(piece, block) is not None
    ]
    filled = {id(block): 0 for block in blocks.values()}

    def read(task: tuple[Block, Piece]) -> list[str]:
        block, piece = task
        try:
            crc = _read_piece(store, f"{folder}/{piece.name}", piece, block)
        except LostError as error:
            return [str(error)]
        return mismatch(store, folder, piece, crc)

    damage: list[str] = []
    with ThreadPoolExecutor(store.readers) as pool:
        for problems in pool.map(read, tasks):
            damage += problems
    for block, piece in tasks:
        if (overlap := _overlap(piece, block)) is not None:
            filled[id(block)] += math.prod(overlap[1])
    damage += [
        f"{store.target}/{folder}: {name} at {block.offset} is filled with {filled[id(block)]} of {block.data.size}"
        for name, block in blocks.items()
        if filled[id(block)] != block.data.size
    ]
    return damage


def _read_piece(store: Store, key: str, piece: Piece, block: Block) -> str:
    overlap = _overlap(piece, block)
    if overlap is None:
        raise ValueError(f"{key} has nothing of this block")
    offset, shape = overlap
    target = _view(block.data, [a - b for a, b in zip(offset, block.offset, strict=True)], shape)
    if shape == piece.shape and target.flags.c_contiguous and target.flags.writeable:
        return store.read_piece(key, _bytes_of(target))
    # A piece is read whole, else there is no checksum to compare with.
    whole = np.empty(piece.shape, block.data.dtype)
    if whole.nbytes != piece.size:
        raise LostError(f"{store.target}/{key}: the manifest says {piece.size} bytes for {piece.shape} {whole.dtype}")
    crc = store.read_piece(key, _bytes_of(whole))
    target[...] = _view(whole, [a - b for a, b in zip(offset, piece.offset, strict=True)], shape)
    return crc


def _overlap(piece: Piece, block: Block) -> Box | None:
    low = tuple(max(a, b) for a, b in zip(piece.offset, block.offset, strict=True))
    high = tuple(
        min(a + n, b + m) for a, n, b, m in zip(piece.offset, piece.shape, block.offset, block.data.shape, strict=True)
    )
    shape = tuple(h - a for a, h in zip(low, high, strict=True))
    return None if any(n <= 0 for n in shape) else (low, shape)


def _view(data: NDArray[Any], offset: Sequence[int], shape: Sequence[int]) -> NDArray[Any]:
    # The ellipsis: without it, numpy gives a number and no view where there are no dimensions.
    index: Any = (..., *(slice(o, o + n) for o, n in zip(offset, shape, strict=True)))
    view: NDArray[Any] = data[index]
    return view


def _bytes_of(data: NDArray[Any]) -> memoryview:
    return data.reshape(-1).view(np.uint8).data
