"""A device without a GPU: the kernels' C text compiled for this machine, threads as loops. Under mpiexec, as a program:

    python -m mpi4py host_device.py FOLDER

compares it with the CPU's kernel on all ranks, for each rough case cut along each axis, and prints how many agree.
"""

import ctypes
import os
import runpy
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from workload import halo
from workload.kernels.flow import gpu, startup
from workload.kernels.flow.cuda import source

HOST = """
#define KERNEL static void
#define INLINE static inline
#define __device__
typedef struct { int x, y, z; } triple;
static triple blockIdx, threadIdx, blockDim = {1, 1, 1};
"""
DRIVERS = """
#define EACH(call) \\
    for (blockIdx.z = 0; blockIdx.z < n[2]; ++blockIdx.z) for (blockIdx.y = 0; blockIdx.y < n[1]; ++blockIdx.y) \\
        for (blockIdx.x = 0; blockIdx.x < n[0]; ++blockIdx.x) call
typedef long long wide;
void run_advance(const int *n, real *f, const unsigned char *fluid, const wide *planes, const wide *rows, wide stride,
    int odd, int x0, int x1, int y0, int y1, int z0, int z1, int nx, int ny,
    real even_rate, real odd_rate, real force_x, real force_y, real force_z)
{ EACH(advance(f, fluid, planes, rows, stride, odd, x0, x1, y0, y1, z0, z1, nx, ny,
    even_rate, odd_rate, force_x, force_y, force_z);) }
void run_link(const int *n, real *f, const wide *to, const wide *from, const real *constant, wide first, wide last)
{ EACH(link(f, to, from, constant, first, last);) }
void run_open_link(const int *n, real *f, const wide *to, const int *cells, const wide *planes, const wide *rows,
    wide stride, int odd, wide last)
{ EACH(open_link(f, to, cells, planes, rows, stride, odd, last);) }
"""


class DeviceArray(npt.NDArray[Any]):
    """Memory that stands for a device's: what `gpu.Buffers` asks of an array of CuPy."""

    @property
    def data(self) -> Any:
        return SimpleNamespace(ptr=self.ctypes.data)

    def get(self, out: npt.NDArray[Any], *, blocking: bool) -> None:
        assert not blocking, "copies overlap; one synchronization follows"
        out[...] = self

    def set(self, values: npt.NDArray[Any]) -> None:
        self[...] = values


class HostCupy:
    """What `gpu.Buffers` asks of CuPy."""

    def __init__(self) -> None:
        stream = SimpleNamespace(synchronize=lambda: None)
        self.cuda = SimpleNamespace(alloc_pinned_memory=bytearray, get_current_stream=lambda: stream)

    def empty(self, count: int, dtype: Any) -> Any:
        return np.empty(count, dtype).view(DeviceArray)


class HostDevice:
    """A `gpu.Device` whose threads are loops. aware: MPI is given the device's memory, else what is pinned."""

    arrays = np

    def __init__(self, folder: Path, *, aware: bool = False) -> None:
        self.folder = folder
        self.aware = aware

    def compile(self, real: str, *, forced: bool) -> gpu.Launch:
        text = self.folder / f"{real}-{forced}.c"
        library = text.with_suffix(".so")
        if not library.exists():
            text.write_text(f"typedef {real} real;{HOST}{source(forced=forced)}{DRIVERS}")
            flags = ("-O1", "-ffp-contract=off", "-fno-sanitize=all", "-shared", "-fPIC", "-Wno-unknown-pragmas")
            subprocess.run(
                [sys.executable, "-m", "ziglang", "cc", *flags, "-o", library, text], check=True, timeout=120
            )
        loaded = ctypes.CDLL(str(library))

        def launch(name: str, threads: tuple[int, int, int], arguments: Sequence[Any]) -> None:
            getattr(loaded, f"run_{name}")((ctypes.c_int * 3)(*threads), *map(as_c, arguments))

        return launch

    def buffers(self) -> halo.Buffers:
        return gpu.Buffers(HostCupy(), aware=self.aware)

    def get(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return array


def as_c(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return ctypes.c_void_p(value.ctypes.data)
    kinds = {"int32": ctypes.c_int, "int64": ctypes.c_longlong, "float32": ctypes.c_float, "float64": ctypes.c_double}
    return kinds[value.dtype.name](value.item())


def main(folder: Path) -> None:
    startup.prepare(os.environ)
    from mpi4py import MPI

    from workload.kernels.flow import output, solver
    from workload.kernels.flow.cpu import Cpu

    comm = MPI.COMM_WORLD
    mine = folder / str(comm.rank)
    mine.mkdir()
    cases = runpy.run_path(str(Path(__file__).with_name("rough_cases.py")))["rough_cases"]()
    same = 0
    for cost, aware in (((8.0, 1.0, 1.0), False), ((0.01, 1.0, 1.0), True), ((1.0, 0.01, 1.0), False)):
        solver.FACE_COST = cost
        kernels: tuple[Any, ...] = (Cpu, partial(gpu.Gpu, device=HostDevice(mine, aware=aware)))
        for case in cases:
            fields = []
            for kernel, groups in zip(kernels, ((6, 2), (3, 4, 1)), strict=True):
                flow = solver.Flow(case, comm, dtype="float64", kernel=kernel)
                for steps in groups:
                    flow.advance(steps)
                fields.append(output.collect(flow, 0, case.grid[2]))
                flow.close()
            cpu, device = fields
            if cpu is not None and device is not None:
                same += all(np.array_equal(cpu[name], device[name]) for name in cpu)
    if comm.rank == 0:
        print(f"{same} of {3 * len(cases)} agree")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
