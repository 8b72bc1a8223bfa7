"""Cartesian decomposition of a box of cells over ranks: pure integers, 1 to 3 dimensions.

Every rank gets a block, the product of one interval an axis; the intervals of an axis differ by at most one cell.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product


class GridError(ValueError):
    """A grid that cannot be divided as asked."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """The cells of one rank: from `start`, inclusive, `shape` many, along each axis."""

    start: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def stop(self) -> tuple[int, ...]:
        return tuple(start + count for start, count in zip(self.start, self.shape, strict=True))

    @property
    def cells(self) -> int:
        return math.prod(self.shape)


def interval(cells: int, parts: int, index: int) -> tuple[int, int]:
    """(start, count) of part `index` of `cells` cells in `parts` parts; the first parts have the cells left over."""
    count, left = divmod(cells, parts)
    return index * count + min(index, left), count + (index < left)


@dataclass(frozen=True, kw_only=True)
class Decomposition:
    """How `cells` (a count an axis) are divided into `parts` (a count an axis); `periodic` says which axes close.

    Ranks are numbered with the last axis running fastest.
    """

    cells: tuple[int, ...]
    parts: tuple[int, ...]
    periodic: tuple[bool, ...]

    @property
    def ranks(self) -> int:
        return math.prod(self.parts)

    def place(self, rank: int) -> tuple[int, ...]:
        """Position of a rank's block among the blocks, along each axis."""
        position = []
        for count in reversed(self.parts):
            rank, index = divmod(rank, count)
            position.append(index)
        return tuple(reversed(position))

    def rank(self, place: Sequence[int]) -> int | None:
        """Rank at a position; beyond the end of a periodic axis that of the other end, of any other axis None."""
        number = 0
        for index, count, closes in zip(place, self.parts, self.periodic, strict=True):
            if not 0 <= index < count and not closes:
                return None
            number = number * count + index % count
        return number

    def block(self, rank: int) -> Block:
        """The cells of a rank."""
        found = [interval(*axis) for axis in zip(self.cells, self.parts, self.place(rank), strict=True)]
        return Block(start=tuple(start for start, _ in found), shape=tuple(count for _, count in found))

    def neighbour(self, rank: int, offset: Sequence[int]) -> int | None:
        """Rank `offset` blocks away (-1, 0 or 1 an axis), or None beyond an end that does not close."""
        return self.rank([index + step for index, step in zip(self.place(rank), offset, strict=True)])


def factorizations(number: int, factors: int) -> Iterator[tuple[int, ...]]:
    """All ordered ways to write `number` as a product of `factors` positive integers."""
    if factors == 1:
        yield (number,)
        return
    for first in range(1, number + 1):
        if number % first == 0:
            for rest in factorizations(number // first, factors - 1):
                yield (first, *rest)


def decompose(
    cells: Sequence[int], ranks: int, *, periodic: Sequence[bool], face_cost: Sequence[float] | None = None
) -> Decomposition:
    """The division of `cells` over `ranks` that should take the least time.

    A rank's time is taken as its cells plus, for each face that it shares, the face's cells times `face_cost` of the
    axis across it (default 1; in units of a cell's update): the slowest rank counts.

    Raises GridError, with all that is wrong, for empty axes and for more ranks than the axes can be cut into.
    """
    if not 1 <= len(cells) <= 3 or len(periodic) != len(cells) or min(cells) < 1 or ranks < 1:
        raise GridError(
            f"got a grid of {'x'.join(map(str, cells))} cells, {len(periodic)} ends, for {ranks} ranks; "
            "allowed: 1 to 3 axes of at least 1 cell each, as many ends, at least 1 rank"
        )
    costs = tuple(face_cost) if face_cost is not None else (1.0,) * len(cells)
    fitting = [
        parts
        for parts in factorizations(ranks, len(cells))
        if all(part <= count for part, count in zip(parts, cells, strict=True))
    ]
    if not fitting:
        most = next(count for count in range(ranks - 1, 0, -1) if _fits(cells, count))
        raise GridError(
            f"{ranks} ranks cannot share a grid of {'x'.join(map(str, cells))} cells: no way to cut its axes "
            f"into {ranks} blocks leaves every block at least one plane of cells; use {most} ranks "
            "or fewer, or a larger grid"
        )

    def time(parts: tuple[int, ...]) -> float:
        largest = [-(-count // part) for count, part in zip(cells, parts, strict=True)]
        volume = math.prod(largest)
        faces = sum(
            cost * volume / width * (2 if part > 2 or closes else 1)
            for cost, width, part, closes in zip(costs, largest, parts, periodic, strict=True)
            if part > 1
        )
        return volume + faces

    parts = min(fitting, key=lambda parts: (time(parts), parts[::-1]))
    return Decomposition(cells=tuple(cells), parts=parts, periodic=tuple(periodic))


def _fits(cells: Sequence[int], ranks: int) -> bool:
    return any(
        all(part <= count for part, count in zip(parts, cells, strict=True))
        for parts in factorizations(ranks, len(cells))
    )


def shell(outer: Sequence[tuple[int, int]], inner: Sequence[tuple[int, int]]) -> list[tuple[tuple[int, int], ...]]:
    """The cells of box `outer` that are not in box `inner`, as disjoint boxes; a box is (start, stop) an axis."""
    if any(stop <= start for start, stop in outer):
        return []
    if any(stop <= start for start, stop in inner):
        return [tuple(outer)]
    boxes: list[tuple[tuple[int, int], ...]] = []
    rest = list(outer)
    for axis, ((start, stop), (from_, to)) in enumerate(zip(outer, inner, strict=True)):
        cuts = [(low, high) for low, high in ((start, from_), (to, stop)) if low < high]
        boxes += [(*rest[:axis], cut, *rest[axis + 1 :]) for cut in cuts]
        rest[axis] = (from_, to)
    return boxes


def corners(axes: int) -> list[tuple[int, ...]]:
    """All offsets to neighbouring blocks: -1, 0 or 1 an axis, less the block itself."""
    return [offset for offset in product((-1, 0, 1), repeat=axes) if any(offset)]
