"""The examples work as they stand, against a twin of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tutti.sweepfile import read_sweep

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A fresh user's environment, with a twin that runs and `tutti` on the path."""
    home = tmp_path_factory.mktemp("home")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "TUTTI_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    fresh = {**kept, "TUTTI_HOME": str(home), "PATH": path}
    subprocess.run(["tutti", "twin", "up", "--isolation", "process"], env=fresh, check=True, capture_output=True)
    yield fresh
    subprocess.run(["tutti", "twin", "down"], env=fresh, check=True, capture_output=True)


def test_a_file_is_handed_from_job_to_job(environ: dict[str, str], tmp_path: Path) -> None:
    script = EXAMPLES / "handover" / "handover.sh"
    told = subprocess.run(
        ["sh", str(script), "handed"],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert (tmp_path / "upper.txt").read_text() == "ONE LINE\n"
    assert (tmp_path / "twice.txt").read_text() == "one line\none line\n"


def test_the_scaling_sweep_runs_one_two_four_and_eight_nodes() -> None:
    sweep = read_sweep(EXAMPLES / "scaling.yaml")
    assert [sweep.job_at(n, f"x-{n}").nodes for n in range(len(sweep.points))] == [1, 2, 4, 8]
