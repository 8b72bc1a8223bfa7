"""What crosses the faces between blocks, planned with integers."""

from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workload.grid import Decomposition
from workload.halo import Crossing, crossings
from workload.kernels.flow.stencil import DIRECTIONS

CELLS = st.integers(1, 5)


def planned(found: Decomposition, rank: int, wraps: Sequence[bool]) -> list[Crossing]:
    def cut(axis: int, step: int) -> bool:
        offset = [step * (k == axis) for k in range(3)]
        return found.parts[axis] > 1 and found.neighbour(rank, offset) is not None

    def shape(offset: tuple[int, ...]) -> tuple[int, ...]:
        peer = found.neighbour(rank, offset)
        return found.block(rank if peer is None else peer).shape

    return [
        crossing
        for crossing in crossings(
            found.block(rank).shape,
            DIRECTIONS,
            cut=[(cut(axis, -1), cut(axis, 1)) for axis in range(3)],
            wraps=wraps,
            owner_shape=shape,
        )
        if found.neighbour(rank, crossing.offset) is not None
    ]


def decompositions() -> st.SearchStrategy[Decomposition]:
    parts = st.tuples(*[st.integers(1, 3)] * 3)
    return st.builds(
        lambda parts, extra, periodic: Decomposition(
            cells=tuple(p + e for p, e in zip(parts, extra, strict=True)), parts=parts, periodic=periodic
        ),
        parts,
        st.tuples(CELLS, CELLS, CELLS),
        st.tuples(*[st.booleans()] * 3),
    )


@given(found=decompositions())
@settings(max_examples=60, deadline=None)
def test_exactly_the_slots_that_own_cells_reach_are_fetched_each_from_its_owner(found: Decomposition) -> None:
    wraps = [closes and parts == 1 for closes, parts in zip(found.periodic, found.parts, strict=True)]
    for rank in range(found.ranks):
        block = found.block(rank)
        reached = set()
        for cell in product(*map(range, block.shape)):
            for population, direction in enumerate(DIRECTIONS):
                place = [
                    (c + e) % n if wrap else c + e
                    for c, e, n, wrap in zip(cell, direction, block.shape, wraps, strict=True)
                ]
                inside = all(0 <= p < n for p, n in zip(place, block.shape, strict=True))
                world = [p + s for p, s in zip(place, block.start, strict=True)]
                exists = all(
                    closes or 0 <= w < n for w, n, closes in zip(world, found.cells, found.periodic, strict=True)
                )
                if not inside and exists:
                    reached.add((population, *place))
        fetched = {}
        for crossing in planned(found, rank, wraps):
            peer = found.neighbour(rank, crossing.offset)
            assert peer is not None
            theirs = found.block(peer)
            ghosts = product(*(range(*axis) for axis in crossing.ghost))
            owned = product(*(range(*axis) for axis in crossing.owner))
            for ghost, owner in zip(ghosts, owned, strict=True):
                key = (crossing.population, *ghost)
                assert key not in fetched
                fetched[key] = peer
                assert all(0 <= o < n for o, n in zip(owner, theirs.shape, strict=True))
                here = [(g + s) % n for g, s, n in zip(ghost, block.start, found.cells, strict=True)]
                assert here == [o + s for o, s in zip(owner, theirs.start, strict=True)]
        assert set(fetched) == reached


def test_five_populations_cross_a_face_and_one_an_edge() -> None:
    found = Decomposition(cells=(8, 8, 8), parts=(2, 2, 2), periodic=(True, True, True))
    count: dict[int, set[int]] = {1: set(), 2: set(), 3: set()}
    for crossing in planned(found, 0, (False, False, False)):
        count[sum(map(abs, crossing.offset))].add(crossing.population)
    by_offset = [c for c in planned(found, 0, (False,) * 3) if c.offset == (1, 0, 0)]
    assert len({c.population for c in by_offset}) == 5
    assert len([c for c in planned(found, 0, (False,) * 3) if c.offset == (1, 1, 0)]) == 1
    assert not count[3]


@pytest.mark.parametrize("axis", range(3))
def test_without_a_cut_nothing_crosses(axis: int) -> None:
    found = Decomposition(cells=(4, 4, 4), parts=(1, 1, 1), periodic=tuple(k == axis for k in range(3)))
    assert planned(found, 0, [k == axis for k in range(3)]) == []
