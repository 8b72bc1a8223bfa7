"""A tiny self-test of an image: what a gang needs is there and can be loaded. The image's health check.

Standard library alone at import; starts no MPI.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Iterator

LAUNCHERS = ("mpiexec.hydra", "mpiexec.mpich", "mpiexec.openmpi", "mpiexec")
NEEDED = ("zmq", "boto3", "mpi4py", "numpy", "workload.entrypoint")
REFUSED = ("sshd",)


def problems() -> Iterator[str]:
    """What is wrong with this image, a line each."""
    for name in NEEDED:
        if not _found(name):
            yield f"the Python package {name} is missing"
    if not any(shutil.which(name) for name in LAUNCHERS):
        yield f"no MPI launcher on PATH: looked for {', '.join(LAUNCHERS)}"
    for name in REFUSED:
        if path := shutil.which(name):
            yield f"{path} is in the image: a gang needs no SSH, and nobody should be able to log in"


def _found(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def main() -> int:
    """Say what is wrong, or which MPI launchers are there."""
    found = list(problems())
    for problem in found:
        print(f"self-test: {problem}", file=sys.stderr)
    if not found:
        for path in filter(None, map(shutil.which, LAUNCHERS)):
            said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout.split("\n")[
                0
            ]
            print(f"{path}: {said}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
