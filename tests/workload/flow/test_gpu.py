"""The GPU's kernel: its C text compiled for the host and run as a device without a GPU, and what only a GPU shows.

What the host cannot show: CuPy's calls, memory on a device, MPI between devices. Those tests are marked `gpu`.
"""

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from mpi4py import MPI

from workload import halo
from workload.kernels.flow import gpu
from workload.kernels.flow.case import Case
from workload.kernels.flow.cuda import source
from workload.kernels.flow.gpu import Gpu

MakeFlow = Callable[..., Any]
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


class HostDevice:
    """A `gpu.Device` whose threads are loops."""

    arrays = np

    def __init__(self, folder: Path) -> None:
        self.folder = folder

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
        return halo.Buffers()

    def get(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return array


def as_c(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return ctypes.c_void_p(value.ctypes.data)
    kinds = {"int32": ctypes.c_int, "int64": ctypes.c_longlong, "float32": ctypes.c_float, "float64": ctypes.c_double}
    return kinds[value.dtype.name](value.item())


@pytest.fixture(scope="module")
def host_kernel(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return partial(Gpu, device=HostDevice(tmp_path_factory.mktemp("device")))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_gpus_arithmetic_is_the_cpus_to_the_last_bit(
    make_flow: MakeFlow, host_kernel: Any, rough_cases: list[Case], dtype: str
) -> None:
    for case in rough_cases:
        flows = [make_flow(case, dtype=dtype), make_flow(case, dtype=dtype, kernel=host_kernel)]
        for flow in flows:
            flow.advance(4)
            flow.advance(2)
        cpu, device = ([flow.fields()[0], *flow.fields()[1]] for flow in flows)
        for a, b in zip(cpu, device, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=case.name)
        np.testing.assert_allclose(flows[0].force_on_obstacle(), flows[1].force_on_obstacle(), rtol=1e-12)
        assert flows[0].bad_cell() is None
        assert flows[1].bad_cell() is None


def test_the_gpus_watch_finds_the_same_bad_cell(make_flow: MakeFlow, host_kernel: Any, rough_cases: list[Case]) -> None:
    for kernel in ({}, {"kernel": host_kernel}):
        flow = make_flow(rough_cases[0], **kernel)
        z, y, x = (int(index[-1]) for index in np.nonzero(flow.fluid))
        flow.populations[z, y, 3, x] = np.nan
        assert flow.bad_cell() == (x, y, z)


@pytest.mark.skipif(gpu.missing() is None, reason="this machine has a GPU")
def test_without_a_gpu_it_says_so_and_stops(workload_run: Callable[..., Any], tmp_path: Path) -> None:
    done = workload_run(2, "flow", "--device", "gpu", "--steps", "2", "--output", tmp_path / "out")
    assert done.returncode != 0
    assert "--device gpu: CuPy is not installed here" in done.stderr
    assert done.stderr.count("CuPy") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.gpu
@pytest.mark.skipif(gpu.missing() is not None, reason=str(gpu.missing()))
def test_on_a_gpu_the_field_is_the_cpus_to_the_last_bit(make_flow: MakeFlow, rough_cases: list[Case]) -> None:
    kernel = partial(Gpu, device=gpu.Device(MPI.COMM_WORLD.rank, os.environ))
    for case in rough_cases:
        flows = [make_flow(case), make_flow(case, kernel=kernel)]
        for flow in flows:
            flow.advance(6)
        cpu, device = ([flow.fields()[0], *flow.fields()[1]] for flow in flows)
        for a, b in zip(cpu, device, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=case.name)
