"""Blocks into pieces and back, whatever cuts of the array wrote and read them."""

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from workload.checkpoint import Block
from workload.checkpoint.blocks import pieces, read_blocks, write_blocks
from workload.checkpoint.fit import describe, misfits, tiling_problem
from workload.manifest import Array
from workload.vault.folder import FolderStore

Cuts = tuple[tuple[int, ...], ...]
FOLDER = "step-000000000001-0123abcd"


@given(st.lists(st.integers(0, 9), max_size=4), st.sampled_from([1, 4, 8]), st.integers(1, 300))
def test_pieces_fill_a_box_once_and_stay_below_the_limit(shape: list[int], itemsize: int, limit: int) -> None:
    filled = np.zeros(shape, dtype=int)
    for offset, part in pieces(shape, itemsize, limit):
        filled[tuple(slice(o, o + n) for o, n in zip(offset, part, strict=True))] += 1
        assert math.prod(part) * itemsize <= max(limit, itemsize)
    assert (filled == 1).all()


@st.composite
def arrays_and_cuts(draw: st.DrawFn) -> tuple[tuple[int, ...], Cuts, Cuts]:
    shape = tuple(draw(st.lists(st.integers(1, 7), min_size=1, max_size=3)))

    def cuts() -> Cuts:
        return tuple(tuple(sorted({0, *draw(st.lists(st.integers(0, n), max_size=2)), n})) for n in shape)

    return shape, cuts(), cuts()


def _blocks(array: NDArray[Any], cuts: Cuts) -> list[Block]:
    """The blocks of a decomposition: each with a copy of its part, inside a larger array with a halo."""
    made = []
    for corner in itertools.product(*[itertools.pairwise(cut) for cut in cuts]):
        halo = np.full([high - low + 2 for low, high in corner], 1, dtype=array.dtype)
        inside = halo[tuple(slice(1, -1) for _ in corner)]
        inside[...] = array[tuple(slice(low, high) for low, high in corner)]
        made.append(Block(data=inside, shape=array.shape, offset=tuple(low for low, _ in corner)))
    return made


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrays_and_cuts(), st.sampled_from(["<f8", ">i2", "|b1", "<c16", "|u1", "<f4"]))
def test_what_one_decomposition_wrote_any_other_reads(
    tmp_path_factory: pytest.TempPathFactory, cut: tuple[tuple[int, ...], Cuts, Cuts], dtype: str
) -> None:
    shape, written_by, read_by = cut
    store = FolderStore(str(tmp_path_factory.mktemp("store")))
    store.make_folder(FOLDER)
    array = (np.arange(math.prod(shape)) % 251).reshape(shape).astype(dtype)
    found = [
        piece
        for rank, block in enumerate(_blocks(array, written_by))
        for piece in write_blocks(store, FOLDER, rank, {"a": block})["a"]
    ]
    arrays = {"a": Array(dtype=array.dtype.str, shape=shape, pieces=tuple(found))}
    for block in _blocks(np.zeros_like(array), read_by):
        assert read_blocks(store, FOLDER, arrays, {"a": block}) == []
        low = block.offset
        part = tuple(slice(o, o + n) for o, n in zip(low, block.data.shape, strict=True))
        np.testing.assert_array_equal(block.data, array[part])


def test_a_block_larger_than_a_piece_is_cut_and_put_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FolderStore(str(tmp_path))
    store.make_folder(FOLDER)
    array = np.random.default_rng(1).random((5, 2 << 20))  # 80 MiB: rows of 16, pieces of at most 64
    block = Block(data=array, shape=array.shape, offset=(0, 0))
    found = write_blocks(store, FOLDER, 0, {"a": block})["a"]
    assert [piece.shape for piece in found] == [(4, 2 << 20), (1, 2 << 20)]
    back = np.zeros_like(array)
    arrays = {"a": Array(dtype="<f8", shape=array.shape, pieces=tuple(found))}
    assert read_blocks(store, FOLDER, arrays, {"a": Block(data=back, shape=array.shape, offset=(0, 0))}) == []
    np.testing.assert_array_equal(back, array)


def test_a_hole_that_no_piece_fills_is_damage(tmp_path: Path) -> None:
    store = FolderStore(str(tmp_path))
    store.make_folder(FOLDER)
    array = np.arange(10.0)
    found = write_blocks(store, FOLDER, 0, {"a": Block(data=array[:6], shape=(10,), offset=(0,))})["a"]
    arrays = {"a": Array(dtype="<f8", shape=(10,), pieces=tuple(found))}
    damage = read_blocks(store, FOLDER, arrays, {"a": Block(data=np.zeros(10), shape=(10,), offset=(0,))})
    assert len(damage) == 1
    assert "is filled with 6 of 10" in damage[0]


def test_a_number_without_dimensions_is_an_array_too(tmp_path: Path) -> None:
    store = FolderStore(str(tmp_path))
    store.make_folder(FOLDER)
    found = write_blocks(store, FOLDER, 0, {"t": Block(data=np.array(2.5), shape=(), offset=())})["t"]
    back = np.array(0.0)
    arrays = {"t": Array(dtype="<f8", shape=(), pieces=tuple(found))}
    assert read_blocks(store, FOLDER, arrays, {"t": Block(data=back, shape=(), offset=())}) == []
    assert back == 2.5


def test_a_decomposition_fits_and_an_overlap_or_a_hole_does_not() -> None:
    assert not tiling_problem("a", (4, 4), [((0, 0), (2, 4)), ((2, 0), (2, 2)), ((2, 2), (2, 2)), ((0, 0), (0, 4))])
    assert "all blocks together have 12" in tiling_problem("a", (4, 4), [((0, 0), (2, 4)), ((2, 0), (1, 4))])
    assert "overlaps" in tiling_problem("a", (4, 4), [((0, 0), (3, 4)), ((2, 0), (1, 4))])
    assert "overlaps" in tiling_problem("a", (4, 4), [((0, 0), (4, 2)), ((1, 0), (1, 4)), ((3, 0), (1, 4))])


def test_every_problem_of_all_ranks_is_named_at_once() -> None:
    good = Block(data=np.zeros(2), shape=(4,), offset=(0,))
    outside = Block(data=np.zeros(2), shape=(4,), offset=(3,))
    objects = Block(data=np.array([None, None]), shape=(4,), offset=(0,))
    flat = Block(data=np.zeros((2, 2)), shape=(4,), offset=(0,))
    problems = misfits(
        [
            describe({"a": good, "not a name": good}),
            describe({"a": outside, "not a name": objects}),
            describe({"a": flat}),
        ]
    )
    text = "\n".join(problems)
    for part in ("does not lie in (4,)", "Python objects", "differ in dimensions", "'not a name'", "rank 2 has other"):
        assert part in text
    assert misfits([describe({"a": good}), describe({"a": Block(data=np.zeros(2), shape=(4,), offset=(2,))})]) == []
