"""Queues as a user asks for them: what waits, runs, is blocked, and how many nodes could still start."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tutti.aws import told
from tutti.jobs import Summary
from tutti.listing import list_jobs

if TYPE_CHECKING:
    from tutti.cluster import Cluster

WAITING = ("SUBMITTED", "PENDING", "RUNNABLE")
BUSY = ("STARTING", "RUNNING")


@dataclass(frozen=True, kw_only=True)
class QueueState:
    """One queue now. `free_nodes`: nodes that its pool could still start; `head`: the job that the others wait for."""

    name: str
    pool: str
    kind: str
    priority: int
    state: str  # ENABLED or DISABLED
    status: str  # VALID, INVALID ...
    waiting: int
    runnable: int
    starting: int
    running: int
    busy_nodes: int
    most_nodes: int
    free_nodes: int
    head: str = ""
    blocked: str = ""  # why the head does not start, in AWS's words


@told
def queue_states(cluster: Cluster) -> list[QueueState]:
    """Every queue of the card, in its order."""
    card = cluster.card
    described = {
        q["jobQueueName"]: q
        for q in cluster.batch.describe_job_queues(jobQueues=[q.name for q in card.queues])["jobQueues"]
    }
    jobs = [j for j in list_jobs(cluster, states=(*WAITING, *BUSY)) if j.state in (*WAITING, *BUSY)]
    busy: Counter[str] = Counter()
    pool_of = {q.name: q.pool for q in card.queues}
    for job in jobs:
        if job.state in BUSY:
            busy[pool_of[job.queue]] += job.nodes or 1
    found = []
    for queue in card.queues:
        own = [j for j in jobs if j.queue == queue.name]
        counts = Counter(j.state for j in own)
        head = _head(own)
        most = queue.max_vcpus // queue.vcpus
        here: Any = described.get(queue.name, {})
        found.append(
            QueueState(
                name=queue.name,
                pool=queue.pool,
                kind=queue.kind.value,
                priority=queue.priority,
                state=here.get("state", "MISSING"),
                status=here.get("status", "MISSING"),
                waiting=counts["SUBMITTED"] + counts["PENDING"],
                runnable=counts["RUNNABLE"],
                starting=counts["STARTING"],
                running=counts["RUNNING"],
                busy_nodes=sum((j.nodes or 1) for j in own if j.state in BUSY),
                most_nodes=most,
                free_nodes=max(0, most - busy[queue.pool]),
                head=head.id if head else "",
                blocked=head.reason if head else "",
            )
        )
    return found


def _head(jobs: list[Summary]) -> Summary | None:
    """The job that is next: the oldest that could run."""
    return min((j for j in jobs if j.state == "RUNNABLE"), key=lambda j: j.created, default=None)
