"""Jobs as the twin keeps them: what was submitted (`JobSpec`, never changes) and what became of it (`Job`).

Times are milliseconds since 1970, as Batch gives them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, Final, Self


class Status(StrEnum):
    SUBMITTED = "SUBMITTED"
    PENDING = "PENDING"
    RUNNABLE = "RUNNABLE"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


TERMINAL: Final = frozenset({Status.SUCCEEDED, Status.FAILED})
ON_NODES: Final = frozenset({Status.STARTING, Status.RUNNING})
WAITING: Final = frozenset({Status.SUBMITTED, Status.PENDING, Status.RUNNABLE})

# Which status may follow which: the engine refuses every other step.
NEXT: Final[Mapping[Status, frozenset[Status]]] = {
    Status.SUBMITTED: frozenset({Status.PENDING, Status.RUNNABLE, Status.FAILED}),  # PENDING: it waits for others
    Status.PENDING: frozenset({Status.RUNNABLE, Status.SUCCEEDED, Status.FAILED}),  # SUCCEEDED: the parent of an array
    Status.RUNNABLE: frozenset({Status.STARTING, Status.FAILED}),
    Status.STARTING: frozenset({Status.RUNNING, Status.RUNNABLE, Status.FAILED}),
    Status.RUNNING: frozenset({Status.RUNNABLE, Status.SUCCEEDED, Status.FAILED}),
    Status.SUCCEEDED: frozenset(),
    Status.FAILED: frozenset(),
}


class Kind(StrEnum):
    CONTAINER = "container"
    MULTINODE = "multinode"
    ARRAY = "array"  # the parent; its children are containers


class Reason(StrEnum):
    """What Batch writes as statusReason or reason."""

    TASK_EXITED = "Essential container in task exited"
    TIMEOUT = "Job attempt duration exceeded timeout"
    DEPENDENCY = "Dependent Job failed"
    CHILD_FAILED = "Array Child Job failed"
    OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"


class Stuck(StrEnum):
    """Why the head of a queue cannot start: a code, which a queue's time limits name, and AWS's words for it.

    One that only waits its turn has none: that is how Batch tells the two apart (User Guide, "Jobs stuck in a RUNNABLE
    status").
    """

    CAPACITY = "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"
    MAX_RESOURCE = "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE"
    REQUIREMENT = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"
    UNDETERMINED = "UNDETERMINED"

    def said(self, instance_type: str = "") -> str:
        """The statusReason of a job that it keeps waiting."""
        return f"{self} - {_STUCK_WORDS[self].format(type=instance_type)}"

    @classmethod
    def of(cls, status_reason: str) -> Stuck:
        """The code in a statusReason."""
        return cls(status_reason.partition(" - ")[0])


_STUCK_WORDS: Final[Mapping[Stuck, str]] = {
    Stuck.CAPACITY: "Service cannot fulfill the capacity requested for instance type [{type}]",
    Stuck.MAX_RESOURCE: "CE(s) associated with the job queue cannot meet the CPU requirement of the job.",
    Stuck.REQUIREMENT: "The job resource requirement (vCPU/memory/GPU) is higher than that can be met by the CE(s) "
    "attached to the job queue.",
    Stuck.UNDETERMINED: "Batch job is blocked, root cause is undetermined.",
}


@dataclass(frozen=True, kw_only=True)
class NodeRange:
    """The container of nodes `first` to `last`, both included. `container` is in the API's spelling."""

    first: int
    last: int
    container: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """What a submission comes to once definition, parameters and overrides are put together."""

    name: str
    queue: str  # its name
    definition: str  # its ARN, with revision
    kind: Kind
    ranges: tuple[NodeRange, ...]
    nodes: int = 1
    main: int = 0
    array_size: int = 0
    parameters: Mapping[str, str] = field(default_factory=dict)
    depends_on: tuple[Mapping[str, str], ...] = ()
    retry: Mapping[str, Any] = field(default_factory=lambda: {"attempts": 1, "evaluateOnExit": []})
    timeout_s: int = 0  # 0: none
    tags: Mapping[str, str] = field(default_factory=dict)
    propagate_tags: bool = False
    share: str = ""
    platforms: tuple[str, ...] = ("EC2",)

    def container(self, index: int) -> Mapping[str, Any]:
        """Node `index`'s container; where ranges nest, the one that starts latest."""
        fitting = [r for r in self.ranges if r.first <= index <= r.last]
        return max(fitting, key=lambda r: r.first).container

    def requirement(self, index: int, kind: str) -> int:
        """VCPU, MEMORY (MiB) or GPU that node `index` asks for."""
        container = self.container(index)
        for need in container.get("resourceRequirements", ()):
            if need["type"] == kind:
                return int(float(need["value"]))
        old = {"VCPU": "vcpus", "MEMORY": "memory"}.get(kind, "")
        return int(container.get(old, 0))

    @cached_property
    def vcpus(self) -> int:
        """Of all nodes together."""
        return sum(max(1, self.requirement(n, "VCPU")) for n in range(self.nodes))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            **{
                **data,
                "kind": Kind(data["kind"]),
                "ranges": tuple(NodeRange(**r) for r in data["ranges"]),
                "depends_on": tuple(data["depends_on"]),
                "platforms": tuple(data["platforms"]),
            }
        )


@dataclass(kw_only=True)
class Attempt:
    """One attempt of a job, or of one node of it."""

    started_at: int | None = None
    stopped_at: int | None = None
    exit_code: int | None = None
    reason: str = ""
    status_reason: str = ""
    stream: str = ""
    address: str = ""
    task: str = ""  # id of the task that ran it
    instance: str = ""  # ARN of its container instance


@dataclass(kw_only=True)
class Node:
    """One node of the current attempt; earlier ones are in `attempts`. A container job has one, of index 0."""

    index: int
    status: Status = Status.RUNNABLE
    started_at: int | None = None
    stopped_at: int | None = None
    exit_code: int | None = None
    reason: str = ""
    stream: str = ""
    address: str = ""
    task: str = ""
    instance: str = ""
    lost: bool = False  # its instance is gone
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def on_host(self) -> bool:
        return self.status in ON_NODES

    def as_attempt(self, status_reason: str) -> Attempt:
        return Attempt(
            started_at=self.started_at,
            stopped_at=self.stopped_at,
            exit_code=self.exit_code,
            reason=self.reason,
            status_reason=status_reason,
            stream=self.stream,
            address=self.address,
            task=self.task,
            instance=self.instance,
        )


@dataclass(kw_only=True)
class Job:
    id: str
    spec: JobSpec
    created_at: int
    number: int  # order of submission
    kind: Kind
    status: Status = Status.SUBMITTED
    status_reason: str = ""
    started_at: int | None = None
    stopped_at: int | None = None
    scheduled_at: int | None = None
    runnable_at: int | None = None
    reason_since: int | None = None  # since when it is at the head of its queue with this statusReason
    parent: str = ""
    array_index: int | None = None
    attempt: int = 0  # the current one, from 1
    attempts: list[Attempt] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    environment: str = ""  # the compute environment's name, while and after it ran
    cancelled: bool = False
    terminated: bool = False
    waits_for: set[str] = field(default_factory=set)  # ids that must succeed first
    verdict: Attempt | None = None  # how the main node ended, until the attempt is settled
    retry_forbidden: bool = False  # timeout, terminate: no further attempt

    @property
    def vcpus(self) -> int:
        return 0 if self.kind is Kind.ARRAY else self.spec.vcpus

    def to_json(self) -> dict[str, Any]:
        """All but the spec, which children of an array share."""
        data = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "spec"}
        data["attempts"] = [vars(a) for a in self.attempts]
        data["nodes"] = [{**vars(n), "attempts": [vars(a) for a in n.attempts]} for n in self.nodes]
        data["waits_for"] = sorted(self.waits_for)
        data["verdict"] = None
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any], spec: JobSpec) -> Self:
        nodes = [
            Node(**{**n, "status": Status(n["status"]), "attempts": [Attempt(**a) for a in n["attempts"]]})
            for n in data["nodes"]
        ]
        return cls(
            **{
                **data,
                "spec": spec,
                "kind": Kind(data["kind"]),
                "status": Status(data["status"]),
                "attempts": [Attempt(**a) for a in data["attempts"]],
                "nodes": nodes,
                "waits_for": set(data["waits_for"]),
            }
        )
