"""A node that never comes: exit 220, end to end. Log and `tutti why` name it, and how far it got."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tutti import Cluster, Job
from tutti.run import Run
from workload.contract import ExitCode

Tutti = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def gate(twin_home: Path, cluster: Cluster) -> tuple[Run, Path]:
    """A job that ends well once a file is there: what waits for it can be drilled before it starts."""
    shut = Job(
        command=("sh", "-c", 'until [ -e "$TUTTI_SHARED/work/go" ]; do sleep 0.05; done'), nodes=1, mpi="none"
    ).submit(cluster)
    return shut, twin_home / "twin" / "shared" / "work" / "go"


def test_a_node_that_never_comes_is_named_with_how_far_it_got(
    tutti: Tutti, cluster: Cluster, gate: tuple[Run, Path]
) -> None:
    shut, opens = gate
    run = Job(command=("true",), nodes=3, name="short", join_timeout=2, retries=0, after=(shut.id,)).submit(cluster)
    assert tutti("drill", "delay", run.id, "--node", "2", "--seconds", "600").returncode == 0
    opens.parent.mkdir(exist_ok=True)
    opens.touch()
    try:
        details = run.wait()
    finally:
        opens.unlink()
    assert details.code == ExitCode.MISSING
    lines = [line.line.text for line in run.logs(nodes=[0])]
    assert any("node 2 of 3 did not join within 2 s" in line for line in lines), lines
    found = json.loads(tutti("why", run.id, "--json").stdout)["finding"]
    assert found["code"] == "exit-220"
    assert "node 2 did not start" in found["cause"]
    assert "node 1 " not in found["cause"]
    assert tutti("wait", run.id).returncode == ExitCode.MISSING
