"""From a job to a request that is ready to be sent: the one path of the command line and the Python API."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tutti import batch
from tutti.after import resolved
from tutti.aws import told
from tutti.jobs import ENDED
from tutti.listing import describe

if TYPE_CHECKING:
    from tutti.cluster import Cluster
    from tutti.job import Job


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A checked request. `wait_for`: jobs whose end must be awaited before it is sent (`--after ID:any`)."""

    document: Mapping[str, Any]
    wait_for: tuple[str, ...] = ()


@told
def prepare(job: Job, cluster: Cluster, *, where: Mapping[str, str] | None = None) -> Prepared:
    """Check a job against its cluster; nothing is sent.

    Raises
    ------
    InputError
        What the cluster cannot run, all of it.
    NotFoundError
        A job to start after does not exist.
    """
    document = batch.request(job.model_copy(update={"after": ()}), cluster.card, where=where)  # no call before this
    if not job.after:
        return Prepared(document=document)
    after = resolved(cluster, job.after, (where or {}).get("after", "after"))
    if not after.depends:
        return Prepared(document=document, wait_for=after.wait_for)
    depends = [batch.dependency(word) for word in after.depends]
    return Prepared(document={**document, "dependsOn": depends}, wait_for=after.wait_for)


@told
def send(prepared: Prepared, cluster: Cluster, *, sleep: Callable[[float], None] = time.sleep) -> str:
    """Await what must have ended, then submit; the new job's id."""
    waiting = list(prepared.wait_for)
    while waiting:
        states = {item["jobId"]: item["status"] for item in describe(cluster, waiting)}
        waiting = [job_id for job_id in waiting if states.get(job_id, "FAILED") not in ENDED]
        if waiting:
            sleep(cluster.poll_s)
    return batch.send(cluster.submitter, batch.signed(prepared.document, cluster.user), sleep=sleep)
