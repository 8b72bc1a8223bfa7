"""The flow's kernel on a GPU: CuPy, one device for each rank. Storage, links and schedule are the CPU's."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from workload import halo
from workload.kernels.flow.cuda import THREADS, prelude, source
from workload.kernels.flow.layout import Layout
from workload.kernels.flow.links import Links, Openings, Surroundings
from workload.kernels.flow.schedule import SEGMENTS, Sweep
from workload.kernels.flow.stencil import DIRECTIONS

AWARE: Final = ("MPICH_GPU_SUPPORT_ENABLED", "I_MPI_OFFLOAD", "OMPI_MCA_opal_cuda_support")


def missing() -> str | None:
    """Why there is no GPU to run on, or None."""
    try:
        cupy = importlib.import_module("cupy")
    except ImportError:
        return "CuPy is not installed here (workload/images/Dockerfile.gpu has it)"
    try:
        count = int(cupy.cuda.runtime.getDeviceCount())
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"no NVIDIA GPU answers: {error}"
    return None if count else "this machine has no NVIDIA GPU"


def gpu_aware(environ: Mapping[str, str]) -> bool:
    """Whether MPI was told that it may be given device memory (its own variable says so)."""
    return any(environ.get(name, "0").lower() in ("1", "true", "yes") for name in AWARE)


Launch = Callable[[str, tuple[int, int, int], Sequence[Any]], None]


class Buffers(halo.Buffers):
    """Memory for MPI: on the device where MPI takes that, else pinned on the host (copies are then fast)."""

    def __init__(self, cupy: Any, *, aware: bool) -> None:
        self._cupy = cupy
        self._aware = aware
        self._pinned: dict[int, Any] = {}  # by the device's address

    def empty(self, count: int, dtype: Any) -> Any:
        device = self._cupy.empty(count, dtype)
        if not self._aware:
            memory = self._cupy.cuda.alloc_pinned_memory(device.nbytes)
            self._pinned[device.data.ptr] = np.frombuffer(memory, dtype, count)
        return device

    def for_mpi(self, whole: Any) -> Any:
        return whole if self._aware else self._pinned[whole.data.ptr]

    def settle_out(self, wholes: Sequence[Any]) -> None:
        for whole in () if self._aware else wholes:
            whole.get(out=self._pinned[whole.data.ptr], blocking=False)
        self._cupy.cuda.get_current_stream().synchronize()

    def settle_in(self, wholes: Sequence[Any]) -> None:
        for whole in () if self._aware else wholes:
            whole.set(self._pinned[whole.data.ptr])


class Machine(Protocol):
    """What the kernel needs of a device: arrays, launches, memory for MPI. Tests have one without a GPU."""

    @property
    def arrays(self) -> Any:
        """CuPy, or what does as it does."""

    def compile(self, real: str, *, forced: bool) -> Launch:
        """A function that launches the kernel of a name on so many threads (x, y, z)."""

    def buffers(self) -> halo.Buffers:
        """Memory for MPI."""

    def get(self, array: Any) -> npt.NDArray[Any]:
        """An array of the device as one of numpy."""


class Device:
    """An NVIDIA GPU of this machine: that of a local rank."""

    def __init__(self, local_rank: int, environ: Mapping[str, str]) -> None:
        cupy = self.arrays = importlib.import_module("cupy")
        cupy.cuda.Device(local_rank % cupy.cuda.runtime.getDeviceCount()).use()
        self._aware = gpu_aware(environ)

    def compile(self, real: str, *, forced: bool) -> Launch:
        """A function that launches the kernel of a name on so many threads (x, y, z)."""
        # No contraction to fused multiply-adds: the CPU's arithmetic, to the last bit.
        module = self.arrays.RawModule(code=prelude(real) + source(forced=forced), options=("--fmad=false",))

        def launch(name: str, threads: tuple[int, int, int], arguments: Sequence[Any]) -> None:
            x, y, z = threads
            module.get_function(name)((-(-x // THREADS), y, z), (THREADS, 1, 1), tuple(arguments))

        return launch

    def buffers(self) -> halo.Buffers:
        """Memory for MPI."""
        return Buffers(self.arrays, aware=self._aware)

    def get(self, array: Any) -> npt.NDArray[Any]:
        """An array of the device as one of numpy."""
        found: npt.NDArray[Any] = self.arrays.asnumpy(array)
        return found


class Gpu:
    """A block's populations in a GPU's memory, and the kernels over them."""

    sweeps = False  # what a device has in its caches is too little for both steps of a cell

    def __init__(
        self,
        *,
        device: Machine,
        layout: Layout,
        around: Surroundings,
        columns: Sequence[int],
        links: Links,
        openings: Openings,
        rates: tuple[float, float],
        force: Sequence[float],
        dtype: npt.DTypeLike,
    ) -> None:
        xp, kind = device.arrays, np.dtype(dtype)
        real: Any = kind.type
        self._device, self._layout, self._columns = device, layout, list(columns)
        self._launch = device.compile({4: "float", 8: "double"}[kind.itemsize], forced=any(force))
        self.storage = xp.zeros(int(np.prod(layout.storage_shape)), kind)
        self._fluid = xp.asarray(np.ascontiguousarray(around.fluid).view(np.uint8))
        self._where = (xp.asarray(layout.plane_offsets), xp.asarray(layout.row_offsets), np.int64(layout.stride))
        self._parameters = tuple(real(value) for value in (*rates, *force))
        self._ghost, self._home, self._constant = (
            xp.asarray(values) for values in (links.ghost.astype(np.int64), links.home.astype(np.int64), links.constant)
        )
        across = links.across
        everything = (self._ghost, self._home, self._constant)
        self._across = tuple(values[xp.asarray(across)] for values in everything)
        self._late = tuple(values[xp.asarray(links.late)] for values in everything)
        self._obstacle, self._obstacle_direction = xp.asarray(links.obstacle), links.obstacle_direction
        rows = np.repeat(np.arange(len(openings.bounds) - 1) // SEGMENTS, np.diff(openings.bounds))
        z, y = np.divmod(rows, layout.shape[1])
        cells = np.stack([openings.x, y, z, openings.direction], axis=1).astype(np.int32)
        self._openings = xp.asarray(np.ascontiguousarray(cells))
        self._open_ghost, self._open_home = xp.asarray(openings.ghost), xp.asarray(openings.home)

    def compile(self) -> bool:
        """Nothing here: CuPy compiles at the first launch, and keeps what it compiled."""
        return True

    def program(self, sweeps: Sequence[Sweep]) -> list[Sweep]:
        """Sweeps as `execute` takes them."""
        return list(sweeps)

    def execute(self, program: Sequence[Sweep]) -> None:
        """Advance the cells of a program."""
        if any(sweep.odd for sweep in program):
            self.ghosts_came()
        nx, ny, _ = self._layout.shape
        for sweep in program:
            x0, x1 = self._columns[sweep.s0], self._columns[sweep.s1]
            if x0 < x1:
                bounds = [np.int32(v) for v in (sweep.odd, x0, x1, sweep.y0, sweep.y1, sweep.z0, sweep.z1, nx, ny)]
                threads = (x1 - x0, sweep.y1 - sweep.y0, sweep.z1 - sweep.z0)
                self._launch("advance", threads, (self.storage, self._fluid, *self._where, *bounds, *self._parameters))

    def skin_done(self) -> None:
        """All even steps are done: populations that met walls stand where the odd steps look for them."""
        self._open(self._open_ghost, odd=False)
        self._link(self._ghost, self._home, self._constant)

    def ghosts_came(self) -> None:
        """Ghosts may have come since `skin_done`: the links that they matter to, once more (see `Links.late`)."""
        self._link(*self._late)

    def odd_done(self) -> None:
        """All odd steps are done: populations that met walls return."""
        self._link(self._home, self._ghost, self._constant)
        self._open(self._open_home, odd=True)

    def return_across(self) -> None:
        """Return what left towards other ranks' solid cells, once more (see `Links.across`)."""
        self._link(self._across[1], self._across[0], self._across[2])

    def _link(self, to: Any, origin: Any, constant: Any) -> None:
        if count := len(to):
            self._launch("link", (count, 1, 1), (self.storage, to, origin, constant, np.int64(0), np.int64(count)))

    def _open(self, to: Any, *, odd: bool) -> None:
        if count := len(to):
            arguments = (self.storage, to, self._openings, *self._where, np.int32(odd), np.int64(count))
            self._launch("open_link", (count, 1, 1), arguments)

    def first_bad(self, limit: float) -> int:
        """Number (x fastest) of the block's first fluid cell whose density is off by more than `limit`; -1: none."""
        xp = self._device.arrays
        excess = self._layout.inner(self.storage).sum(axis=2)
        bad = ~(xp.abs(excess) <= limit) & (self._fluid != 0)
        return int(bad.argmax()) if bool(bad.any()) else -1

    def push(self) -> npt.NDArray[np.float64]:
        """Force on the block's obstacle, x, y, z (lattice units), in the last step (see `Cpu.push`)."""
        exchanged = self.storage[self._ghost[self._obstacle]] + self.storage[self._home[self._obstacle]]
        directions = np.array(DIRECTIONS, dtype=np.float64)[self._obstacle_direction]
        force: npt.NDArray[np.float64] = (directions * self._device.get(exchanged).astype(np.float64)[:, None]).sum(
            axis=0
        )
        return force

    def memory(self) -> int:
        """Bytes of the arrays that last."""
        arrays = (self.storage, self._fluid, self._ghost, self._home, self._constant, self._openings)
        return sum(int(array.nbytes) for array in arrays)

    def buffers(self) -> halo.Buffers:
        """Memory for MPI."""
        return self._device.buffers()

    def put(self, array: npt.NDArray[Any]) -> Any:
        """An array of numpy as one of the device."""
        return self._device.arrays.asarray(array)

    def host(self, array: Any) -> npt.NDArray[Any]:
        """An array of the device as one of numpy."""
        return self._device.get(array)
