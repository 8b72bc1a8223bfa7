"""Lists of jobs, with as few calls as AWS allows.

ListJobs gives 100 jobs of every state with a filter, 1,000 of one state with `jobStatus` (aws-batch-facts, API model).
So each queue is asked with a filter first; only where that is not all, state by state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tutti.aws import told
from tutti.errors import NotFoundError
from tutti.jobs import STATES, Details, Node, Summary, details, in_order, node, summary
from workload.contract import Limits

if TYPE_CHECKING:
    from types_boto3_batch.client import BatchClient

    from tutti.cluster import Cluster

T = TypeVar("T")
R = TypeVar("R")

FILTER_PAGE: Final = 100
STATE_PAGE: Final = 1000
PARALLEL: Final = 8


@told
def list_jobs(
    cluster: Cluster, *, queues: Sequence[str] = (), states: Sequence[str] = (), since: float = 0.0
) -> list[Summary]:
    """Jobs of the cluster's queues, newest first. `since`: Unix seconds of creation."""
    known = {q.name: q.arn for q in cluster.card.queues}
    names = [q for q in known if not queues or q in queues]
    batch = cluster.batch
    pages = every(lambda name: _of_queue(batch, known[name], states or STATES, since), names)
    found = [summary(item, name) for name, items in zip(names, pages, strict=True) for item in items]
    kept = {j.id: j for j in found if j.created >= since and (not states or j.state in states)}
    return in_order(kept.values())


@told
def describe(cluster: Cluster, ids: Sequence[str]) -> list[dict[str, Any]]:
    """DescribeJobs entries of any number of ids, in their order; unknown ones are left out."""
    chunks = [ids[i : i + Limits.DESCRIBE_IDS] for i in range(0, len(ids), Limits.DESCRIBE_IDS)]
    answers = every(lambda chunk: cluster.batch.describe_jobs(jobs=list(chunk))["jobs"], chunks)
    by_id: dict[str, Any] = {item["jobId"]: item for answer in answers for item in answer}
    return [by_id[i] for i in ids if i in by_id]


def describe_one(cluster: Cluster, job_id: str) -> Details:
    """One job.

    Raises
    ------
    NotFoundError
        no such job; the nearest ids are named.
    """
    found = describe(cluster, [job_id])
    if not found:
        raise _not_found(cluster, job_id)
    return details(found[0])


def nodes_of(cluster: Cluster, job: Details) -> list[Node]:
    """The nodes of a gang or the elements of an array, by index; a single container is its own node 0."""
    if job.nodes:
        ids = [f"{job.id}#{n}" for n in range(job.nodes)]
    elif job.array:
        ids = [f"{job.id}:{n}" for n in range(job.array)]
    else:
        return [
            Node(
                index=0,
                id=job.id,
                state=job.state,
                started=job.started,
                exit_code=job.exit_code,
                reason=job.reason,
                address=job.address,
                stream=job.stream,
                instance=job.instance,
                attempts=job.attempts,
            )
        ]
    return [node(item) for item in describe(cluster, ids)]


def resolve(cluster: Cluster, word: str) -> str:
    """The id that a user means by an id, the start of one, a job's name (the newest of it), or the name under which it
    waited for others' ends.

    Raises
    ------
    NotFoundError
        none, or several ids start so.
    """
    if describe(cluster, [word]):
        return word
    jobs = list_jobs(cluster)
    starting = [j.id for j in jobs if len(word) >= 4 and j.id.startswith(word)]
    if len(starting) == 1:
        return starting[0]
    if len(starting) > 1:
        raise NotFoundError(f"{len(starting)} jobs start with {word!r}: {', '.join(starting[:5])}. Give more of the id")
    if named := [j.id for j in jobs if j.name == word]:
        return named[0]
    from tutti.waiting import job_of  # noqa: PLC0415  only where no job is called so

    if waited := job_of(cluster, word):
        return waited
    raise _not_found(cluster, word, jobs)


def _not_found(cluster: Cluster, word: str, jobs: Sequence[Summary] | None = None) -> NotFoundError:
    from difflib import SequenceMatcher  # noqa: PLC0415  only on this way out

    known = list_jobs(cluster) if jobs is None else jobs
    if not known:
        return NotFoundError(f"no job {word!r}: cluster {cluster.card.stack} has no jobs")
    near = sorted(
        known,
        key=lambda j: -max(SequenceMatcher(None, word, j.id).ratio(), SequenceMatcher(None, word, j.name).ratio()),
    )[:3]
    names = ", ".join(f"{j.id[:13]} ({j.name})" for j in near)
    return NotFoundError(f"no job {word!r} on cluster {cluster.card.stack}; nearest: {names}")


def _of_queue(batch: BatchClient, queue: str, states: Sequence[str], since: float) -> list[dict[str, Any]]:
    """A queue's jobs; one that moves on meanwhile may come twice, in its later state last, but is never missed."""
    # AFTER_CREATED_AT takes milliseconds; 0 is the beginning of time, so every state of every job comes
    after: Any = {"name": "AFTER_CREATED_AT", "values": [str(int(since * 1000))]}
    page: Any = batch.list_jobs(jobQueue=queue, filters=[after], maxResults=FILTER_PAGE)
    if not page.get("nextToken"):
        return list(page.get("jobSummaryList", []))
    # one after the other, in the order in which a job goes through them
    return [item for state in STATES if state in states for item in _of_state(batch, queue, state)]


def _of_state(batch: BatchClient, queue: str, state: str) -> Iterator[dict[str, Any]]:
    token: dict[str, str] = {}
    while True:
        page: Any = batch.list_jobs(jobQueue=queue, jobStatus=state, maxResults=STATE_PAGE, **token)  # type: ignore[arg-type]  # one of STATES
        yield from page.get("jobSummaryList", [])
        if not page.get("nextToken"):
            return
        token = {"nextToken": page["nextToken"]}


def every(call: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """`call` on each, a few at a time: boto3 clients may be shared by threads."""
    things = list(items)
    if len(things) < 2:
        return [call(thing) for thing in things]
    with ThreadPoolExecutor(max_workers=PARALLEL) as pool:
        return list(pool.map(call, things))
