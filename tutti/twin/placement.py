"""Which RUNNABLE jobs start now, and why the others wait (B1, B2, B12, B15). Pure.

A queue is served in order of submission, and queues by priority. The first job that cannot start blocks all behind it
in its queue, and its environment for every queue of the same or lower priority.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tutti.twin.jobs import Job, Kind, Stuck


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A compute environment, as far as placing needs it. `node_*` are what its largest instance offers a job."""

    name: str
    capacity: str  # EC2, SPOT, FARGATE, FARGATE_SPOT; "" where unmanaged
    max_vcpus: int
    enabled: bool = True
    node_vcpus: int = 1 << 30
    node_memory_mib: int = 1 << 30
    node_gpus: int = 0
    shortage: bool = False  # the provider has no instances of this kind now
    instance_types: str = ""

    @property
    def multinode(self) -> bool:
        return self.capacity == "EC2"

    @property
    def fargate(self) -> bool:
        return self.capacity.startswith("FARGATE")


@dataclass(frozen=True, kw_only=True)
class Queue:
    name: str
    priority: int
    environments: tuple[str, ...]  # in order
    enabled: bool = True


@dataclass(frozen=True, kw_only=True)
class Placement:
    """`start`: job id -> environment, in order. `blocked`: head of a queue -> why, "" if it only waits its turn."""

    start: Mapping[str, str]
    blocked: Mapping[str, str]


def place(
    queues: Sequence[Queue],
    environments: Mapping[str, Environment],
    runnable: Mapping[str, Sequence[Job]],
    used: Mapping[str, int],
) -> Placement:
    """Decide for all queues at once.

    Parameters
    ----------
    queues, environments
        What there is.
    runnable
        Queue -> its RUNNABLE jobs in order of submission.
    used
        Environment -> vCPUs of jobs that hold nodes in it.

    """
    start: dict[str, str] = {}
    blocked: dict[str, str] = {}
    taken = dict(used)
    closed: set[str] = set()
    for queue in sorted(queues, key=lambda q: (-q.priority, q.name)):
        known = [environments[name] for name in queue.environments if name in environments]
        for job in runnable.get(queue.name, ()):
            options, why = _options(job, known)
            fitting = [
                e.name for e in options if e.name not in closed and taken.get(e.name, 0) + job.vcpus <= e.max_vcpus
            ]
            if fitting:
                start[job.id] = fitting[0]
                taken[fitting[0]] = taken.get(fitting[0], 0) + job.vcpus
                continue
            blocked[job.id] = why
            closed |= {e.name for e in options}
            break
    return Placement(start=start, blocked=blocked)


def _options(job: Job, known: Sequence[Environment]) -> tuple[list[Environment], str]:
    """Where it may run, in order; and, where that is nowhere, why."""
    usable = [e for e in known if e.enabled]
    if job.kind is Kind.MULTINODE:
        # No way out to the next environment: a multi-node job waits for the first (B15).
        usable = usable[:1]
    able = [e for e in usable if _can_hold(job, e)]
    if not usable:
        return [], Stuck.UNDETERMINED.said()
    if not able:
        return [], Stuck.REQUIREMENT.said()
    large = [e for e in able if job.vcpus <= e.max_vcpus]
    if not large:
        return [], Stuck.MAX_RESOURCE.said()
    there = [e for e in large if not e.shortage]
    return (there, "") if there else ([], Stuck.CAPACITY.said(large[0].instance_types))


def _can_hold(job: Job, environment: Environment) -> bool:
    if job.kind is Kind.MULTINODE and not environment.multinode:
        return False
    return all(
        job.spec.requirement(n, "VCPU") <= environment.node_vcpus
        and job.spec.requirement(n, "MEMORY") <= environment.node_memory_mib
        and job.spec.requirement(n, "GPU") <= environment.node_gpus
        for n in _distinct(job)
    )


def _distinct(job: Job) -> set[int]:
    """One node of each range: the others ask for the same."""
    return {min(r.first, job.spec.nodes - 1) for r in job.spec.ranges}
