"""What AWS Batch says of jobs, as plain values: pure views of DescribeJobs and ListJobs answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from workload.contract import EXIT_MEANINGS, ExitCode

STATES: Final = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED")
ENDED: Final = frozenset({"SUCCEEDED", "FAILED"})
# The name of the small jobs that tutti itself submits to reach the shared folder: lists, which know no tags, fold them.
ERRAND: Final = "tutti-data"
NO_CODE: Final = 1  # the exit code of a job that failed without one: cancelled, timed out, never started


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One line of a listing. Times are Unix seconds."""

    id: str
    name: str
    state: str
    queue: str
    created: float
    started: float | None = None
    stopped: float | None = None
    reason: str = ""
    exit_code: int | None = None
    nodes: int | None = None
    array: int | None = None


@dataclass(frozen=True, kw_only=True)
class Attempt:
    number: int  # from 1
    started: float | None = None
    stopped: float | None = None
    exit_code: int | None = None
    reason: str = ""
    stream: str = ""


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node of a gang, or an element of an array."""

    index: int
    id: str
    state: str
    started: float | None = None
    exit_code: int | None = None
    reason: str = ""
    address: str = ""
    stream: str = ""
    instance: str = ""  # ARN of its ECS container instance
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Details:
    """A job, with all that the client uses of it."""

    id: str
    name: str
    state: str
    queue: str
    definition: str
    created: float
    started: float | None = None
    stopped: float | None = None
    reason: str = ""
    exit_code: int | None = None
    nodes: int | None = None
    array: int | None = None
    array_states: Mapping[str, int] = field(default_factory=dict)
    attempts: tuple[Attempt, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    timeout_s: int | None = None
    stream: str = ""
    address: str = ""
    instance: str = ""  # ARN of a single container's ECS container instance
    depends_on: tuple[str, ...] = ()
    image: str = ""

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def code(self) -> int | None:
        """The job's exit code once it has ended: 1 where it failed without one."""
        if self.state == "SUCCEEDED":
            return 0
        if self.state != "FAILED":
            return None
        return self.exit_code or NO_CODE

    @property
    def meaning(self) -> str:
        """What an ended job's code means, in words."""
        return meaning(self.state, self.exit_code, self.reason)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def meaning(state: str, exit_code: int | None, reason: str) -> str:
    """An outcome in words; empty while a job goes on."""
    if state == "SUCCEEDED":
        return "done"
    if state != "FAILED":
        return ""
    if exit_code is None:
        return reason or "failed"
    if exit_code == ExitCode.GOING_AWAY and not _ended_by_itself(reason):
        return reason  # the nodes cannot know who sent SIGTERM; AWS does
    if exit_code in EXIT_MEANINGS:
        return EXIT_MEANINGS[exit_code]
    if exit_code > 128:
        return f"ended by signal {exit_code - 128}"
    return "the program failed"


def _ended_by_itself(reason: str) -> bool:
    """Whether AWS gives the container's own end as the reason, not somebody's request or the job's timeout."""
    return not reason or reason.startswith(("Essential container", "Host EC2"))


def summary(item: Mapping[str, Any], queue: str) -> Summary:
    """A line from a ListJobs entry."""
    return Summary(
        id=item["jobId"],
        name=item.get("jobName", ""),
        state=item.get("status", ""),
        queue=queue,
        created=_seconds(item.get("createdAt")) or 0.0,
        started=_seconds(item.get("startedAt")),
        stopped=_seconds(item.get("stoppedAt")),
        reason=item.get("statusReason", ""),
        exit_code=item.get("container", {}).get("exitCode"),
        nodes=item.get("nodeProperties", {}).get("numNodes"),
        array=item.get("arrayProperties", {}).get("size"),
    )


def details(item: Mapping[str, Any]) -> Details:
    """A job from a DescribeJobs entry, of a gang, an array or a single container."""
    gang = item.get("nodeProperties") or {}
    container = container_of(item)
    attempts = tuple(_attempt(number, a) for number, a in enumerate(item.get("attempts", []), start=1))
    exit_code = container.get("exitCode")
    if exit_code is None and attempts and item.get("status") in ENDED:
        exit_code = attempts[-1].exit_code
    array = item.get("arrayProperties") or {}
    return Details(
        id=item["jobId"],
        name=item.get("jobName", ""),
        state=item.get("status", ""),
        queue=short(item.get("jobQueue", "")),
        definition=short(item.get("jobDefinition", "")),
        created=_seconds(item.get("createdAt")) or 0.0,
        started=_seconds(item.get("startedAt")),
        stopped=_seconds(item.get("stoppedAt")),
        reason=item.get("statusReason", ""),
        exit_code=exit_code,
        nodes=gang.get("numNodes"),
        array=array.get("size"),
        array_states={k: v for k, v in array.get("statusSummary", {}).items() if v},
        attempts=attempts,
        command=tuple(container.get("command", ())),
        environment={e["name"]: e.get("value", "") for e in container.get("environment", [])},
        tags=item.get("tags", {}),
        timeout_s=item.get("timeout", {}).get("attemptDurationSeconds"),
        stream=container.get("logStreamName", "") or (attempts[-1].stream if attempts else ""),
        address=_address(container),
        instance=container.get("containerInstanceArn", ""),
        depends_on=tuple(d["jobId"] for d in item.get("dependsOn", []) if "jobId" in d),
        image=container.get("image", ""),
    )


def node(item: Mapping[str, Any]) -> Node:
    """A node of a gang (`ID#N`) or an element of an array (`ID:K`) from its own DescribeJobs entry."""
    container = item.get("container") or {}
    attempts = tuple(_attempt(number, a) for number, a in enumerate(item.get("attempts", []), start=1))
    job_id = item["jobId"]
    return Node(
        index=int(job_id.replace("#", ":").rpartition(":")[2]),
        id=job_id,
        state=item.get("status", ""),
        started=_seconds(item.get("startedAt")),
        exit_code=container.get("exitCode", attempts[-1].exit_code if attempts else None),
        reason=container.get("reason") or item.get("statusReason", ""),
        address=_address(container),
        stream=container.get("logStreamName", "") or (attempts[-1].stream if attempts else ""),
        instance=container.get("containerInstanceArn", ""),
        attempts=attempts,
    )


def container_of(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """The container of a described job or definition: the one, or that of a gang's first range."""
    ranges: Sequence[Mapping[str, Any]] = (item.get("nodeProperties") or {}).get("nodeRangeProperties", [])
    if ranges:
        gang: Mapping[str, Any] = ranges[0].get("container", {})
        return gang
    alone: Mapping[str, Any] = item.get("container") or item.get("containerProperties") or {}
    return alone


def short(arn: str) -> str:
    """The name in an ARN: `arn:...:job-queue/x` -> `x`."""
    return arn.rpartition("/")[2]


def in_order(jobs: Iterable[Summary]) -> list[Summary]:
    """Newest first."""
    return sorted(jobs, key=lambda j: (-j.created, j.id))


def _attempt(number: int, item: Mapping[str, Any]) -> Attempt:
    container = item.get("container") or {}
    return Attempt(
        number=number,
        started=_seconds(item.get("startedAt")),
        stopped=_seconds(item.get("stoppedAt")),
        exit_code=container.get("exitCode"),
        reason=container.get("reason") or item.get("statusReason", ""),
        stream=container.get("logStreamName", ""),
    )


def _address(container: Mapping[str, Any]) -> str:
    interfaces = container.get("networkInterfaces") or [{}]
    address: str = interfaces[0].get("privateIpv4Address", "")
    return address


def _seconds(milliseconds: float | None) -> float | None:
    return milliseconds / 1000 if milliseconds else None
