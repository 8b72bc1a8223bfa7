"""The health of a cluster: what can be seen from its parts, and what a handful of real jobs prove."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from tutti.errors import TuttiError
from tutti.job import Job
from tutti.why.diagnose import check_up, diagnose
from tutti.why.gather import facts_of_job, facts_of_queue
from workload.contract import CardQueue, PoolKind

if TYPE_CHECKING:
    from tutti.cluster import Cluster
    from tutti.run import Run

RING: Final = ("python", "-m", "mpi4py", "-m", "workload", "run", "ring", "--laps", "1")
MEASURED: Final = (*RING, "--sweep", "--json", "-")  # its last line is one JSON object
RINGS: Final = (2, 4)  # nodes
THREE: Final = "three 2-node jobs at once"
SHARED: Final = "a file of one node, read by all"
THERE_AND_BACK: Final = "S3 there and back"
SCALED_DOWN: Final = "the pool back at 0 vCPUs"
PROOFS: Final = (*(f"ring on {nodes} nodes" for nodes in RINGS), THREE, SHARED, THERE_AND_BACK, SCALED_DOWN)
TIMEOUT: Final = 900
COOL_S: Final = 900  # Batch takes minutes to end instances that have nothing to do
LOOK_S: Final = 15.0
LOG_LOOKS: Final = 10  # a log's last lines may arrive after the job's end


@dataclass(frozen=True, kw_only=True)
class Result:
    """One check: `code` names the cause where it failed; `measured` has its unit in each name."""

    check: str
    good: bool
    words: str
    remedy: str = ""
    code: str = ""
    seconds: float = 0.0
    measured: Mapping[str, float] = field(default_factory=dict)


def look(cluster: Cluster) -> Iterator[Result]:
    """What is wrong with each queue of the cluster, without running anything."""
    for queue in cluster.card.queues:
        facts = facts_of_queue(cluster, queue)
        findings = check_up(facts)
        for found in findings:
            yield Result(check=queue.name, good=False, words=found.cause, remedy=found.remedy, code=found.code)
        if not findings:
            unseen = f"; not asked: {', '.join(facts.unasked)}" if facts.unasked else ""
            yield Result(check=queue.name, good=True, words=f"nothing is wrong{unseen}")


def prove(cluster: Cluster, *, sleep: Callable[[float], None] = time.sleep) -> Iterator[Result]:
    """Run small jobs on the first queue for gangs: they cost a few node-minutes. Files of theirs are removed."""
    gangs = next((q for q in cluster.card.queues if q.kind is PoolKind.MPI), None)
    if gangs is None:
        yield Result(check="gangs", good=False, words="the cluster has no queue for multi-node jobs", code="no-queue")
        return
    token = uuid4().hex[:8]
    most = gangs.max_vcpus // gangs.vcpus
    for nodes, check in zip(RINGS, PROOFS, strict=False):
        if nodes > most:
            yield Result(check=check, good=True, words=f"left out: the pool has {most} nodes at most")
        else:
            yield _ring(cluster, check, nodes, sleep)
    yield _run(cluster, THREE, [_job(f"doctor-three-{n}", 2, RING) for n in range(3)])[0]
    yield _run(cluster, SHARED, [_shared_file(token)])[0]
    yield _s3(cluster, token)
    yield _scaled_down(cluster, gangs, sleep)


def _job(name: str, nodes: int, command: tuple[str, ...]) -> Job:
    return Job(name=name, nodes=nodes, ranks_per_node=1, timeout=TIMEOUT, retries=0, command=command)


def _shared_file(token: str) -> Job:
    """Node 0 writes, every node waits until it sees it: one shell on each node, no MPI."""
    path = f'"$TUTTI_SHARED/work/doctor-{token}"'
    script = (
        f'mkdir -p "$TUTTI_SHARED/work"; if [ "$AWS_BATCH_JOB_NODE_INDEX" = 0 ]; then echo {token} >{path}; fi; '
        f"for i in $(seq 60); do [ -s {path} ] && break; sleep 1; done; cat {path} | grep -q {token} || exit 1; "
        f'if [ "$AWS_BATCH_JOB_NODE_INDEX" = 0 ]; then sleep 3; rm -f {path}; fi'
    )
    job = _job("doctor-shared", 2, ("sh", "-c", script))
    return job.model_copy(update={"mpi": "none"})


def _ring(cluster: Cluster, check: str, nodes: int, sleep: Callable[[float], None]) -> Result:
    """A ring of one rank a node, with what it measured between neighbours: the slowest pair counts."""
    result, runs = _run(cluster, check, [_job(f"doctor-ring-{nodes}", nodes, MEASURED)])
    if not result.good:
        return result
    for _ in range(LOG_LOOKS):
        found = [line.line.text for line in runs[0].logs(nodes=[0]) if line.line.text.startswith('{"ranks"')]
        if found:
            pairs = json.loads(found[-1])["pairs"]
            latency = max(pair["latency_us"] for pair in pairs if pair["bytes"] == min(p["bytes"] for p in pairs))
            rate = min(pair["gb_per_s"] for pair in pairs if pair["bytes"] == max(p["bytes"] for p in pairs))
            words = f"{latency:.3g} us, {rate:.3g} GB/s"
            return replace(result, words=words, measured={"latency_us": latency, "gb_per_s": rate})
        sleep(cluster.poll_s)
    return result


def _run(cluster: Cluster, check: str, jobs: list[Job]) -> tuple[Result, list[Run]]:
    """Submit all, wait for all; the first failure is explained. Whoever interrupts it has none of them left running."""
    began = time.monotonic()
    runs: list[Run] = []
    try:
        runs.extend(job.submit(cluster) for job in jobs)
        ended = [run.wait() for run in runs]
    except BaseException:
        for run in runs:
            with suppress(TuttiError):  # the first error is the one to tell
                run.cancel("tutti doctor waits for it no longer")
        raise
    seconds = time.monotonic() - began
    failed = next((job for job in ended if job.code), None)
    if failed is None:
        words = f"{len(jobs)} job{'s' if len(jobs) > 1 else ''} succeeded"
        return Result(check=check, good=True, words=words, seconds=seconds), runs
    found = diagnose(facts_of_job(cluster, failed.id))
    cause = found.cause if found else failed.meaning
    remedy = found.remedy if found else f"Look at its log: tutti logs {failed.id}"
    code = found.code if found else "failed"
    words = f"job {failed.id}: {cause}"
    return Result(check=check, good=False, words=words, remedy=remedy, code=code, seconds=seconds), runs


def _s3(cluster: Cluster, token: str) -> Result:
    """A file into the bucket, to a node, and back."""
    began = time.monotonic()
    card = cluster.card
    prefix = f"{card.prefix}doctor/{token}"
    cluster.s3.put_object(Bucket=card.bucket, Key=f"{prefix}/in.txt", Body=token.encode())
    job = _job("doctor-s3", 2, ("cp", "input/in.txt", "output/out.txt")).model_copy(
        update={
            "mpi": "none",
            "input": (f"s3://{card.bucket}/{prefix}/in.txt",),
            "output": (f"s3://{card.bucket}/{prefix}/out",),
        }
    )
    back = b""
    keys = [f"{prefix}/in.txt", *(f"{prefix}/out/node-{n}/out.txt" for n in range(2))]
    try:
        done, _ = _run(cluster, THERE_AND_BACK, [job])
        if done.good:
            back = cluster.s3.get_object(Bucket=card.bucket, Key=keys[-1])["Body"].read()
    finally:
        for key in keys:
            cluster.s3.delete_object(Bucket=card.bucket, Key=key)
    if not done.good:
        return done
    seconds = time.monotonic() - began
    if back != token.encode():
        return Result(
            check=THERE_AND_BACK,
            good=False,
            words=f"the file came back as {back[:20]!r}",
            code="s3-content",
            seconds=seconds,
        )
    return Result(check=THERE_AND_BACK, good=True, words="it came back as it went", seconds=seconds)


def _scaled_down(cluster: Cluster, queue: CardQueue, sleep: Callable[[float], None]) -> Result:
    """The pool ends its instances when nothing needs them: idle ones cost money."""
    began = time.monotonic()
    check = SCALED_DOWN
    order = cluster.batch.describe_job_queues(jobQueues=[queue.name])["jobQueues"][0]["computeEnvironmentOrder"]
    names = [entry["computeEnvironment"] for entry in order]
    while True:
        answer = cluster.batch.describe_compute_environments(computeEnvironments=names)["computeEnvironments"]
        vcpus = sum(e.get("computeResources", {}).get("desiredvCpus", 0) for e in answer)
        waited = time.monotonic() - began
        if not vcpus:
            return Result(check=check, good=True, words="no instance is left", seconds=waited)
        if waited > COOL_S:
            return Result(
                check=check,
                good=False,
                words=f"{vcpus} vCPUs are still wanted after {waited / 60:.0f} minutes",
                remedy="Other jobs may need them (tutti queues); else the operator looks at minvCpus of the pool.",
                code="not-scaled-down",
                seconds=waited,
            )
        sleep(LOOK_S if not cluster.is_twin else cluster.poll_s)
