"""Hosts as a user asks for them: the instances of the pools, the nodes on each, and which are idle."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tutti.aws import ExpiredError, told
from tutti.errors import TuttiError
from tutti.instances import Instance, instances_of
from tutti.jobs import Details, Node, details, node
from tutti.listing import describe, list_jobs, nodes_of

if TYPE_CHECKING:
    from tutti.cluster import Cluster

BUSY: Final = ("STARTING", "RUNNING")


@dataclass(frozen=True, kw_only=True)
class Host:
    """A node of a job and the instance below it.

    An instance without a node has no job, and a state of its own (IDLE, BUSY, DRAINING ...); a node has no instance on
    Fargate, before it is placed, and where instances cannot be asked for.
    """

    state: str
    pool: str
    address: str = "-"
    job: str = ""
    name: str = ""
    node: int | None = None
    queue: str = ""
    started: float | None = None
    instance: Instance | None = None

    @property
    def since(self) -> float | None:
        """When the node started; of an idle instance, when it joined."""
        return self.started if self.job or self.instance is None else self.instance.registered


@dataclass(frozen=True, kw_only=True)
class Hosts:
    """All that are known. `unseen`: why there are no instances in it, in words, where they could not be asked for."""

    hosts: tuple[Host, ...]
    unseen: str = ""


@told
def hosts_of(cluster: Cluster, jobs: Collection[str] = (), instances: Collection[str] = ()) -> Hosts:
    """Every host; those of some jobs or instances alone, by their ids, where any are given.

    Raises
    ------
    ExpiredError
        Credentials were good and are no longer.
    """
    unseen = ""
    known: dict[str, Instance] = {}
    nodes = list(_busy_nodes(cluster, () if instances else jobs))
    try:
        known = instances_of(cluster)
    except ExpiredError:
        raise
    except TuttiError as error:
        unseen = str(error)
    pools = {queue.name: queue.pool for queue in cluster.card.queues}
    everything = not jobs and not instances
    hosts = (
        h
        for h in joined(nodes, known, pools)
        if everything or h.job in jobs or (h.instance and h.instance.id in instances)
    )
    return Hosts(hosts=tuple(hosts), unseen=unseen)


def joined(
    nodes: Iterable[tuple[Details, Node]], instances: Mapping[str, Instance], pools: Mapping[str, str]
) -> list[Host]:
    """Nodes with their instances, then the instances that are left. `pools`: queue -> pool."""
    found, left = [], dict(instances)
    for job, one in nodes:
        left.pop(one.instance, None)
        found.append(
            Host(
                state=one.state,
                pool=pools.get(job.queue, ""),
                address=one.address or "-",
                job=job.id,
                name=job.name,
                node=one.index,
                queue=job.queue,
                started=one.started,
                instance=instances.get(one.instance),
            )
        )
    return found + [Host(state=i.idle_state, pool=i.pool, instance=i) for i in left.values()]


def _busy_nodes(cluster: Cluster, jobs: Collection[str]) -> Iterator[tuple[Details, Node]]:
    """Nodes that start or run; an array is PENDING while its elements do."""
    listed = list_jobs(cluster, states=(*BUSY, "PENDING"))
    busy = [j.id for j in listed if (j.state in BUSY or j.array) and (not jobs or j.id in jobs)]
    for job in map(details, describe(cluster, busy)):
        for one in _elements(cluster, job) if job.array else nodes_of(cluster, job):
            if one.state in BUSY:
                yield job, one


def _elements(cluster: Cluster, job: Details) -> list[Node]:
    """The elements of an array that start or run: of up to 10,000, only these are described."""
    pages = cluster.batch.get_paginator("list_jobs")
    ids = [
        item["jobId"]
        for state in BUSY
        if job.array_states.get(state)
        for page in pages.paginate(arrayJobId=job.id, jobStatus=state)
        for item in page["jobSummaryList"]
    ]
    return [node(item) for item in describe(cluster, ids)]
