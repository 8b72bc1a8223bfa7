"""What a report says, read from Batch and the log: pure once both are there."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tutti.core.bill import efficiency
from tutti.core.events import PHASES, Happening, parse_event
from tutti.core.setbacks import Setback, setbacks
from tutti.core.waits import BOOTED, LOST, PULLED, QUEUED, origin, waits
from tutti.cost import cost_of
from tutti.run import Run
from tutti.telemetry import NodeLoad, load_of
from workload.contract import Event

if TYPE_CHECKING:
    from tutti.cluster import Cluster
    from tutti.core.bill import Bill, Price
    from tutti.jobs import Details
    from tutti.logs import LogLine
    from tutti.prices import Prices


@dataclass(frozen=True, kw_only=True)
class Span:
    """One phase of one attempt, Unix seconds."""

    name: str
    attempt: int
    start: float
    end: float


@dataclass(frozen=True, kw_only=True)
class Step:
    """Progress at a moment; `rate` in `unit` a second."""

    at: float
    step: float
    total: float | None
    rate: float | None
    unit: str


@dataclass(frozen=True, kw_only=True)
class Story:
    """One run as the report tells it."""

    job: Details
    spans: tuple[Span, ...]
    steps: tuple[Step, ...] = ()
    loads: Mapping[int, Sequence[NodeLoad]] = field(default_factory=dict)
    setbacks: tuple[Setback, ...] = ()
    bill: Bill | None = None
    price: Price | None = None
    efficiency: float | None = None

    @property
    def compute_s(self) -> float | None:
        """Seconds of the last attempt's computing; None where it never ended."""
        found = [s.end - s.start for s in self.spans if s.name == Event.COMPUTED]
        return found[-1] if found else None


def gather(cluster: Cluster, ids: Sequence[str], prices: Prices) -> list[Story]:
    """The stories of some jobs, each log read once."""
    queues = {q.name: q for q in cluster.card.queues}
    stories = []
    for word in ids:
        run = Run.find(cluster, word)
        job = run.details()
        cost = cost_of(job, queues, prices, time.time())
        stories.append(story(job, run.logs(), bill=cost.bill, price=cost.price))
    return stories


def story(job: Details, lines: Iterable[LogLine], *, bill: Bill | None = None, price: Price | None = None) -> Story:
    """A run's story from its log."""
    happened = [(line.attempt, found) for line in lines if (found := parse_event(line.line))]
    spans = _spans(job, happened)
    steps = tuple(_step(h) for _, h in happened if h.event is Event.PROGRESS)
    loads: dict[int, list[NodeLoad]] = {}
    for _, one in happened:
        if one.event is Event.LOAD:
            loads.setdefault(one.node or 0, []).append(load_of(one))
    last = seconds_by_name(s for s in spans if s.attempt == len(job.attempts))
    useful = {Event.COMPUTED: 0.0, **last} if LOST in last and job.ended else last
    nodes = job.nodes or 1
    paid = nodes * (bill.seconds + _unbilled_s(job, spans)) if bill else 0.0
    share = efficiency(useful, nodes=nodes, useful=Event.COMPUTED, paid_node_seconds=paid)
    return Story(
        job=job,
        spans=spans,
        steps=steps,
        loads=dict(sorted(loads.items())),
        setbacks=tuple(setbacks(happened)),
        bill=bill,
        price=price,
        efficiency=share,
    )


def _spans(job: Details, happened: Sequence[tuple[int, Happening]]) -> tuple[Span, ...]:
    """Phases in order of time; until its gang is assembled an attempt may have several of a name (core.waits)."""
    found = []
    for number, attempt in enumerate(job.attempts, start=1):
        placed = attempt.started or job.created
        asked = job.created if number == 1 else (job.attempts[number - 2].stopped or placed)
        own = [h for a, h in happened if a == number]
        phases = [h for h in own if h.event in PHASES and "seconds" in h.fields]
        if phases and phases[0].event is Event.ASSEMBLED:
            together = phases.pop(0)
            found += [
                Span(name=w.name, attempt=number, start=w.start, end=w.end)
                for w in waits(
                    asked=asked,
                    placed=placed,
                    running=together.at - float(together.fields["seconds"]),
                    assembled=together.at,
                    main=together.node or 0,
                    origins={h.node or 0: origin(h.fields) for h in own if h.event is Event.HOST},
                )
            ]
        else:
            found.append(Span(name=QUEUED, attempt=number, start=asked, end=max(asked, placed)))
        found += [
            Span(name=h.event.value, attempt=number, start=h.at - float(h.fields["seconds"]), end=h.at) for h in phases
        ]
        failed = number < len(job.attempts) or job.state != "SUCCEEDED"
        known_until = max([placed, *(s.end for s in found if s.attempt == number)])
        # of a log that is gone nothing is said: its attempt may have computed to its end
        if happened and failed and not any(h.event is Event.COMPUTED for h in own):
            ended = attempt.stopped or known_until
            if ended > known_until:
                found.append(Span(name=LOST, attempt=number, start=known_until, end=ended))
    return tuple(found)


def seconds_by_name(spans: Iterable[Span]) -> dict[str, float]:
    """How long each phase took in all, in the order in which they first came."""
    found: dict[str, float] = {}
    for span in spans:
        found[span.name] = found.get(span.name, 0.0) + span.end - span.start
    return found


def _unbilled_s(job: Details, spans: Iterable[Span]) -> float:
    """Seconds of one node in which its instance was up for this job and Batch did not count yet."""
    started = {number: attempt.started for number, attempt in enumerate(job.attempts, start=1)}
    return sum(
        max(0.0, min(span.end, before) - span.start)
        for span in spans
        if span.name in {BOOTED, PULLED} and (before := started.get(span.attempt)) is not None
    )


def _step(happening: Happening) -> Step:
    f: Mapping[str, Any] = happening.fields
    return Step(
        at=happening.at,
        step=float(f.get("step", 0)),
        total=float(f["total"]) if f.get("total") else None,
        rate=float(f["rate"]) if f.get("rate") else None,
        unit=str(f.get("unit", "steps")),
    )
