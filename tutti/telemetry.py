"""How a running job does, from its log alone: the newest progress, and what each node's ranks take.

No port, no shell: the nodes write events (`contract.Event`), and one filtered read finds the newest.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tutti.aws import told
from tutti.core.events import Happening, parse_event, parse_line
from tutti.listing import describe
from tutti.logs import STREAMS_A_CALL, streams_of
from workload.contract import EVENT_MARK, Event

if TYPE_CHECKING:
    from tutti.cluster import Cluster
    from tutti.jobs import Node

LOOK_BACK_S: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class NodeLoad:
    """One node at a moment (Unix seconds): cores in use, bytes held, and both of each rank."""

    node: int
    at: float
    cores: float
    memory: int
    ranks: Mapping[int, tuple[float, int]]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Telemetry:
    """The newest that a job said of itself; `progress` holds the event's own fields."""

    progress: Mapping[str, Any] | None = None
    loads: Mapping[int, NodeLoad] = field(default_factory=dict)

    @property
    def share(self) -> float | None:
        """How much is done, 0 to 1; None where the program does not say its total."""
        if not self.progress or not self.progress.get("total"):
            return None
        return min(1.0, float(self.progress["step"]) / float(self.progress["total"]))


@told
def newest(cluster: Cluster, nodes: Sequence[Node], *, back_s: float = LOOK_BACK_S) -> Telemetry:
    """What nodes have said in the last minute."""
    since = int((time.time() - back_s) * 1000)
    names = [s.name for s in streams_of(nodes)]
    found = [h for event in (Event.PROGRESS, Event.LOAD) for _, h in _events(cluster, names, event, since)]
    return summed(found)


def summed(happenings: Sequence[Happening]) -> Telemetry:
    """The newest of each kind."""
    progress: Mapping[str, Any] | None = None
    loads: dict[int, NodeLoad] = {}
    for one in sorted(happenings, key=lambda h: h.at):
        if one.event is Event.PROGRESS:
            progress = one.fields
        elif one.event is Event.LOAD and one.node is not None:
            loads[one.node] = load_of(one)
    return Telemetry(progress=progress, loads=dict(sorted(loads.items())))


def load_of(happening: Happening) -> NodeLoad:
    """A `load` event as numbers."""
    f = happening.fields
    return NodeLoad(
        node=happening.node or 0,
        at=happening.at,
        cores=float(f.get("cores", 0)),
        memory=int(f.get("memory", 0)),
        ranks={int(rank): (float(cpu), int(memory)) for rank, (cpu, memory) in f.get("ranks", {}).items()},
    )


@told
def shares(cluster: Cluster, ids: Sequence[str], *, back_s: float = LOOK_BACK_S) -> dict[str, float]:
    """How much of running jobs is done, 0 to 1, of those that say it: three calls for up to a hundred jobs."""
    some = list(ids)[:STREAMS_A_CALL]
    mains = describe(cluster, [f"{job_id}#0" for job_id in some]) + describe(cluster, some)
    streams = {
        stream: item["jobId"].partition("#")[0]
        for item in mains
        if (stream := (item.get("container") or {}).get("logStreamName"))
    }
    since = int((time.time() - back_s) * 1000)
    found: dict[str, float] = {}
    for stream, happening in _events(cluster, list(streams), Event.PROGRESS, since):
        share = summed([happening]).share
        if share is not None:
            found[streams[stream]] = share  # in order of time: the last one stays
    return found


def _events(cluster: Cluster, names: Sequence[str], event: Event, since_ms: int) -> list[tuple[str, Happening]]:
    client: Any = cluster.logs
    found = []
    for start in range(0, len(names), STREAMS_A_CALL):
        token: dict[str, str] = {}
        while True:
            answer: Any = client.filter_log_events(
                logGroupName=cluster.card.log_group,
                logStreamNames=list(names[start : start + STREAMS_A_CALL]),
                startTime=since_ms,
                filterPattern=f'"{EVENT_MARK.strip()}" "{event.value}"',
                **token,
            )
            for item in answer.get("events", []):
                happening = parse_event(parse_line(item["message"]))
                if happening is not None and happening.event is event:
                    found.append((item["logStreamName"], happening))
            if not answer.get("nextToken"):
                break
            token = {"nextToken": answer["nextToken"]}
    return found
