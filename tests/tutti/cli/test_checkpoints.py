"""`tutti checkpoints`, on a place that a real program writes to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from workload.vault import inventory
from workload.vault.store import open_store

Tutti = Callable[..., subprocess.CompletedProcess[str]]
REPOSITORY = Path(__file__).parents[3]
HEAT = REPOSITORY / "examples" / "heat" / "heat.py"


@pytest.fixture
def tutti(tmp_path: Path) -> Tutti:
    """Run `tutti ARGS...` in a home without clusters."""

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "TUTTI_"))}
        return subprocess.run(
            [sys.executable, "-m", "tutti", *args],
            env={**keep, "TUTTI_HOME": str(tmp_path / "home"), "COLUMNS": "80"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run


@contextmanager
def heated(place: Path, steps: int, every: str = "100") -> Iterator[subprocess.Popen[str]]:
    """The heat example as one process, which MPI allows without mpiexec."""
    environ = {**os.environ, "HEAT_POINTS": "64", "HEAT_EVERY": every, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(
        [sys.executable, "-m", "mpi4py", HEAT, place, str(steps)],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Checkpoints of steps 100 and 200."""
    with heated(tmp_path / "plate", 200) as process:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0, out
    return tmp_path / "plate"


def until_locked(place: Path) -> None:
    deadline = time.monotonic() + 30
    while not (place / "lock.json").exists():
        assert time.monotonic() < deadline, "the program never came to its checkpoints"
        time.sleep(0.02)


def test_ls_shows_what_was_saved_the_newest_first(tutti: Tutti, place: Path) -> None:
    told = tutti("checkpoints", "ls", str(place))
    assert told.returncode == 0, told.stderr
    rows = [line.split() for line in told.stdout.splitlines()]
    assert rows[0] == ["STEP", "AGE", "SIZE", "RANKS", "JOB", "STATE"]
    assert [(row[0], row[2], row[4], row[6]) for row in rows[1:]] == [
        ("200", "32.0", "1", "good"),
        ("100", "32.0", "1", "good"),
    ]
    facts = json.loads(tutti("checkpoints", "ls", str(place), "--json").stdout)
    assert facts["lock"] is None
    assert facts["checkpoints"][0]["arrays"] == {"u": {"dtype": "<f8", "shape": [64, 64]}}


def test_verify_finds_the_bit_that_flipped_and_ends_with_1(tutti: Tutti, place: Path) -> None:
    assert tutti("checkpoints", "verify", str(place)).returncode == 0
    piece = min(place.glob("step-*200-*/u.*"))
    data = bytearray(piece.read_bytes())
    data[1234] ^= 4
    piece.write_bytes(data)
    told = tutti("checkpoints", "verify", str(place))
    assert told.returncode == 1
    assert "step 200: DAMAGED" in told.stdout
    assert f"{piece.name} was changed: its checksum is" in told.stdout
    assert "step 100: good, 32.0 KiB read" in told.stdout
    # prune goes by names and sizes; it keeps the last two that it has no reason to doubt
    assert "2 stay" in tutti("checkpoints", "prune", str(place)).stdout
    piece.write_bytes(data[:-1])
    assert "removed step 200, damaged" in tutti("checkpoints", "prune", str(place)).stdout


def test_prune_keeps_the_last_good_ones_and_removes_what_was_never_finished(tutti: Tutti, place: Path) -> None:
    unfinished = place / "step-000000000300-0123abcd"
    unfinished.mkdir()
    (unfinished / "u.r00000.000").write_bytes(b"half")
    dry = tutti("checkpoints", "prune", str(place), "--keep", "1", "--dry-run")
    assert "would remove step 300, unfinished" in dry.stdout
    assert unfinished.exists()
    told = tutti("checkpoints", "prune", str(place), "--keep", "1")
    assert told.stdout.splitlines() == ["removed step 300, unfinished", "removed step 100, good", "1 stay"]
    assert [f.step for f in inventory.survey(open_store(str(place)))] == [200]


def test_stop_ends_the_running_program_with_213_and_prune_keeps_its_hands_off_meanwhile(
    tutti: Tutti, tmp_path: Path
) -> None:
    place = tmp_path / "plate"
    with heated(place, 100_000_000, every="1h") as process:
        until_locked(place)
        refused = tutti("checkpoints", "prune", str(place))
        assert refused.returncode == 2
        assert "checkpoints are being written here by process" in refused.stderr
        assert tutti("checkpoints", "unlock", str(place)).returncode == 2
        saved = tutti("checkpoints", "save", str(place), "--json")
        assert saved.returncode == 0, saved.stderr
        stopped = tutti("checkpoints", "stop", str(place))
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 213, out
    assert stopped.returncode == 0
    steps = [f.step for f in inventory.survey(open_store(str(place)))]
    assert stopped.stdout.strip() == f"saved step {steps[0]}"
    assert json.loads(saved.stdout)["step"] == steps[1]


def test_a_lock_left_by_a_killed_program_can_be_removed(tutti: Tutti, tmp_path: Path) -> None:
    place = tmp_path / "plate"
    with heated(place, 100_000_000, every="1h") as process:
        until_locked(place)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    assert "may still run" in tutti("checkpoints", "unlock", str(place)).stderr
    told = json.loads(tutti("checkpoints", "unlock", str(place), "--force", "--json").stdout)
    assert (told["target"], told["removed"]["process"].partition("@")[0]) == (str(place), str(process.pid))
    assert "is not locked" in tutti("checkpoints", "unlock", str(place)).stdout


def test_nobody_answers_where_nobody_runs(tutti: Tutti, place: Path) -> None:
    told = tutti("checkpoints", "stop", str(place), "--timeout", "1")
    assert told.returncode == 1
    assert "no answer in 1 s" in told.stderr


def test_an_empty_place_is_no_error_but_nothing_to_verify(tutti: Tutti, tmp_path: Path) -> None:
    empty = str(tmp_path / "empty")
    assert "nothing was saved" in tutti("checkpoints", "ls", empty).stdout
    assert tutti("checkpoints", "verify", empty).returncode == 1


@pytest.mark.parametrize(
    ("word", "says"), [("heat", "no cluster is known here"), ("s3://bucket", "no cluster is known")]
)
def test_a_job_or_a_bucket_needs_a_cluster(tutti: Tutti, word: str, says: str) -> None:
    told = tutti("checkpoints", "ls", word)
    assert told.returncode == 3
    assert says in told.stderr
