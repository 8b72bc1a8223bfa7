"""In which order the cells of a block are advanced by a pair of steps, an even and an odd one.

Rules (held by a test that executes the plan on marks in place of populations):

- the even step of a cell touches its own slots alone; the odd one touches its 18 neighbours' as well, so it waits for
  the even steps of all of them, and the next even step of any of them waits for it;
- cells at a shared face (the skin) are sent when their even step is done, and what their neighbours' odd step
  returns must have come before their next one.

So the skin goes first, its populations travel while the inner cells advance, and what the odd step returns travels
while the next pair's inner cells do. Inner cells take both steps in one sweep while they lie in the cache: rows of
a tile along y, plane by plane along z, the odd step one row and one plane behind the even one. That halves the
traffic to memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from workload.grid import shell

Range = tuple[int, int]
Ends = tuple[str, str]  # of an axis, low and high: "wall", "cut" (another rank's), "wrap" (the block's own other end)

SEGMENTS = 5  # of a row: two cells at each cut end stand apart, one by one


class Sweep(NamedTuple):
    """Cells that take the same step: rows y0 ... y1 of planes z0 ... z1, segments s0 ... s1 of each row."""

    odd: int
    z0: int
    z1: int
    y0: int
    y1: int
    s0: int
    s1: int


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A pair of steps: `skin`, send; `inner`, in chunks; receive; `rest`, return. The order of the chunks counts."""

    skin: list[Sweep]
    inner: list[list[Sweep]]
    rest: list[Sweep]


def segments(cells: int, ends: Ends) -> list[int]:
    """Bounds of a row's SEGMENTS segments: depth 0, depth 1, inner, depth 1, depth 0; all inner if nothing is cut."""
    if "cut" not in ends:
        return [0, 0, 0, cells, cells, cells]
    low, low_2 = min(1, cells), min(2, cells)
    high = max(low, cells - 1)
    high_2 = max(min(low_2, high), cells - 2)
    return [0, low, min(low_2, high), high_2, high, cells]


def _margin(cells: int, ends: Ends, depth: dict[str, int]) -> Range:
    start = depth[ends[0]]
    return start, max(start, cells - depth[ends[1]])


def plan(shape: Sequence[int], ends: Sequence[Ends], *, tile: int | None, chunks: int = 8) -> Schedule:
    """The schedule for a block of `shape` cells (x, y, z) with these ends; `tile` rows are swept together.

    tile None is for a device that has no use for sweeps: the inner cells take their even steps, then their odd ones.
    """
    _, ny, nz = shape
    cut_x = "cut" in ends[0]
    depth_even, depth_odd = {"wall": 0, "wrap": 0, "cut": 1}, {"wall": 0, "wrap": 1, "cut": 2}
    whole = ((0, nz), (0, ny), (0, SEGMENTS))
    even = (
        _margin(nz, ends[2], depth_even),
        _margin(ny, ends[1], depth_even),
        (1, SEGMENTS - 1) if cut_x else (0, SEGMENTS),
    )
    odd = (
        _margin(nz, ends[2], depth_odd),
        _margin(ny, ends[1], depth_odd),
        (2, SEGMENTS - 2) if cut_x else (0, SEGMENTS),
    )
    if any(stop <= start for start, stop in even):
        even = ((0, 0), (0, 0), (0, 0))
    if tile is None:
        boxes = ((0, even), (1, odd))
        sweeps = [Sweep(parity, *z, *y, *s) for parity, (z, y, s) in boxes if z[0] < z[1] and y[0] < y[1]]
        chunks = 2
    else:
        sweeps = _sweep(even, odd, tile)
    size = max(1, -(-len(sweeps) // chunks))
    done = odd if even != ((0, 0), (0, 0), (0, 0)) else ((0, 0), (0, 0), (0, 0))
    return Schedule(
        skin=[Sweep(0, *z, *y, *s) for z, y, s in shell(whole, even)],
        inner=[sweeps[k : k + size] for k in range(0, len(sweeps), size)],
        rest=[Sweep(1, *z, *y, *s) for z, y, s in shell(whole, done)],
    )


def _sweep(even: tuple[Range, Range, Range], odd: tuple[Range, Range, Range], tile: int) -> list[Sweep]:
    """Both steps of the inner cells, tile by tile along y and plane by plane along z."""
    (z_start, z_stop), (y_start, y_stop), columns = even
    sweeps = []
    for y0 in range(y_start, y_stop, tile):
        y1 = min(y0 + tile, y_stop)
        first = max(odd[1][0], y0 - 1 if y0 > y_start else y0)
        last = min(odd[1][1], y1 - 1 if y1 < y_stop else y1)
        for z in range(z_start, z_stop + 1):
            if z < z_stop:
                sweeps.append(Sweep(0, z, z + 1, y0, y1, *columns))
            behind = z - 1
            if odd[0][0] <= behind < odd[0][1] and first < last:
                sweeps.append(Sweep(1, behind, z, first, last, *odd[2]))
    return sweeps
