"""The division of a grid over ranks."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from workload.grid import Decomposition, GridError, decompose, interval, shell

AXES = st.lists(st.integers(1, 12), min_size=1, max_size=3)


@given(cells=st.integers(1, 200), parts=st.integers(1, 50))
def test_intervals_cover_an_axis_in_order_and_differ_by_at_most_one_cell(cells: int, parts: int) -> None:
    found = [interval(cells, parts, index) for index in range(parts)]
    assert [cell for start, count in found for cell in range(start, start + count)] == list(range(cells))
    assert max(count for _, count in found) - min(count for _, count in found) <= 1


@given(cells=AXES, ranks=st.integers(1, 24), periodic=st.lists(st.booleans(), min_size=3, max_size=3))
def test_every_cell_belongs_to_exactly_one_rank(cells: list[int], ranks: int, periodic: list[bool]) -> None:
    try:
        found = decompose(cells, ranks, periodic=periodic[: len(cells)])
    except GridError:
        assume(False)
    owners = np.zeros(cells, dtype=int)
    for rank in range(found.ranks):
        block = found.block(rank)
        assert block.cells > 0
        owners[tuple(slice(a, b) for a, b in zip(block.start, block.stop, strict=True))] += 1
        assert found.rank(found.place(rank)) == rank
    assert found.ranks == ranks
    assert (owners == 1).all()


@given(cells=AXES, ranks=st.integers(1, 24), periodic=st.lists(st.booleans(), min_size=3, max_size=3))
def test_neighbours_see_each_other_from_opposite_sides(cells: list[int], ranks: int, periodic: list[bool]) -> None:
    try:
        found = decompose(cells, ranks, periodic=periodic[: len(cells)])
    except GridError:
        assume(False)
    for rank in range(ranks):
        for axis in range(len(cells)):
            for step in (-1, 1):
                offset = [step * (k == axis) for k in range(len(cells))]
                peer = found.neighbour(rank, offset)
                if peer is None:
                    assert not found.periodic[axis]
                else:
                    assert found.neighbour(peer, [-e for e in offset]) == rank


def test_the_cut_with_the_smallest_faces_is_taken() -> None:
    assert decompose((100, 10, 10), 4, periodic=(False,) * 3).parts == (4, 1, 1)
    assert decompose((64, 64, 64), 8, periodic=(False,) * 3).parts == (2, 2, 2)
    assert decompose((64, 64, 64), 2, periodic=(False,) * 3, face_cost=(8, 1, 1)).parts[0] == 1


@pytest.mark.parametrize(("cells", "ranks", "most"), [((4, 3, 1), 13, 12), ((5, 1, 1), 7, 5), ((5, 5, 5), 7, 6)])
def test_more_ranks_than_planes_are_refused_with_the_number_that_would_do(
    cells: tuple[int, ...], ranks: int, most: int
) -> None:
    with pytest.raises(GridError, match=rf"{ranks} ranks cannot share a grid of .* use {most} ranks or fewer"):
        decompose(cells, ranks, periodic=(False,) * 3)


@pytest.mark.parametrize(("cells", "ranks"), [((0, 3, 1), 1), ((4, 4, 4), 0), ((2, 2, 2, 2), 1)])
def test_empty_grids_and_no_ranks_are_refused(cells: tuple[int, ...], ranks: int) -> None:
    with pytest.raises(GridError, match="allowed: 1 to 3 axes of at least 1 cell each"):
        decompose(cells, ranks, periodic=(False,) * len(cells))


@given(
    outer=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=3),
    data=st.data(),
)
def test_a_shell_and_its_core_make_the_whole_box_without_overlap(
    outer: list[tuple[int, int]], data: st.DataObject
) -> None:
    outer = [(min(pair), max(pair)) for pair in outer]
    inner = [tuple(sorted(data.draw(st.tuples(st.integers(a, b), st.integers(a, b))))) for a, b in outer]
    seen = np.zeros([6] * len(outer), dtype=int)
    boxes = shell(outer, inner)  # type: ignore[arg-type]  # sorted() forgets that these are pairs
    for box in [*boxes, inner] if all(a < b for a, b in inner) else boxes:
        seen[tuple(slice(a, b) for a, b in box)] += 1
    expected = np.zeros_like(seen)
    expected[tuple(slice(a, b) for a, b in outer)] = 1
    assert (seen == expected).all()


def test_places_of_ranks_run_along_the_last_axis_first() -> None:
    found = Decomposition(cells=(4, 4, 4), parts=(2, 1, 2), periodic=(False,) * 3)
    assert [found.place(rank) for rank in range(4)] == [(0, 0, 0), (0, 0, 1), (1, 0, 0), (1, 0, 1)]
    assert math.prod(found.parts) == found.ranks
