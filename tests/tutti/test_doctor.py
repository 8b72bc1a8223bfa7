"""`tutti doctor`, `why` and `cost` against a running twin."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any, cast

import pytest

from tutti import Cluster, Job, doctor
from tutti.aws import ExpiredError
from tutti.errors import ServiceError

Tutti = Callable[..., "subprocess.CompletedProcess[str]"]


def test_a_healthy_cluster_passes_every_proof(tutti: Tutti, cluster: Cluster) -> None:
    told = tutti("doctor", "--run", "--json")
    results = json.loads(told.stdout)
    assert [r["check"] for r in results if not r["good"]] == []
    assert told.returncode == 0
    names = {r["check"] for r in results}
    assert {
        "ring on 2 nodes",
        "ring on 4 nodes",
        "three 2-node jobs at once",
        "a file of one node, read by all",
        "S3 there and back",
        "the pool back at 0 vCPUs",
    } <= names
    rings = [r["measured"] for r in results if r["check"].startswith("ring on")]
    assert all(ring["latency_us"] > 0 and ring["gb_per_s"] > 0 for ring in rings)
    assert len(rings) == 2
    left = cluster.s3.list_objects_v2(Bucket=cluster.card.bucket, Prefix=f"{cluster.card.prefix}doctor/")
    assert left["KeyCount"] == 0


def test_a_disabled_queue_is_found_and_a_job_in_it_explained(tutti: Tutti, cluster: Cluster) -> None:
    queue = cluster.card.queues[0].name
    cluster.batch.update_job_queue(jobQueue=queue, state="DISABLED")
    try:
        told = tutti("doctor")
        assert told.returncode == 1
        rows = told.stdout.splitlines()
        assert rows[0].split() == ["CHECK", "RESULT", "SECONDS", "FOUND"]
        assert next(row for row in rows if row.startswith(queue)).split()[1:] == ["wrong", "-", "queue-disabled"]
        assert f"{queue}: queue {queue} is disabled" in " ".join(rows)
        assert all(len(row) <= 80 for row in rows)
        assert rows[-1].endswith("1 wrong")
    finally:
        cluster.batch.update_job_queue(jobQueue=queue, state="ENABLED")
    assert tutti("doctor").returncode == 0


def test_a_job_that_waits_for_another_is_told_of_it(tutti: Tutti, cluster: Cluster) -> None:
    first = Job(command=("sleep", "600"), name="first", nodes=2).submit(cluster)
    second = Job(command=("hostname",), name="second", nodes=2, after=(first.id,)).submit(cluster)
    told = tutti("why", second.id)
    assert f"it waits for {first.id}" in told.stdout
    first.cancel()
    assert second.wait().code
    told = tutti("why", second.id)
    assert "a job that it was to follow has failed" in told.stdout


def test_a_failed_program_is_told_with_its_last_words(tutti: Tutti, cluster: Cluster) -> None:
    run = Job(command=("python", "-c", "import no_such_module"), name="missing", nodes=2).submit(cluster)
    assert run.wait().code == 1
    found = json.loads(tutti("why", run.id, "--json").stdout)["finding"]
    assert found["code"] == "no-module"
    assert "no_such_module" in found["cause"]


def test_nothing_is_wrong_with_a_job_that_is_done(tutti: Tutti, cluster: Cluster) -> None:
    run = Job(command=("true",), name="fine", nodes=2).submit(cluster)
    assert run.wait().code == 0
    assert "nothing is wrong with it" in tutti("why", run.id).stdout
    rows = json.loads(tutti("cost", "--by", "job", "--json").stdout)["rows"]
    (row,) = (row for row in rows if row["key"] == "fine")
    assert row["runs"] == 1
    assert row["node_hours"] * 3600 >= 120


class Unreachable:
    """A job whose submission answers, and nothing after it."""

    def __init__(self) -> None:
        self.asked_to_end = False

    def submit(self, _: Cluster) -> Unreachable:
        return self

    def wait(self) -> None:
        raise ExpiredError("the credentials have expired")

    def cancel(self, _: str) -> bool:
        self.asked_to_end = True
        raise ServiceError("nor can it be cancelled")


def test_jobs_that_cannot_be_cancelled_hide_neither_the_first_error_nor_each_other() -> None:
    jobs: list[Any] = [Unreachable(), Unreachable()]
    with pytest.raises(ExpiredError, match="expired"):
        doctor._run(cast("Cluster", None), "two jobs", jobs)
    assert all(job.asked_to_end for job in jobs)
