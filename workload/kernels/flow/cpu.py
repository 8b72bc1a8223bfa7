"""The flow's kernel on the CPU: sweeps over rows, compiled by numba."""

import mmap
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit, typeof

from workload import halo
from workload.kernels.flow.layout import Layout
from workload.kernels.flow.links import Links, Openings, Surroundings, spans
from workload.kernels.flow.schedule import SEGMENTS, Sweep
from workload.kernels.flow.simd import lanes, opening, update
from workload.kernels.flow.stencil import DIRECTIONS, Q

# Without `startup.prepare`, numba would go on using what it compiled before another module of the kernel changed.
KEPT = "NUMBA_CACHE_DIR" in os.environ
HUGE_PAGE = 2 << 20  # bytes: one entry of the address cache then covers 512 small pages; worth a factor of 1.5 to 2

_even = update(odd=False, forced=False, tail=False)
_even_tail = update(odd=False, forced=False, tail=True)
_odd = update(odd=True, forced=False, tail=False)
_odd_tail = update(odd=True, forced=False, tail=True)
_even_forced = update(odd=False, forced=True, tail=False)
_even_forced_tail = update(odd=False, forced=True, tail=True)
_odd_forced = update(odd=True, forced=True, tail=False)
_odd_forced_tail = update(odd=True, forced=True, tail=True)
_opening_even = opening(odd=False)
_opening_odd = opening(odd=True)


@njit(error_model="numpy", nogil=True, cache=KEPT)
def _even_row(  # noqa: PLR0917 - compiled functions take arguments by position
    f: Any, rows: Any, stride: Any, x0: Any, x1: Any, ahead: Any, parameters: Any, forced: Any
) -> None:
    """Even step of the cells x0 ... x1 of a row."""
    whole = x1 - (x1 - x0) % lanes(f)
    if forced:
        for x in range(x0, whole, lanes(f)):
            _even_forced(f, rows, stride, x, ahead, 0, parameters)
        if whole < x1:
            _even_forced_tail(f, rows, stride, whole, 0, x1 - whole, parameters)
    else:
        for x in range(x0, whole, lanes(f)):
            _even(f, rows, stride, x, ahead, 0, parameters)
        if whole < x1:
            _even_tail(f, rows, stride, whole, 0, x1 - whole, parameters)


@njit(error_model="numpy", nogil=True, cache=KEPT)
def _odd_row(  # noqa: PLR0917 - compiled functions take arguments by position
    f: Any, rows: Any, stride: Any, x0: Any, x1: Any, parameters: Any, forced: Any
) -> None:
    """Odd step of the cells x0 ... x1 of a row."""
    whole = x1 - (x1 - x0) % lanes(f)
    if forced:
        for x in range(x0, whole, lanes(f)):
            _odd_forced(f, rows, stride, x, 0, 0, parameters)
        if whole < x1:
            _odd_forced_tail(f, rows, stride, whole, 0, x1 - whole, parameters)
    else:
        for x in range(x0, whole, lanes(f)):
            _odd(f, rows, stride, x, 0, 0, parameters)
        if whole < x1:
            _odd_tail(f, rows, stride, whole, 0, x1 - whole, parameters)


@njit(error_model="numpy", nogil=True, cache=KEPT)
def _advance(  # noqa: PLR0917 - compiled functions take arguments by position
    f: Any,
    program: Any,
    planes: Any,
    row_offsets: Any,
    stride: Any,
    spans: Any,
    links: Any,
    openings: Any,
    parameters: Any,
    forced: Any,
) -> None:
    """Execute sweeps (see `schedule.Sweep`), one a line of `program`."""
    span_bounds, ranges = spans
    link_bounds, ghost, home, constant = links
    open_bounds, open_ghost, open_home, open_x, open_direction = openings
    height = len(row_offsets) - 2
    for k in range(program.shape[0]):
        odd, z0, z1, y0, y1, s0, s1 = program[k]
        for z in range(z0, z1):
            for y in range(y0, y1):
                rows = (planes[z], planes[z + 1], planes[z + 2], row_offsets[y], row_offsets[y + 1], row_offsets[y + 2])
                first, last = (z * height + y) * SEGMENTS + s0, (z * height + y) * SEGMENTS + s1
                if odd == 0:
                    # The rows of a sweep are one stream but for the jump to the next plane.
                    if y + 1 < y1:
                        ahead = row_offsets[y + 2] - row_offsets[y + 1]
                    else:
                        ahead = planes[z + 2] - planes[z + 1] + row_offsets[y0 + 1] - row_offsets[y + 1]
                    for s in range(span_bounds[first], span_bounds[last]):
                        _even_row(f, rows, stride, ranges[s, 0], ranges[s, 1], ahead, parameters, forced)
                    # Here, not before the odd step: neighbours' odd steps take what this needs.
                    for n in range(open_bounds[first], open_bounds[last]):
                        f[open_ghost[n]] = _opening_even(f, rows, stride, open_x[n], open_direction[n])
                    continue
                for n in range(link_bounds[first], link_bounds[last]):
                    f[ghost[n]] = f[home[n]] + constant[n]
                for s in range(span_bounds[first], span_bounds[last]):
                    _odd_row(f, rows, stride, ranges[s, 0], ranges[s, 1], parameters, forced)
                for n in range(link_bounds[first], link_bounds[last]):
                    f[home[n]] = f[ghost[n]] + constant[n]
                for n in range(open_bounds[first], open_bounds[last]):
                    f[open_home[n]] = _opening_odd(f, rows, stride, open_x[n], open_direction[n])


@njit(error_model="numpy", nogil=True, cache=KEPT)
def _worst(  # noqa: PLR0917 - compiled functions take arguments by position
    f: Any, planes: Any, row_offsets: Any, stride: Any, spans: Any, limit: Any
) -> int:
    """Number (x fastest) of the first fluid cell whose density is off by more than `limit`, or no number; else -1."""
    span_bounds, ranges = spans
    height, depth, width = len(row_offsets) - 2, len(planes) - 2, stride - 2
    excess = np.zeros(width, f.dtype)
    for z in range(depth):
        for y in range(height):
            row = planes[z + 1] + row_offsets[y + 1]
            excess[:] = 0
            for i in range(Q):
                population = f[row + i * stride : row + i * stride + width]
                for x in range(width):
                    excess[x] += population[x]
            first = (z * height + y) * SEGMENTS
            for s in range(span_bounds[first], span_bounds[first + SEGMENTS]):
                for x in range(ranges[s, 0], ranges[s, 1]):
                    if not abs(excess[x]) <= limit:
                        return int((z * height + y) * width + x)
    return -1


def allocate(elements: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Zeros on huge pages where the system has them to give."""
    size = elements * np.dtype(dtype).itemsize
    memory = mmap.mmap(-1, size + HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    array = np.frombuffer(memory, dtype=np.uint8)
    start = -array.ctypes.data % HUGE_PAGE
    return array[start : start + size].view(dtype)


@contextmanager
def _without(module: str) -> Iterator[None]:
    """An `import` of this module fails, where nobody imported it before.

    numba asks scipy for its linear algebra while it loads compiled code: a fifth of the time to the first step, for
    nothing that these kernels use.
    """
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]  # Python's own way to say so
    try:
        yield
    finally:
        del sys.modules[module]


class Cpu:
    """A block's populations in this machine's memory, and the compiled sweeps over them."""

    sweeps = True  # both steps of a cell while it lies in the cache

    def __init__(
        self,
        *,
        layout: Layout,
        around: Surroundings,
        columns: Sequence[int],
        links: Links,
        openings: Openings,
        rates: tuple[float, float],
        force: Sequence[float],
        dtype: npt.DTypeLike,
    ) -> None:
        self.layout = layout
        self.storage = allocate(int(np.prod(layout.storage_shape)), dtype)
        self._links = links
        real: Any = np.dtype(dtype).type
        stretches = spans(around.fluid, columns)
        self._spans = (stretches.bounds, stretches.ranges)
        self._arguments = (
            layout.plane_offsets,
            layout.row_offsets,
            layout.stride,
            self._spans,
            (links.bounds, links.ghost, links.home, links.constant),
            (openings.bounds, openings.ghost, openings.home, openings.x, openings.direction),
            tuple(real(value) for value in (*rates, *force)),
            any(force),
        )

    def compile(self) -> bool:
        """Compile what `execute` and `first_bad` need, or load it; whether it was there already."""
        arguments = (self.storage, self.program([]), *self._arguments)
        layout = self.layout
        watch = (self.storage, layout.plane_offsets, layout.row_offsets, layout.stride, self._spans, 1.0)
        with _without("scipy.linalg"):
            _advance.compile(tuple(map(typeof, arguments)))
            _worst.compile(tuple(map(typeof, watch)))
        return bool(_advance.stats.cache_hits)

    def program(self, sweeps: Sequence[Sweep]) -> npt.NDArray[np.int64]:
        """Sweeps as `execute` takes them."""
        return np.array(sweeps, dtype=np.int64).reshape(-1, len(Sweep._fields))

    def execute(self, program: npt.NDArray[np.int64]) -> None:
        """Advance the cells of a program."""
        _advance(self.storage, program, *self._arguments)

    def first_bad(self, limit: float) -> int:
        """Number (x fastest) of the block's first fluid cell whose density is off by more than `limit`; -1: none."""
        layout = self.layout
        return int(_worst(self.storage, layout.plane_offsets, layout.row_offsets, layout.stride, self._spans, limit))

    def memory(self) -> int:
        """Bytes of the arrays that last."""
        links, spans, openings = self._links, self._arguments[3], self._arguments[5]
        arrays = (
            links.bounds,
            links.ghost,
            links.home,
            links.constant,
            links.obstacle,
            links.across,
            *spans,
            *openings,
        )
        return self.storage.nbytes + sum(array.nbytes for array in arrays)

    def skin_done(self) -> None:
        """Nothing: each row's walls are seen to with its own steps."""

    def ghosts_came(self) -> None:
        """All even steps are done and all ghosts there: populations that met walls stand where they are looked for.

        For a step that has no odd one after it, whose rows would see to it themselves.
        """
        links = self._links
        self.storage[links.ghost] = self.storage[links.home] + links.constant

    def odd_done(self) -> None:
        """Nothing: the same."""

    def host(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """An array of the kernel's as one of numpy: the same."""
        return array

    def put(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """An array of numpy as one of the kernel's: the same."""
        return array

    def buffers(self) -> halo.Buffers:
        """Memory for MPI."""
        return halo.Buffers()

    def return_across(self) -> None:
        """Return what left towards other ranks' solid cells, once more (see `Links.across`)."""
        links = self._links
        across = links.across
        self.storage[links.home[across]] = self.storage[links.ghost[across]] + links.constant[across]

    def push(self) -> npt.NDArray[np.float64]:
        """Force on the block's obstacle, x, y, z (lattice units), in the last step: momentum that its links exchanged.

        Method: A. J. C. Ladd, J. Fluid Mech. 271 (1994) 285.
        """
        links = self._links
        exchanged = self.storage[links.ghost[links.obstacle]] + self.storage[links.home[links.obstacle]]
        directions = np.array(DIRECTIONS, dtype=np.float64)[links.obstacle_direction]
        force: npt.NDArray[np.float64] = (directions * exchanged.astype(np.float64)[:, None]).sum(axis=0)
        return force
