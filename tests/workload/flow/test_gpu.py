"""The GPU's kernel: its C text compiled for the host and run as a device without a GPU, and what only a GPU shows.

What the host cannot show: CuPy's calls, memory on a device, MPI between devices. Those tests are marked `gpu`.
"""

import os
import runpy
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI

from workload.kernels.flow import gpu
from workload.kernels.flow.case import Case
from workload.kernels.flow.gpu import Gpu

MakeFlow = Callable[..., Any]
PROGRAM = Path(__file__).with_name("host_device.py")


@pytest.fixture(scope="module")
def host_kernel(tmp_path_factory: pytest.TempPathFactory) -> Any:
    device = runpy.run_path(str(PROGRAM))["HostDevice"]
    return partial(Gpu, device=device(tmp_path_factory.mktemp("device")))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_gpus_arithmetic_is_the_cpus_to_the_last_bit(
    make_flow: MakeFlow, host_kernel: Any, rough_cases: list[Case], dtype: str
) -> None:
    for case in rough_cases:
        flows = [make_flow(case, dtype=dtype), make_flow(case, dtype=dtype, kernel=host_kernel)]
        for flow, groups in zip(flows, ((4, 2), (1, 2, 3)), strict=True):
            for steps in groups:
                flow.advance(steps)
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


def test_between_ranks_the_gpus_kernel_agrees_with_the_cpus_through_pinned_memory_and_gpu_aware_mpi(
    mpirun: Callable[..., Any], tmp_path: Path
) -> None:
    done = mpirun(3, sys.executable, "-m", "mpi4py", PROGRAM, tmp_path)
    assert "18 of 18 agree" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("environ", "aware"),
    [
        ({}, False),
        ({"MPICH_GPU_SUPPORT_ENABLED": "1"}, True),
        ({"OMPI_MCA_opal_cuda_support": "true"}, True),
        ({"I_MPI_OFFLOAD": "0"}, False),
    ],
)
def test_each_local_rank_has_its_gpu_and_mpi_gets_device_memory_only_where_it_was_told(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], aware: bool
) -> None:
    chosen: list[int] = []
    cuda = SimpleNamespace(
        runtime=SimpleNamespace(getDeviceCount=lambda: 4),
        Device=lambda number: SimpleNamespace(use=lambda: chosen.append(number)),
        alloc_pinned_memory=bytearray,
    )
    host = runpy.run_path(str(PROGRAM))["HostCupy"]()
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=cuda, empty=host.empty))
    buffers = gpu.Device(6, environ).buffers()
    assert chosen == [2]
    whole = buffers.empty(5, np.float32)
    assert np.shares_memory(whole, buffers.for_mpi(whole)) == aware
    assert (buffers.for_mpi(whole).nbytes, buffers.for_mpi(whole).dtype) == (20, np.float32)


class NoDriverError(Exception):
    """As CuPy's CUDARuntimeError."""


def count_of(devices: int | None) -> int:
    if devices is None:
        raise NoDriverError("cudaErrorInsufficientDriver")
    return devices


@pytest.mark.parametrize(
    ("devices", "said"), [(None, "no NVIDIA GPU answers: cudaErr"), (0, "this machine has no NVIDIA GPU"), (1, None)]
)
def test_what_is_missing_is_said_where_cupy_is_installed(
    monkeypatch: pytest.MonkeyPatch, devices: int | None, said: str | None
) -> None:
    runtime = SimpleNamespace(getDeviceCount=lambda: count_of(devices), CUDARuntimeError=NoDriverError)
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=SimpleNamespace(runtime=runtime)))
    found = gpu.missing()
    assert found is None if said is None else found is not None and found.startswith(said)


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
