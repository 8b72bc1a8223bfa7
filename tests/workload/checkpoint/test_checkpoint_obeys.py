"""What a running program obeys: requests beside its checkpoints, SIGTERM, and the lock of another job."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from workload.vault import control, inventory
from workload.vault.store import Store, open_store

Steps = Callable[..., Any]
STEPPER = Path(__file__).with_name("stepper.py")
MOST = "50"  # steps: of 50 ms each, a run that nobody stops fails the test


@contextmanager
def running(ranks: int, target: str, *options: str, **env: str) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A run of the stepper that has done its first step, and the process ids of its ranks."""
    command = ["mpiexec", "-n", str(ranks), sys.executable, "-m", "mpi4py", str(STEPPER), target, MOST]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        [*command, "--pause", "0.05", "--say-pids", *options],
        env={**os.environ, "PATH": path, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process, _pids(process.stderr)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _pids(stderr: IO[str] | None) -> list[int]:
    assert stderr is not None
    for line in stderr:
        if line.startswith("pids"):
            return [int(pid) for pid in line.split()[1:]]
    raise AssertionError("the stepper never did its first step")


def test_stop_saves_and_exits_with_213_and_the_next_run_does_not_stop_again(
    mpirun: object, steps: Steps, uninterrupted: Callable[[int], str], target: str, store: Store
) -> None:
    with running(3, target, "--every", "1000") as (process, _):
        request = control.ask(store, control.Verb.STOP)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 213, out + err
    answer = control.answer(store)
    assert answer is not None
    assert (answer.id, answer.saved) == (request.id, True)
    assert f"leaving with 213 (stopped with a checkpoint, on request): saved step {answer.step}" in out
    assert [(f.step, f.good) for f in inventory.survey(store)] == [(answer.step, True)]
    assert store.get("lock.json") is None

    again = steps(1, target, 50)
    assert again.result == {
        "start": answer.step,
        "notes": {"half": answer.step / 2},
        "digest": uninterrupted(50),
    }


def test_save_saves_and_goes_on(mpirun: object, uninterrupted: Callable[[int], str], tmp_path: Path) -> None:
    target = str(tmp_path / "checkpoints")
    store = open_store(target)
    with running(2, target, "--every", "1000") as (process, _):
        request = control.ask(store, control.Verb.SAVE)
        deadline = time.monotonic() + 60
        while (answer := control.answer(store)) is None:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert (answer.id, answer.saved, answer.verb) == (request.id, True, control.Verb.SAVE)
    assert out.count("saved step") == 1, "a request is obeyed once"
    assert uninterrupted(50) in out


@pytest.mark.parametrize("rank", [0, 2])
def test_sigterm_that_nobody_asked_for_saves_and_exits_with_224(mpirun: object, tmp_path: Path, rank: int) -> None:
    target = str(tmp_path / "checkpoints")
    with running(3, target, "--every", "1000") as (process, pids):
        os.kill(pids[rank], signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 224, out + err
    assert "leaving with 224" in out
    assert [f.good for f in inventory.survey(open_store(target))] == [True]


def test_two_jobs_at_one_place_the_second_is_refused(mpirun: object, steps: Steps, target: str) -> None:
    with running(1, target, AWS_BATCH_JOB_ID="1f2e#0", AWS_BATCH_JOB_ATTEMPT="1") as (process, _):
        second = steps(2, target, 8, env={"AWS_BATCH_JOB_ID": "9a9a#0", "AWS_BATCH_JOB_ATTEMPT": "1"})
        assert second.code == 3
        assert f"{target}: checkpoints are being written here by job 1f2e, attempt 1" in second.err
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "checkpoint: saved step 48" in out, "the first job noticed nothing"


def test_a_late_first_attempt_cannot_commit_once_the_retry_runs(
    mpirun: object, steps: Steps, target: str, store: Store
) -> None:
    with running(1, target, AWS_BATCH_JOB_ID="1f2e#0", AWS_BATCH_JOB_ATTEMPT="1") as (late, pids):
        os.kill(pids[0], signal.SIGSTOP)
        # Killed before it saves, so that the lock stays the retry's.
        environ = {"AWS_BATCH_JOB_ID": "1f2e#0", "AWS_BATCH_JOB_ATTEMPT": "2"}
        assert steps(1, target, 60, "--every", "1000", "--die-at", "0:40", env=environ).code != 0
        before = [f.folder for f in inventory.survey(store)]
        os.kill(pids[0], signal.SIGCONT)
        out, err = late.communicate(timeout=60)
    assert late.returncode == 3, out + err
    assert "our lock was taken by job 1f2e, attempt 2" in err
    assert [f.folder for f in inventory.survey(store) if f.committed] == before


def test_a_place_that_not_all_nodes_share_is_refused(
    mpirun: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    program = (
        "import sys; from mpi4py import MPI; from workload.checkpoint import Checkpoints;"
        "rank = str(MPI.COMM_WORLD.rank);"
        "Checkpoints.open('shared:run', MPI.COMM_WORLD, environ={'TUTTI_SHARED': sys.argv[1] + '/disk-of-' + rank})"
    )
    run = mpirun(2, sys.executable, "-m", "mpi4py", "-c", program, tmp_path)
    assert run.returncode != 0
    assert f"rank 1: {tmp_path}/disk-of-1/run: what rank 0 wrote there does not show here" in run.stderr
    assert not list(tmp_path.glob("disk-of-0/run/*")), "the lock is given back"


def test_a_place_of_another_case_is_refused(steps: Steps, tmp_path: Path) -> None:
    target = tmp_path / "checkpoints"
    assert steps(1, target, 8).code == 0
    other = steps(2, target, 8, "--case", "2")
    assert other.code == 3
    assert "is of another run: case: 1 there, 2 here" in other.err


def test_a_running_job_goes_on_where_s3_fails_for_a_while(
    steps: Steps, uninterrupted: Callable[[int], str], s3: object, proxy: Any, fault: Any
) -> None:
    # Every block of step 8 meets a broken S3, some of the others meet one that answers 500 once or cuts the upload.
    def moody(request: Any) -> Any:
        if request.method != "PUT" or "step-" not in request.path:
            return None
        if "step-000000000008" in request.path:
            return fault(status=503)
        if request.before == 0 and "field" in request.path:
            return fault(status=500)
        return fault(cut_request=True) if request.before == 0 and "cells" in request.path else None

    proxy.fault = moody
    through = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}", "AWS_MAX_ATTEMPTS": "2"}
    run = steps(2, "s3://bucket/moody", 12, env=through)
    assert run.result["digest"] == uninterrupted(12)
    assert "could not save step 8: rank 0: cannot write s3://bucket/moody/step-000000000008" in run.out
    store = open_store("s3://bucket/moody")
    assert [(f.step, f.good) for f in inventory.survey(store)] == [(12, True), (4, True)]


def test_an_s3_that_is_down_is_no_reason_to_start_over(steps: Steps, s3: object, proxy: Any, fault: Any) -> None:
    assert steps(2, "s3://bucket/down", 8).code == 0
    proxy.times(99, fault(status=503), method="GET", holds="field")
    through = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}", "AWS_MAX_ATTEMPTS": "1"}
    again = steps(2, "s3://bucket/down", 12, env=through)
    assert again.code == 3
    assert "cannot read s3://bucket/down/step-000000000008" in again.err
    assert "damaged" not in again.out


def test_auto_says_its_formula_its_source_and_what_was_measured(steps: Steps, tmp_path: Path) -> None:
    target = tmp_path / "checkpoints"
    assert steps(1, target, 8, "--every", "4").code == 0
    auto = steps(2, target, 12, "--every", "auto")
    line = next(line for line in auto.out.splitlines() if "auto: every" in line)
    for part in ("W = sqrt(2CM)", "Daly 2006", "Young 1974", "median of 1 saves", "assumed", "over 1 nodes"):
        assert part in line
    pool = steps(1, target, 16, "--every", "auto", env={"TUTTI_NODE_MTBF": "7200000"})
    assert "2000 h a node, the pool's, TUTTI_NODE_MTBF" in pool.out
