"""A twin of a user who is not root: nodes in networks of their own, in a user namespace."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

NOBODY = 65534
WHO = "from mpi4py import MPI; import socket; print(socket.gethostname(), MPI.COMM_WORLD.allreduce(1))"

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(os.geteuid() != 0, reason="root alone can become another user; without it, all tests are one's"),
]


@dataclass(frozen=True)
class Stranger:
    """A user without any privilege, at a home of its own."""

    programs: Path
    home: Path

    def __call__(self, *args: str) -> subprocess.CompletedProcess[str]:
        """`tutti ARGS...`."""
        places = {"HOME": str(self.home), "TUTTI_HOME": str(self.home / "h"), "TMPDIR": str(self.home)}
        return subprocess.run(
            [str(self.programs / "python"), "-m", "tutti", *args],
            env={**places, "PATH": f"{self.programs}:/usr/bin:/bin"},
            cwd=self.home,
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture
def tutti(everybodys_bin: Path) -> Iterator[Stranger]:
    home = Path(tempfile.mkdtemp(prefix="tutti-home-"))
    os.chown(home, NOBODY, NOBODY)
    stranger = Stranger(everybodys_bin, home)
    yield stranger
    stranger("twin", "down")
    shutil.rmtree(home)


def test_a_user_who_is_not_root_runs_a_gang_on_networks_of_its_own(tutti: Stranger) -> None:
    up = tutti("twin", "up", "--isolation", "netns")
    if "cannot be had here" in up.stderr and os.environ.get("CI") != "true":
        pytest.skip(up.stderr)
    assert up.returncode == 0, up.stderr
    told = tutti("submit", "--nodes", "3", "--mpi", "mpich", "--wait", "--", "python", "-m", "mpi4py", "-c", WHO)
    assert told.returncode == 0, told.stdout + told.stderr
    said = [line.split() for line in told.stdout.splitlines() if line.endswith(" 3") and ":" in line.split("]")[0]]
    assert sorted(tag for tag, _, _ in said) == ["[0:0]", "[1:1]", "[2:2]"]
    assert len({name for _, name, _ in said}) == 3  # each node has a host name of its own
    assert tutti("twin", "down").returncode == 0
    assert left_of(tutti.home) == []


def left_of(home: Path) -> list[psutil.Process]:
    """Processes that were started below a home."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if str(home) in process.environ().get("TMPDIR", ""):
                found.append(process)
    return found
