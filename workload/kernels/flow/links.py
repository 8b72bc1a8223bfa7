"""Links: the pairs of slots through which populations return from walls, or pass from one end of a row to the other.

For a cell whose neighbour along direction i is solid (or beyond an end), the odd step looks for what comes back in
the neighbour's slot i, the *ghost*, while what left in the even step lies in the cell's own slot of the opposite
direction, the *home*. Before an odd step: ghost = home + constant; after it: home = ghost + constant. The constant is
a moving wall's (half-way bounce-back: A. J. C. Ladd, J. Fluid Mech. 271 (1994) 285). A row that closes on itself
is the same with another home. So the kernel itself knows of no walls.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from workload.kernels.flow.layout import Integers, Layout
from workload.kernels.flow.schedule import SEGMENTS
from workload.kernels.flow.stencil import DIRECTIONS, OPPOSITE, WEIGHTS, Q

Mask = npt.NDArray[np.bool_]

FLUID: Final = 0
SOLID: Final = 1
CLOSING: Final = 2  # the row's other end
SIDE: Final = 3  # + 2 * axis + (1 at the high end): beyond that end of the domain


@dataclass(frozen=True, kw_only=True)
class Links:
    """Sorted by row and segment; `bounds[k]` to `bounds[k + 1]` are those of the k-th (row, segment).

    ghost, home: slots (indices). constant: what a moving wall adds. obstacle: positions here of the links to an
    obstacle, with their direction. across: positions of the links to a solid cell that another rank has: that rank
    gives back, with its ghosts, slots into which its solid cell has put nothing, and these links put them right. late:
    those, and the ends of rows whose other end is in a ghost row: they come right only when the ghosts have come.
    """

    bounds: Integers
    ghost: npt.NDArray[Any]
    home: npt.NDArray[Any]
    constant: npt.NDArray[Any]
    obstacle: Integers
    obstacle_direction: Integers
    across: Integers
    late: Integers


@dataclass(frozen=True, kw_only=True)
class Openings:
    """Links to an open end, sorted and bounded like Links; the cell's x and the direction that leaves."""

    bounds: Integers
    ghost: Integers
    home: Integers
    x: Integers
    direction: Integers


@dataclass(frozen=True, kw_only=True)
class Spans:
    """The fluid's stretches: `ranges[bounds[k] : bounds[k + 1]]` are the (x0, x1) of the k-th (row, segment)."""

    bounds: Integers
    ranges: Integers


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What is around each cell, along x, y, z with one cell more at each end: FLUID, SOLID, CLOSING or SIDE + n.

    The array is (nz + 2, ny + 2, nx + 2), uint8.
    """

    kinds: npt.NDArray[np.uint8]

    @property
    def fluid(self) -> Mask:
        """The block's own cells that are fluid, (nz, ny, nx)."""
        found: Mask = self.kinds[1:-1, 1:-1, 1:-1] == FLUID
        return found


def surroundings(
    solid: Mask, *, outside: Sequence[tuple[bool, bool]], closing: bool, order: Sequence[int]
) -> Surroundings:
    """solid: obstacles of the block and of one cell around it, (nz + 2, ny + 2, nx + 2).

    outside: for each axis x, y, z, whether the block's low and high end are the domain's. closing: rows close on
    themselves. order: sides (2 * axis + high), the one that decides at edges that they share last.
    """
    kinds = np.where(solid, np.uint8(SOLID), np.uint8(FLUID)).astype(np.uint8)
    if closing:
        for x in (0, -1):
            kinds[:, :, x][kinds[:, :, x] == FLUID] = CLOSING
    for side in order:
        axis, high = divmod(side, 2)
        if outside[axis][high]:
            where = [slice(None)] * 3
            where[2 - axis] = slice(-1, None) if high else slice(0, 1)
            kinds[tuple(where)] = SIDE + side
    return Surroundings(kinds=kinds)


def _bounds(row: Integers, x: Integers, rows: int, columns: Sequence[int]) -> tuple[Integers, Integers]:
    """(order, bounds) that sort by row and x, and the place where each (row, segment) begins."""
    order = np.lexsort((x, row))
    segment = np.searchsorted(np.asarray(columns[1:-1]), x, side="right") if SEGMENTS > 1 else 0
    key = row * SEGMENTS + segment
    bounds = np.searchsorted(key[order], np.arange(rows * SEGMENTS + 1))
    return order, bounds.astype(np.int64)


def spans(fluid: Mask, columns: Sequence[int]) -> Spans:
    """Stretches of fluid; fluid: (nz, ny, nx). columns: bounds of the segments, at which stretches are cut."""
    nz, ny, nx = fluid.shape
    padded = np.zeros((nz * ny, nx + 1), dtype=np.int8)
    padded[:, :nx] = fluid.reshape(-1, nx)
    before = np.zeros_like(padded)
    before[:, 1:] = padded[:, :-1]
    starts, stops = padded > before, padded < before
    for column in columns[1:-1]:
        if 0 < column < nx:
            through = (padded[:, column] == 1) & (before[:, column] == 1)
            starts[through, column] = True
            stops[through, column] = True
    row, start = np.nonzero(starts)
    _, stop = np.nonzero(stops)
    _, bounds = _bounds(row, start, nz * ny, columns)
    return Spans(bounds=bounds, ranges=np.ascontiguousarray(np.stack([start, stop], axis=1), dtype=np.int64))


WallSpeed = Callable[[int, int, Integers, Integers, Integers], npt.NDArray[np.float64]]


def links(
    around: Surroundings,
    layout: Layout,
    *,
    columns: Sequence[int],
    open_sides: frozenset[int],
    wall_speed: WallSpeed,
    dtype: Any,
) -> tuple[Links, Openings]:
    """All links of a block's fluid cells.

    wall_speed(side, direction, x, y, z): the product of direction and the wall's velocity (lattice units) where the
    links of cells x, y, z (of the block) cross that side.
    """
    nx, ny, nz = layout.shape
    kinds, fluid = around.kinds, around.fluid
    parts: list[tuple[npt.NDArray[Any], ...]] = []
    for i in range(1, Q):
        dx, dy, dz = DIRECTIONS[i]
        beyond = kinds[1 + dz : nz + 1 + dz, 1 + dy : ny + 1 + dy, 1 + dx : nx + 1 + dx]
        z, y, x = np.nonzero(fluid & (beyond != FLUID))
        kind = beyond[z, y, x]
        ghost = layout.index(i, x + dx, y + dy, z + dz)
        home = layout.index(OPPOSITE[i], x, y, z)
        closes = kind == CLOSING
        home[closes] = layout.index(i, (x[closes] + dx) % nx, y[closes] + dy, z[closes] + dz)
        constant = np.zeros(len(x))
        for side in range(6):
            at = kind == SIDE + side
            if side not in open_sides and at.any():
                constant[at] = -6.0 * float(WEIGHTS[i]) * wall_speed(side, i, x[at], y[at], z[at])
        along_x, along_y, along_z = (
            ((at + step >= 0) & (at + step < count)) | wraps
            for at, step, count, wraps in zip((x, y, z), DIRECTIONS[i], layout.shape, layout.wraps, strict=True)
        )
        in_rows = along_y & along_z
        across = (kind == SOLID) & ~(along_x & in_rows)
        late = across | (closes & ~in_rows)
        parts.append((z * ny + y, x, np.full(len(x), i), ghost, home, constant, kind, across, late))
    row, x, direction, ghost, home, constant, kind, across, late = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    opens = np.isin(kind, [SIDE + side for side in open_sides])
    order, bounds = _bounds(row[~opens], x[~opens], nz * ny, columns)
    closed = np.nonzero(~opens)[0][order]
    narrow = np.int32 if int(np.prod(layout.storage_shape)) < 2**31 else np.int64
    obstacle = np.nonzero(kind[closed] == SOLID)[0]
    open_order, open_bounds = _bounds(row[opens], x[opens], nz * ny, columns)
    opened = np.nonzero(opens)[0][open_order]
    return (
        Links(
            bounds=bounds,
            ghost=ghost[closed].astype(narrow),
            home=home[closed].astype(narrow),
            constant=constant[closed].astype(dtype),
            obstacle=obstacle.astype(np.int64),
            obstacle_direction=direction[closed][obstacle].astype(np.int64),
            across=np.nonzero(across[closed])[0].astype(np.int64),
            late=np.nonzero(late[closed])[0].astype(np.int64),
        ),
        Openings(
            bounds=open_bounds,
            ghost=ghost[opened],
            home=home[opened],
            x=x[opened].astype(np.int64),
            direction=direction[opened].astype(np.int64),
        ),
    )
