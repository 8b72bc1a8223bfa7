"""Whole jobs through the Batch API of the twin: what the runtime says at its end, and what Batch's rules make of it.

MPI programs on several nodes, with each MPI; what is lost, killed or told to stop is so by `tutti drill` and the client.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tutti import Cluster, Job
from tutti.home import Home
from tutti.run import Run
from tutti.twin import control
from workload.contract import Mpi

# All ranks meet; the first attempt then stays until somebody ends it, the second one finishes the work.
WORK = """
import os, signal, sys, time
from mpi4py import MPI
comm = MPI.COMM_WORLD
def told(number, frame):
    time.sleep(1)
    print("saved", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, told)
comm.barrier()
print("in", flush=True)
while os.environ["AWS_BATCH_JOB_ATTEMPT"] == "1":
    time.sleep(0.05)
print("sum", comm.allreduce(comm.rank), flush=True)
"""
# What a rank is: its node's index, its node's keys, what only the job was told; written to S3 as itself.
WHO = """
import json, os, boto3
from mpi4py import MPI
index, rank = os.environ["AWS_BATCH_JOB_NODE_INDEX"], MPI.COMM_WORLD.rank
own = boto3.Session().get_credentials()
here = {"rank": rank, "index": int(index), "key": own.access_key, "token": os.environ["TOKEN"] == "open sesame"}
boto3.client("s3").put_object(Bucket=os.environ["TUTTI_BUCKET"], Key=f"{os.environ['PLACE']}/{rank}", Body=json.dumps(here))
"""


# The last rank takes all the memory that it gets.
HOG = """
from mpi4py import MPI
comm = MPI.COMM_WORLD
comm.barrier()
kept = [bytearray(1 << 24) for _ in range(1 << 20)] if comm.rank == 2 else comm.recv(source=2)
"""


def until(holds: Callable[[], Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def submit(cluster: Cluster, shared: Path, mpi: Mpi, program: str, name: str, **keys: Any) -> Run:
    """A 3-node job of one rank a node that runs `program`."""
    file = shared / "work" / f"{name}-{mpi}.py"
    file.write_text(program, encoding="utf-8")
    command = ("python", "-m", "mpi4py", str(file))
    return Job(command=command, name=name, nodes=3, ranks_per_node=1, mpi=mpi, **keys).submit(cluster)


def said(run: Run, text: str) -> int:
    return sum(text in line.raw for line in run.logs())


def until_in(*runs: Run) -> None:
    for run in runs:
        until(lambda run=run: run.details().state == "RUNNING" and said(run, "] in") == 3)  # type: ignore[misc]  # bound at once


def drill(desk: Home, run: Run, node: int, action: str) -> float:
    return float(control.call(desk, "drill", job=run.id, node=node, action=action)["at"])


def codes(run: Run) -> list[int | None]:
    return [attempt.exit_code for attempt in run.wait().attempts]


def left_of(*runs: Run) -> list[psutil.Process]:
    """Processes of jobs that still run."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("AWS_BATCH_JOB_ID", "").partition("#")[0] in {run.id for run in runs}:
                found.append(process)
    return found


@pytest.fixture(scope="module", autouse=True)
def late(desk: Home) -> list[Run]:
    """A job with each MPI that has a minute, Batch's least timeout: it passes while the other tests run."""
    cluster = Cluster.current({"TUTTI_HOME": str(desk.root)})
    shared = Path(control.call(desk, "status")["shared"])
    mpis = cluster.card.definitions[0].mpis
    return [submit(cluster, shared, mpi, WORK, "late", timeout=60, retries=2) for mpi in mpis]


def test_lost_nodes_are_retried_and_a_killed_main_is_not(desk: Home, cluster: Cluster, shared: Path, mpi: Mpi) -> None:
    killed, stopped, main, host = (
        submit(cluster, shared, mpi, WORK, name)
        for name in ("killed-child", "stopped-child", "killed-main", "lost-main")
    )
    until_in(killed, stopped, main, host)
    address = next(node.address for node in killed.nodes() if node.index == 2)
    drill(desk, killed, 2, "kill")
    drill(desk, stopped, 1, "stop")
    drill(desk, main, 0, "kill")
    drill(desk, host, 0, "lose")
    until(lambda: said(stopped, "node 1 (") and said(stopped, "is lost: it has been silent"), 12)
    drill(desk, stopped, 1, "kill")  # Batch too would, but only 30 s later: it does not hear SIGTERM

    assert codes(killed) == [221, 0]
    first = [line.raw for line in killed.logs()]
    assert codes(stopped) == [221, 0]
    assert codes(main) == [137]
    assert codes(host) == [None, 0]
    assert any(f"node 2 ({address}) is lost: its connection is closed" in line for line in first), first
    for run in (killed, stopped, host):
        assert said(run, "] sum 3") == 3
    until(lambda: not left_of(killed, stopped, main, host), 10)  # no process of any attempt, on any node


def test_what_is_told_to_end_tells_its_ranks_and_only_a_node_that_goes_is_retried(
    desk: Home, cluster: Cluster, shared: Path, mpi: Mpi
) -> None:
    cancelled, going = (submit(cluster, shared, mpi, WORK, name) for name in ("cancelled", "going-away"))
    until_in(cancelled, going)
    assert cancelled.cancel("enough")
    drill(desk, going, 1, "term")

    assert len(codes(cancelled)) == 1
    assert cancelled.details().state == "FAILED"
    assert said(cancelled, "] saved") == 3
    assert codes(going) == [224, 0]
    assert said(going, "] sum 3") == 3
    until(lambda: not left_of(cancelled, going), 10)


def test_a_rank_that_runs_out_of_memory_is_137_named_and_not_retried(
    desk: Home, cluster: Cluster, shared: Path, mpi: Mpi
) -> None:
    if control.call(desk, "status")["contained"] == "none":
        if os.environ.get("CI") == "true":
            pytest.fail("no control group can be had here")
        pytest.skip("no control group can be had here")
    run = submit(cluster, shared, mpi, HOG, "hog", memory=256, retries=3)
    assert codes(run) == [137], [line.raw for line in run.tail(40)]
    assert said(run, "node 2: rank 2 was ended by SIGKILL (137), out of memory")


def test_every_rank_has_its_own_nodes_index_and_keys_and_the_jobs_secret(
    cluster: Cluster, shared: Path, mpi: Mpi
) -> None:
    arn = cluster.client("secretsmanager").create_secret(Name=f"token-{mpi}", SecretString="open sesame")["ARN"]
    place = f"{cluster.card.prefix}who-{mpi}"
    run = submit(cluster, shared, mpi, WHO, "who", secret={"TOKEN": arn}, env={"PLACE": place})
    assert codes(run) == [0], [line.raw for line in run.tail(40)]
    answers = [
        json.loads(cluster.s3.get_object(Bucket=cluster.card.bucket, Key=f"{place}/{rank}")["Body"].read())
        for rank in range(3)
    ]
    assert [(a["rank"], a["index"], a["token"]) for a in answers] == [(n, n, True) for n in range(3)]
    assert len({a["key"] for a in answers}) == 3
    told = json.dumps(cluster.batch.describe_jobs(jobs=[run.id]), default=str) + "".join(x.raw for x in run.logs())
    assert "open sesame" not in told


def test_a_job_whose_time_is_up_gets_sigterm_and_is_not_retried(late: list[Run]) -> None:
    for run in late:
        job = run.wait()
        assert job.state == "FAILED"
        assert len(job.attempts) == 1
        assert "timeout" in job.reason
        assert said(run, "] saved") == 3
    until(lambda: not left_of(*late), 10)
