"""The GPU's kernels through NVIDIA's own compiler, which needs no GPU. `make test-gpu` installs it into .tools/gpu (520 MB)."""

import ctypes
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workload.kernels.flow import gpu
from workload.kernels.flow.cuda import prelude, source

ROOT = Path(__file__).parents[3]
INSTALLED = os.environ.get("TUTTI_TEST_CUDA", "")
pytestmark = pytest.mark.skipif(not INSTALLED, reason="`make test-gpu` installs NVIDIA's compiler")

VARIANTS = [(real, forced) for real in ("float", "double") for forced in (False, True)]
MOST_REGISTERS = 255  # of a thread; what does not fit goes through memory


@pytest.fixture(scope="module")
def nvrtc() -> ctypes.CDLL:
    return ctypes.CDLL(str(Path(INSTALLED) / "nvidia/cuda_nvrtc/lib/libnvrtc.so.12"))


def compiled(nvrtc: ctypes.CDLL, real: str, *, forced: bool, target: str) -> tuple[bytes, str]:
    """What `cupy.RawModule` would load for a target ("sm_80": machine code, "compute_80": PTX), and what was said."""

    def call(name: str, *arguments: Any) -> int:
        return int(getattr(nvrtc, f"nvrtc{name}")(*arguments))

    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    text = (prelude(real) + source(forced=forced)).encode()
    assert call("CreateProgram", ctypes.byref(program), text, b"flow.cu", 0, None, None) == 0
    options = [f"--gpu-architecture={target}".encode(), b"--fmad=false", b"--ptxas-options=-v"]
    status = call("CompileProgram", program, len(options), (ctypes.c_char_p * len(options))(*options))
    assert call("GetProgramLogSize", program, ctypes.byref(size)) == 0
    log = ctypes.create_string_buffer(size.value)
    assert call("GetProgramLog", program, log) == 0
    assert status == 0, log.value.decode()
    kind = "CUBIN" if target.startswith("sm_") else "PTX"
    assert call(f"Get{kind}Size", program, ctypes.byref(size)) == 0
    code = ctypes.create_string_buffer(size.value)
    assert call(f"Get{kind}", program, code) == 0
    return code.raw, log.value.decode()


@pytest.mark.parametrize("architecture", ["sm_70", "sm_80", "sm_90"])
@pytest.mark.parametrize(("real", "forced"), VARIANTS)
def test_every_kernel_compiles_and_a_cell_stays_in_registers(
    nvrtc: ctypes.CDLL, real: str, forced: bool, architecture: str
) -> None:
    code, log = compiled(nvrtc, real, forced=forced, target=architecture)
    assert code[:4] == b"\x7fELF"
    assert re.findall(r"entry function '(\w+)' for '(\w+)'", log) == [
        (name, architecture) for name in ("open_link", "link", "advance")
    ]
    assert re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", log) == (
        [("0", "0", "0")] * 3
    )
    assert max(map(int, re.findall(r"Used (\d+) registers", log))) < MOST_REGISTERS


@pytest.mark.parametrize(("real", "forced"), VARIANTS)
def test_no_operation_is_contracted_or_approximate_so_that_bits_are_the_cpus(
    nvrtc: ctypes.CDLL, real: str, forced: bool
) -> None:
    text = compiled(nvrtc, real, forced=forced, target="compute_80")[0].decode(errors="ignore")
    operations = set(re.findall(r"\b((?:add|sub|mul|div|fma|rcp|mad)\.[a-z.]*f(?:32|64))\b", text))
    kind = {"float": "f32", "double": "f64"}[real]
    rounded = {f"add.{kind}", f"sub.{kind}", f"mul.{kind}"}  # PTX: to nearest even, where nothing else is said
    assert operations - {f"{name.replace('.', '.rn.', 1)}" for name in rounded} - rounded <= {
        f"div.rn.{kind}",
        f"rcp.rn.{kind}",
    }
    assert f"div.rn.{kind}" in operations or f"rcp.rn.{kind}" in operations


def test_with_cupy_and_no_driver_it_says_so_and_stops(workload_run: Callable[..., Any], tmp_path: Path) -> None:
    """The packages of the GPU image, on a machine without a GPU."""
    if gpu.missing() is None:
        pytest.skip("this machine has a GPU")
    environ = {"PYTHONPATH": f"{ROOT}{os.pathsep}{INSTALLED}", "CUPY_CACHE_DIR": str(tmp_path)}
    done = workload_run(2, "flow", "--device", "gpu", "--steps", "2", "--output", tmp_path / "out", env=environ)
    assert done.returncode == 2
    assert done.stderr.count("--device gpu: no NVIDIA GPU answers: cudaError") == 1, done.stderr
    assert not (tmp_path / "out").exists()
