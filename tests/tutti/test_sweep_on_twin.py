"""Sweeps against the twin: at most K at once, none lost and none twice whenever the client is killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tutti import Cluster, Job
from tutti.listing import list_jobs
from tutti.sweep import Pace, Sweeper
from tutti.sweepfile import Sweep
from tutti.sweepstore import BusyError, SweepStore

Tutti = Callable[..., "subprocess.CompletedProcess[str]"]
QUEUE = "twin-mpi-low"


def sweep_of(name: str, points: int, **job: object) -> Sweep:
    keys = {"nodes": 1, "command": ["echo", "{n}"], **job}
    return Sweep(name=name, job=keys, points=tuple({"n": n} for n in range(points)))


def file_of(folder: Path, sweep: Sweep) -> str:
    path = folder / "sweep.yaml"
    path.write_text(json.dumps({"name": sweep.name, "job": sweep.job, "list": list(sweep.points)}))
    return str(path)


@pytest.fixture
def waiting_queue(tutti: Tutti) -> Iterator[str]:
    """A queue whose jobs wait: its pool has no capacity."""
    tutti("twin", "shortage", QUEUE, "on")
    yield QUEUE
    tutti("cancel", "--all", "--yes")
    tutti("twin", "shortage", QUEUE, "off")


def names(cluster: Cluster, sweep: Sweep) -> Counter[str]:
    return Counter(j.name for j in list_jobs(cluster, queues=[QUEUE]) if j.name.startswith(sweep.id))


def test_a_client_killed_at_any_moment_loses_no_point_and_sends_none_twice(
    cluster: Cluster, twin_home: Path, tmp_path: Path, waiting_queue: str
) -> None:
    sweep = sweep_of("killed", 90, queue=waiting_queue)
    command = [sys.executable, "-m", "tutti", "sweep", file_of(tmp_path, sweep)]
    environ = {**os.environ, "TUTTI_HOME": str(twin_home)}
    generator = random.Random(7)
    for _ in range(2):
        before = sum(names(cluster, sweep).values())
        client = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # an event first (it sends), then a moment that nobody chose
        while client.poll() is None and sum(names(cluster, sweep).values()) == before:
            time.sleep(0.02)
        time.sleep(generator.uniform(0, 0.4))
        client.send_signal(signal.SIGKILL)
        client.wait()
    assert 0 < len(names(cluster, sweep)) < len(sweep.points)
    subprocess.run(command, env=environ, check=True, capture_output=True, timeout=60)
    assert names(cluster, sweep) == Counter({f"{sweep.id}-{n:05d}": 1 for n in range(len(sweep.points))})


def test_no_more_than_max_running_go_on_at_once(cluster: Cluster) -> None:
    sweep = sweep_of("few", 6)
    seen: list[int] = []

    def look(counts: object) -> None:
        alive = [
            j for j in list_jobs(cluster) if j.name.startswith(sweep.id) and j.state not in {"SUCCEEDED", "FAILED"}
        ]
        seen.append(len(alive))

    known = Sweeper(sweep, cluster, tell=look).run(max_running=2, wait=True)
    assert max(seen) <= 2
    assert {t.state for t in known.values()} == {"SUCCEEDED"}
    assert len(known) == 6


def test_failed_points_and_only_they_run_again_on_another_machine(
    tutti: Tutti, cluster: Cluster, tmp_path: Path
) -> None:
    sweep = sweep_of("again", 4, command=["sh", "-c", "[ {n} != 2 ]"])
    first = tutti("sweep", file_of(tmp_path, sweep), "--wait")
    assert first.returncode == 1
    assert f"again: tutti sweep {sweep.id} --rerun-failed" in first.stdout
    # another machine has no file, only the bucket
    told = json.loads(tutti("sweep", sweep.id, "--rerun-failed", "--wait", "--json").stdout)
    assert [(p["point"], p["round"], p["state"]) for p in told["points"]] == [
        (0, 0, "SUCCEEDED"),
        (1, 0, "SUCCEEDED"),
        (2, 1, "FAILED"),
        (3, 0, "SUCCEEDED"),
    ]
    assert sum(j.name.startswith(sweep.id) for j in list_jobs(cluster)) == 5


def test_points_start_after_a_job_that_is_named_as_for_submit(tutti: Tutti, cluster: Cluster, tmp_path: Path) -> None:
    """A name, or the beginning of an id, is made whole; a word that means no job leaves nothing behind."""
    first = Job(command=["sleep", "1"], nodes=1, name="before-the-points").submit(cluster)
    sweep = sweep_of("behind", 2, after="before-the-points")
    known = Sweeper(sweep, cluster).run(wait=True)
    assert [t.state for t in known.values()] == ["SUCCEEDED"] * 2
    depends = cluster.batch.describe_jobs(jobs=[known[0].id])["jobs"][0].get("dependsOn", [])
    assert [d.get("jobId") for d in depends] == [first.id]
    lost = sweep_of("lost", 2, after="no-such-job")
    assert tutti("sweep", file_of(tmp_path, lost)).returncode == 3
    assert SweepStore(cluster, lost.id).read("sweep.json") is None


def test_points_can_be_compared_and_run_again(tutti: Tutti, cluster: Cluster) -> None:
    known = Sweeper(sweep_of("kept", 2), cluster).run(wait=True)
    told = json.loads(tutti("diff", known[0].id, known[1].id, "--json").stdout)
    assert ("command", "echo 0", "echo 1") in [(d["what"], d["one"], d["other"]) for d in told]
    assert tutti("rerun", known[1].id, "--wait").returncode == 0


def test_two_clients_do_not_drive_one_sweep(cluster: Cluster) -> None:
    first, second = SweepStore(cluster, "locked-000000"), SweepStore(cluster, "locked-000000")
    first.lock()
    with pytest.raises(BusyError, match=f"driven by process {os.getpid()}"):
        second.lock()
    first.unlock()
    second.lock()
    second.unlock()


def test_whoever_lost_the_lock_stops(cluster: Cluster) -> None:
    first = SweepStore(cluster, "taken-000000")
    first.lock()
    cluster.s3.put_object(
        Bucket=cluster.card.bucket, Key=f"{cluster.card.prefix}sweeps/taken-000000/lock.json", Body=b"{}"
    )
    first.renewed = 0
    with pytest.raises(BusyError, match="taken over by somebody else"):
        first.renew()


def test_an_unknown_sweep_is_told_with_the_known_ones(tutti: Tutti, cluster: Cluster) -> None:
    SweepStore(cluster, "known-123456").write("sweep.json", {})
    told = tutti("sweep", "unknown-123456", "--status")
    assert told.returncode == 3
    assert "known-123456" in told.stderr


def test_calls_keep_their_pace_whoever_makes_them() -> None:
    now = [0.0]
    pace = Pace(10, clock=lambda: now[0])
    waits: list[float] = []
    for _ in range(3):
        pace.wait(sleep=waits.append)
    assert waits == [pytest.approx(0.1), pytest.approx(0.2)]
