"""Waiting survives what a long wait meets: credentials that expire. And any AWS client sees the same jobs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from tutti import Cluster, Job
from tutti.listing import list_jobs
from tutti.logs import LogLine
from tutti.run import Run, StateChange
from tutti.submission import awaited, prepare, send
from tutti.sweep import Sweeper
from tutti.sweepfile import Sweep
from workload.contract import Card

Tutti = Callable[..., "subprocess.CompletedProcess[str]"]


class Body:
    """An answer's body as urllib3 would give it."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self, **_: object) -> Any:
        yield self._data


def expire(cluster: Cluster, call: str) -> None:
    """Make this client's credentials bad from now on; the next client's are good, as after a new login."""

    def answer(request: Any, **_: object) -> Any:
        body = json.dumps({"__type": "ExpiredTokenException", "message": "The security token is expired"}).encode()
        return AWSResponse(request.url, 400, HTTPHeaders(), Body(body))

    cluster.batch.meta.events.register(f"before-send.batch.{call}", answer)


def test_credentials_that_expire_in_mid_wait_are_asked_for_and_nothing_is_lost(cluster: Cluster) -> None:
    run = Job(command=["sh", "-c", "for i in 1 2 3 4 5; do echo line $i; sleep 0.3; done"], nodes=1).submit(cluster)
    run.wait(until="running")
    complaints: list[str] = []
    expire(cluster, "DescribeJobs")
    happened = list(run.follow(on_expired=complaints.append))
    assert len(complaints) == 1
    assert "Log in again" in complaints[0]
    last = happened[-1]
    assert isinstance(last, StateChange)
    assert last.job.state == "SUCCEEDED"
    said = [str(x) for x in happened if isinstance(x, LogLine) and x.line.rank == 0]
    assert said == [f"[0:0] line {i}" for i in range(1, 6)]


def test_credentials_that_expire_before_the_other_job_has_ended_delay_nothing(cluster: Cluster) -> None:
    first = Job(command=["sleep", "600"], nodes=1).submit(cluster)
    prepared = prepare(Job(command=["true"], nodes=1, after=(f"{first.id}:any",)), cluster)
    expire(cluster, "DescribeJobs")
    complaints: list[str] = []

    def tell(words: str) -> None:
        complaints.append(words)
        Run(first.id, Cluster(cluster.card)).cancel()

    run = Run(send(awaited(prepared, cluster, tell=tell), cluster), cluster)
    assert len(complaints) == 1
    assert run.wait().state == "SUCCEEDED"


def test_a_sweep_goes_on_with_new_credentials_and_sends_no_point_twice(cluster: Cluster) -> None:
    points = tuple({"n": n} for n in range(4))
    sweep = Sweep(name="renewed", job={"nodes": 1, "command": ["true"]}, points=points)
    complaints: list[str] = []
    expired: list[bool] = []

    def look(_: object) -> None:
        if not expired:
            expired.append(True)
            expire(cluster, "ListJobs")

    known = Sweeper(sweep, cluster, tell=look, trouble=complaints.append).run(max_running=2, wait=True)
    assert len(complaints) == 1
    assert [t.state for t in known.values()] == ["SUCCEEDED"] * 4
    assert sum(job.name.startswith(sweep.id) for job in list_jobs(cluster)) == 4


def test_where_the_stack_is_older_the_desk_waits_and_ctrl_c_sends_nothing(cluster: Cluster, tmp_path: Path) -> None:
    first = Job(command=["sleep", "600"], nodes=1).submit(cluster)
    older = {k: v for k, v in cluster.card.to_json().items() if k != "waiting"}
    Cluster(Card.from_json(older)).save({"TUTTI_HOME": str(tmp_path)})
    command = [sys.executable, "-m", "tutti", "submit", "--after", f"{first.id}:any", "--name", "later", "--", "true"]
    environ = {"TUTTI_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as waiting:
        assert waiting.stderr is not None
        why = "cluster twin does not do it for you: its stack is older"
        assert waiting.stderr.readline() == f"submits when {first.id} has ended: keep this command running ({why})\n"
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(timeout=60) == 130
        assert "interrupted before anything was submitted; the same command waits again" in waiting.stderr.read()
    assert "later" not in {job.name for job in list_jobs(cluster)}
    first.cancel()


def test_another_aws_client_sees_the_same_jobs(tutti: Tutti, cluster: Cluster) -> None:
    job_id = tutti("submit", "--nodes", "1", "--name", "seen", "--", "true").stdout.strip()
    tutti("wait", job_id)
    exports = dict(
        line.removeprefix("export ").split("=", 1) for line in tutti("twin", "env").stdout.splitlines() if "=" in line
    )
    code = (
        "import boto3, json\n"
        "b = boto3.client('batch')\n"
        "found = b.list_jobs(jobQueue='twin-mpi-high', jobStatus='SUCCEEDED')['jobSummaryList']\n"
        "print(json.dumps([j['jobId'] for j in found]))"
    )
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "TUTTI_"))}
    plain = {**kept, **{k: v.strip("'\"") for k, v in exports.items()}}
    theirs = json.loads(
        subprocess.run([sys.executable, "-c", code], env=plain, capture_output=True, text=True, check=True).stdout
    )
    ours = [
        j["id"]
        for j in json.loads(tutti("status", "--json").stdout)
        if j["state"] == "SUCCEEDED" and j["queue"] == "twin-mpi-high"
    ]
    assert job_id in theirs
    assert set(theirs) == set(ours)


def test_completion_knows_commands_and_flags() -> None:
    environ = {**os.environ, "_TUTTI_COMPLETE": "complete_bash", "COMP_WORDS": "tutti sta", "COMP_CWORD": "1"}
    told = subprocess.run([sys.executable, "-m", "tutti"], env=environ, capture_output=True, text=True, check=False)
    assert "status" in told.stdout.split()
    environ |= {"COMP_WORDS": "tutti submit --ranks", "COMP_CWORD": "2"}
    told = subprocess.run([sys.executable, "-m", "tutti"], env=environ, capture_output=True, text=True, check=False)
    assert told.stdout.split() == ["--ranks-per-node"]


def test_a_job_of_use_to_its_caller_alone_ends_with_who_waits_for_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Job(command=["sleep", "600"], nodes=1).submit(cluster)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run.wait_or_end()
    monkeypatch.undo()
    assert run.wait().reason == "nobody waits for it any more"
