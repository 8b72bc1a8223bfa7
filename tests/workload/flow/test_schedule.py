"""The order of a pair of steps, executed on marks in place of populations."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workload.kernels.flow.schedule import Ends, Schedule, Sweep, plan, segments

ENDS: tuple[Ends, ...] = (("wall", "wall"), ("wrap", "wrap"), ("cut", "cut"), ("wall", "cut"), ("cut", "wall"))
NEAR = [offset for offset in product((-1, 0, 1), repeat=3) if any(offset)]


class Marks:
    """How many half steps each cell of a block has done; refuses one that comes too early."""

    def __init__(self, shape: tuple[int, int, int], ends: tuple[Ends, ...]) -> None:
        self.shape, self.ends = shape, ends
        self.columns = segments(shape[0], ends[0])
        self.done = np.zeros(shape, dtype=int)
        self.sent = False  # the skin's populations
        self.received = False

    def cells(self, sweep: Sweep) -> list[tuple[int, int, int]]:
        columns = range(self.columns[sweep.s0], self.columns[sweep.s1])
        return list(product(columns, range(sweep.y0, sweep.y1), range(sweep.z0, sweep.z1)))

    def shared(self, cell: tuple[int, int, int]) -> bool:
        """Whether a neighbour of the cell is another rank's."""
        return any(
            (at == 0 and low == "cut") or (at == n - 1 and high == "cut")
            for at, n, (low, high) in zip(cell, self.shape, self.ends, strict=True)
        )

    def neighbours(self, cell: tuple[int, int, int]) -> list[tuple[int, int, int]]:
        found = []
        for offset in NEAR:
            at = [
                (c + o) % n if ends[0] == "wrap" else c + o
                for c, o, n, ends in zip(cell, offset, self.shape, self.ends, strict=True)
            ]
            if all(0 <= a < n for a, n in zip(at, self.shape, strict=True)):
                found.append((at[0], at[1], at[2]))
        return found

    def run(self, sweeps: list[Sweep]) -> None:
        for sweep in sweeps:
            for cell in self.cells(sweep):
                if sweep.odd:
                    assert self.done[cell] == 1, "one odd step, after the even one"
                    assert all(self.done[near] >= 1 for near in self.neighbours(cell)), "neighbours' even steps first"
                    assert self.received or not self.shared(cell), "what other ranks send comes first"
                else:
                    assert self.done[cell] == 0, "one even step"
                    assert not self.shared(cell) or not self.sent, "what is sent has had its even step"
                self.done[cell] += 1


def execute(schedule: Schedule, marks: Marks, *, returned_after: int) -> None:
    """As `Flow.advance` does; what other ranks gave back comes after so many chunks."""
    half = -(-len(schedule.inner) // 2)
    assert returned_after <= half
    for chunk in schedule.inner[:half]:
        before = marks.done.copy()
        marks.run(chunk)
        changed = np.argwhere(marks.done != before)
        assert not any(marks.shared(tuple(cell)) for cell in changed), "the last pair's returns may not have come"
    marks.run(schedule.skin)
    marks.sent = True
    skin = [cell for cell in np.ndindex(marks.shape) if marks.shared(cell)]
    assert all(marks.done[cell] == 1 for cell in skin)
    for chunk in schedule.inner[half:]:
        marks.run(chunk)
    marks.received = True
    marks.run(schedule.rest)


@given(
    shape=st.tuples(*[st.integers(1, 9)] * 3),
    ends=st.tuples(*[st.sampled_from(ENDS)] * 3),
    tile=st.one_of(st.none(), st.integers(1, 10)),
)
@settings(max_examples=150, deadline=None)
def test_every_cell_takes_both_steps_once_and_never_too_early(
    shape: tuple[int, int, int], ends: tuple[Ends, Ends, Ends], tile: int | None
) -> None:
    marks = Marks(shape, ends)
    execute(plan(shape, ends, tile=tile), marks, returned_after=0)
    assert (marks.done == 2).all()


def test_most_cells_take_both_steps_in_one_sweep() -> None:
    shape = (160, 160, 80)
    schedule = plan(shape, (("wall", "wall"), ("wall", "wall"), ("cut", "wall")), tile=16)
    marks = Marks(shape, (("wall", "wall"), ("wall", "wall"), ("cut", "wall")))
    swept = sum(len(marks.cells(sweep)) for chunk in schedule.inner for sweep in chunk)
    assert swept > 0.95 * 2 * 160 * 160 * 80


def test_the_marks_do_notice_a_schedule_that_is_wrong() -> None:
    shape, ends = (4, 4, 4), (("wall", "wall"),) * 3
    with pytest.raises(AssertionError, match="neighbours' even steps first"):
        Marks(shape, ends).run([Sweep(0, 0, 1, 0, 4, 0, 5), Sweep(1, 0, 1, 0, 4, 0, 5)])
