"""Where the populations lie in memory.

One 1-D array holds, for each plane z, each row y and each of the 19 directions, a row of cells along x: what an even
step reads is then one stream, and its 19 rows fit the first-level cache. Rows have a ghost cell at each end; there
are ghost rows and planes at ends that are walls or another rank's, none where the block closes on itself: there the
row beyond the end is found by its offset.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from workload.kernels.flow.stencil import Q

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """shape: cells of the block along x, y, z. wraps: which axes close on the block itself."""

    shape: tuple[int, int, int]
    wraps: tuple[bool, bool, bool]

    @property
    def stride(self) -> int:
        """Elements from one direction's row to the next."""
        return self.shape[0] + 2

    @property
    def ghosts(self) -> tuple[int, int]:
        """Ghost rows (y) and planes (z) at each end."""
        return (0 if self.wraps[1] else 1), (0 if self.wraps[2] else 1)

    @property
    def storage_shape(self) -> tuple[int, int, int, int]:
        """z, y, direction, x, ghosts included."""
        ghost_y, ghost_z = self.ghosts
        return self.shape[2] + 2 * ghost_z, self.shape[1] + 2 * ghost_y, Q, self.stride

    @cached_property
    def plane_offsets(self) -> Integers:
        """Of planes z = -1 ... shape[2]: the index of their first row's first inner cell, direction 0."""
        _, rows, _, _ = self.storage_shape
        planes = np.arange(-1, self.shape[2] + 1)
        planes = planes % self.shape[2] if self.wraps[2] else planes + 1
        return np.ascontiguousarray(planes * (rows * Q * self.stride) + 1, dtype=np.int64)

    @cached_property
    def row_offsets(self) -> Integers:
        """Of rows y = -1 ... shape[1], to be added to a plane's."""
        rows = np.arange(-1, self.shape[1] + 1)
        rows = rows % self.shape[1] if self.wraps[1] else rows + 1
        return np.ascontiguousarray(rows * (Q * self.stride), dtype=np.int64)

    def index(self, direction: int, x: Integers, y: Integers, z: Integers) -> Integers:
        """Index of slots: x, y, z from -1 to the axis' cells."""
        return self.plane_offsets[z + 1] + self.row_offsets[y + 1] + direction * self.stride + x

    def upstream(self, direction: Sequence[int]) -> tuple[Integers, Integers, slice]:
        """Where the cells are from which `direction` leads to the block's own: planes, rows and columns of `view`."""
        columns, rows, planes = (
            np.arange(count) - step + ghost if ghost else (np.arange(count) - step) % count
            for count, step, ghost in zip(self.shape, direction, (1, *self.ghosts), strict=True)
        )
        return planes[:, None], rows[None, :], slice(int(columns[0]), int(columns[-1]) + 1)

    def view(self, storage: Any) -> Any:
        """The 1-D storage as (z, y, direction, x), ghosts included."""
        shape = self.storage_shape
        return storage[: int(np.prod(shape))].reshape(shape)

    def inner(self, storage: Any) -> Any:
        """The block's own cells of it: a view of shape (nz, ny, 19, nx)."""
        ghost_y, ghost_z = self.ghosts
        nx, ny, nz = self.shape
        return self.view(storage)[ghost_z : ghost_z + nz, ghost_y : ghost_y + ny, :, 1 : nx + 1]
