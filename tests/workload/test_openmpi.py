"""Our programs under Open MPI: the same results as under MPICH, on which all other tests run."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
PREFIX = ROOT / ".mpi" / "openmpi"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def openmpi_run() -> Run:
    """`openmpi_run(n, NAME, *options)`: one of our programs under the Open MPI that `make test` installs."""
    mpiexec = PREFIX / "bin" / "mpiexec"
    if not mpiexec.exists():
        message = f"no Open MPI at {PREFIX}: `make test` installs it"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    environment = {
        **os.environ,
        "MPI4PY_LIBMPI": str(PREFIX / "lib" / "libmpi.so.40"),
        "LD_LIBRARY_PATH": str(PREFIX / "lib"),
        "OPENBLAS_NUM_THREADS": "1",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_mpi_yield_when_idle": "1",
    }

    def run(ranks: int, *options: str | Path) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-m", "mpi4py", "-m", "workload", "run", *map(str, options)]
        return subprocess.run(
            [mpiexec, "--oversubscribe", "--bind-to", "none", "-n", str(ranks), *program],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.mark.mpi("openmpi")
def test_the_ring_goes_round(openmpi_run: Run) -> None:
    run = openmpi_run(3, "ring", "--laps", "2", "--sweep")
    assert run.returncode == 0, run.stderr
    assert "number 6, sum of ranks 3" in run.stdout


@pytest.mark.mpi("openmpi")
def test_matmul_is_numpys_product(openmpi_run: Run, tmp_path: Path) -> None:
    a = np.random.default_rng(1).standard_normal((101, 17))
    np.save(tmp_path / "a.npy", a)
    run = openmpi_run(4, "matmul", "--input", tmp_path / "a.npy", "--output", tmp_path / "g.npy")
    assert run.returncode == 0, run.stderr
    np.testing.assert_allclose(np.load(tmp_path / "g.npy"), a @ a.T, atol=1e-12)


@pytest.mark.mpi("openmpi")
def test_montecarlo_has_the_same_bits_as_under_mpich(openmpi_run: Run, workload_run: Run) -> None:
    options = ("montecarlo", "--iterations", "9000", "--columns", "2")
    run = openmpi_run(3, *options)
    assert run.returncode == 0, run.stderr
    assert run.stdout == workload_run(2, *options).stdout
