"""What a node imports before its first step is over: it is paid on every node, in every job."""

from __future__ import annotations

import subprocess
import sys

from workload import contract, entrypoint


def test_the_first_step_imports_nothing_of_ours_and_knows_the_secrets_name() -> None:
    script = "import sys, workload.entrypoint; print(*(m for m in sys.modules if m.startswith('workload')))"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["workload", "workload.entrypoint"]
    assert str(contract.Variable.SECRET) == contract.SECRET_PREFIX == entrypoint.SECRET
