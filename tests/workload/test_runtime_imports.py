"""A node starts in hundredths of a second because of what it does not import."""

from __future__ import annotations

import subprocess
import sys

import pytest

from workload import contract

HEAVY = (
    *("boto3", "botocore", "numpy", "mpi4py", "asyncio", "urllib.request", "http.client", "workload.staging"),
    *("dataclasses", "inspect", "tempfile", "traceback", "workload.gang.main"),  # docs/adr/0060
)


@pytest.mark.parametrize("module", ["workload.entrypoint", "workload.gang.run", "workload.node"])
def test_the_gangs_path_imports_nothing_heavy(module: str) -> None:
    script = f"import sys, {module}; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_the_first_step_of_the_entrypoint_imports_next_to_nothing() -> None:
    script = "import sys; before = {*sys.modules}; import workload.entrypoint; print(*sorted({*sys.modules} - before))"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["__future__", "workload", "workload.entrypoint"]


def test_the_version_is_the_packages() -> None:
    from importlib.metadata import version

    assert version("tutti") == contract.VERSION
