"""What the tests of MPI programs share."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
MpiRun = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def mpirun() -> MpiRun:
    """`mpirun(n, *command, env={}, cwd=...)`: run a command under this environment's mpiexec, and wait for it."""
    mpiexec = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
    if mpiexec is None:
        message = "no mpiexec: `make setup` installs the mpich wheel"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)

    def run(
        ranks: int, *command: str | Path, env: Mapping[str, str] | None = None, cwd: Path = REPOSITORY
    ) -> subprocess.CompletedProcess[str]:
        # Numeric libraries would start a thread for each core in each rank.
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        return subprocess.run(
            [mpiexec, "-n", str(ranks), *map(str, command)],
            env={**os.environ, **threads, "PYTHONPATH": str(REPOSITORY), **(env or {})},
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def workload_run(mpirun: MpiRun) -> MpiRun:
    """`workload_run(n, NAME, *options)`: one of our MPI programs on `n` ranks."""

    def run(
        ranks: int, *arguments: str | Path, env: Mapping[str, str] | None = None, cwd: Path = REPOSITORY
    ) -> subprocess.CompletedProcess[str]:
        return mpirun(ranks, sys.executable, "-m", "mpi4py", "-m", "workload", "run", *arguments, env=env, cwd=cwd)

    return run


@pytest.fixture(scope="session")
def compile_c(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """`compile_c(source)`: the program, made by this environment's mpicc; the ziglang wheel where no compiler is."""
    mpicc = shutil.which("mpicc", path=str(Path(sys.executable).parent)) or shutil.which("mpicc")
    assert mpicc is not None, "no mpicc: `make setup` installs the mpich wheel"
    compiler = {} if shutil.which("cc") else {"MPICH_CC": f"{sys.executable} -m ziglang cc"}

    def compile_one(source: Path) -> Path:
        program = tmp_path_factory.mktemp("bin") / source.stem
        subprocess.run(
            [mpicc, "-std=c99", "-Wall", "-Wextra", "-Werror", "-O2", "-o", program, source],
            env={**os.environ, **compiler},
            check=True,
            timeout=120,
        )
        return program

    return compile_one
