"""Causes that the twin is brought into: real jobs, asked as a user asks."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tutti import Cluster, Job
from tutti.run import Run, StateChange

Tutti = Callable[..., "subprocess.CompletedProcess[str]"]
NAME = "why"  # of an environment and a queue of these tests


def code_of(tutti: Tutti, job: str) -> str:
    found: str = json.loads(tutti("why", job, "--json").stdout)["finding"]["code"]
    return found


@pytest.fixture
def small(cluster: Cluster) -> Iterator[Any]:
    """A queue whose environment, of two vCPUs, is changed by what the test gives; its jobs are ended."""
    batch = cluster.batch
    resources: Any = {
        "type": "EC2", "minvCpus": 0, "maxvCpus": 2, "instanceTypes": ["optimal"], "subnets": ["s"], "instanceRole": "r",
    }  # fmt: skip
    batch.create_compute_environment(computeEnvironmentName=NAME, type="MANAGED", computeResources=resources)
    order: Any = [{"order": 1, "computeEnvironment": NAME}]
    batch.create_job_queue(jobQueueName=NAME, priority=1, computeEnvironmentOrder=order)
    jobs: list[str] = []

    def submit(nodes: int) -> str:
        definition = next(d.arn for d in cluster.card.definitions if d.kind == "mpi")
        overrides: Any = {"numNodes": nodes}
        jobs.append(
            batch.submit_job(jobName=NAME, jobQueue=NAME, jobDefinition=definition, nodeOverrides=overrides)["jobId"]
        )
        return jobs[-1]

    yield submit
    for job in jobs:
        batch.terminate_job(jobId=job, reason="wrong input")
        Run(job, cluster).wait()
    batch.update_job_queue(jobQueue=NAME, state="DISABLED")
    batch.delete_job_queue(jobQueue=NAME)
    batch.update_compute_environment(computeEnvironment=NAME, state="DISABLED")
    batch.delete_compute_environment(computeEnvironment=NAME)


def test_jobs_that_a_queue_cannot_start(small: Any, cluster: Cluster, tutti: Tutti) -> None:
    first, second = small(nodes=2), small(nodes=1)
    for job in (first, second):
        changes = Run(job, cluster).follow(logs=False)
        next(change for change in changes if isinstance(change, StateChange) and change.job.state == "RUNNABLE")
    assert code_of(tutti, first) == "too-many-vcpus"
    assert code_of(tutti, second) == "behind-another"
    cluster.batch.update_compute_environment(computeEnvironment=NAME, state="DISABLED")
    assert code_of(tutti, first) == "environment-disabled"
    cluster.batch.terminate_job(jobId=second, reason="wrong input")
    assert Run(second, cluster).wait().code
    assert code_of(tutti, second) == "cancelled"


def test_how_jobs_ended(cluster: Cluster, tutti: Tutti) -> None:
    def gang(*command: str, **more: Any) -> Job:
        return Job(command=command, name=NAME, nodes=1, mpi="none", retries=0, **more)

    element = "exit $((AWS_BATCH_JOB_ARRAY_INDEX * 5))"
    wanted = {
        "program": gang("sh", "-c", "exit 3"),
        "not-found": gang("no-such-program"),
        "not-executable": gang("/dev/null"),
        "segfault": gang("sh", "-c", "kill -SEGV $$"),
        "no-file": gang("python", "no-such-script.py"),
        "exit-212": gang("true", input=("shared:input/nobody-has-this",)),
    }
    runs = {code: job.submit(cluster) for code, job in wanted.items()}
    array = Job(command=("sh", "-c", element), name=NAME, array=2, retries=0).submit(cluster)
    stopped = gang("sleep", "600").submit(cluster)
    stopped.wait(until="running")
    stopped.cancel(reason="wrong input")
    for run in (*runs.values(), array, stopped):
        run.wait()
    assert {code: code_of(tutti, run.id) for code, run in runs.items()} == {code: code for code in runs}
    assert code_of(tutti, stopped.id) == "cancelled"
    answer = json.loads(tutti("why", array.id, "--json").stdout)
    assert (answer["id"], answer["finding"]["cause"]) == (f"{array.id}:1", "the program ended with code 5")
