"""The events that the nodes write into their logs (`contract.Event`): read, said in words, summed up as phases."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tutti.core.waits import origin
from workload.contract import EVENT_MARK, LOG_LINE, Event

PHASES: Final = (Event.ASSEMBLED, Event.PREFLIGHT, Event.STAGED, Event.LAUNCHED, Event.COMPUTED, Event.UPLOADED)


@dataclass(frozen=True, kw_only=True)
class Happening:
    """One event: what, when (Unix seconds), on which node's log, and its own fields."""

    event: Event
    at: float
    node: int | None
    fields: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a node's log, taken apart."""

    node: int | None
    rank: int | None
    text: str


def parse_line(message: str) -> Line:
    """`[NODE:RANK] text` or `[NODE] text`; any other line is text of nobody in particular."""
    if match := LOG_LINE.fullmatch(message):
        rank = match["rank"]
        return Line(node=int(match["node"]), rank=None if rank is None else int(rank), text=match["text"])
    return Line(node=None, rank=None, text=message)


def parse_event(line: Line) -> Happening | None:
    """The event in a line of the runtime's own; None for every other line, and for events that this version lacks."""
    if line.rank is not None or not line.text.startswith(EVENT_MARK):
        return None
    try:
        fields = json.loads(line.text[len(EVENT_MARK) :])
        return Happening(event=Event(fields.pop("event")), at=float(fields.pop("at")), node=line.node, fields=fields)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def in_words(happening: Happening) -> str:
    """An event as a person would say it."""
    f = happening.fields
    took = f" in {f['seconds']:.1f} s" if isinstance(f.get("seconds"), (int, float)) else ""
    match happening.event:
        case Event.STARTED:
            return f"node {f.get('node', happening.node)} started at {f.get('address', '?')}"
        case Event.HOST:
            return _origin(happening)
        case Event.ASSEMBLED:
            return f"assembled: {_many(f.get('nodes', '?'), 'node')}{took}"
        case Event.STAGED:
            return f"staged: {size(f.get('bytes', 0))}{took}"
        case Event.UPLOADED:
            return f"uploaded: {size(f.get('bytes', 0))}{took}"
        case Event.LAUNCHED:
            return f"launched: {_many(f.get('ranks', '?'), 'rank')} with {f.get('mpi', '?')}{took}"
        case Event.PROGRESS:
            total, rate = f.get("total"), f.get("rate")
            share = f" of {total}" if total else ""
            speed = f", {rate:.3g} {f.get('unit', 'steps')}/s" if rate else ""
            return f"step {f.get('step', '?')}{share}{speed}"
        case Event.LOST:
            after = f" {f['after']:.1f} s ago" if isinstance(f.get("after"), (int, float)) else ""
            words = f"; its last words: {f['last_words']}" if f.get("last_words") else ""
            lost = f"lost node {f.get('node', '?')} ({f.get('address', '?')}){after}"
            return f"{lost}: {f.get('reason', 'no reason')}{words}"
        case Event.DRILLED:
            return f"drill: {f.get('action', '?')}"
        case Event.STOPPING:
            return f"stopping with code {f.get('code', '?')}: {f.get('reason', '')}".rstrip(": ")
        case Event.COMPUTED:
            return f"computed{took}, code {f.get('code', '?')}"
        case Event.ENDED:
            return f"ended with code {f.get('code', '?')}{took}"
        case _:
            return f"{happening.event.value}{took}"


def _many(count: object, of: str) -> str:
    return f"{count} {of}" if count == 1 else f"{count} {of}s"


def _origin(happening: Happening) -> str:
    """Since when a node's instance is up, and how long its image took."""
    known, said = origin(happening.fields), []
    if known.booted is not None:
        said.append(f"its instance has been up for {happening.at - known.booted:.0f} s")
    if known.pull:
        said.append(f"its image was pulled in {known.pull[1] - known.pull[0]:.1f} s")
    return f"node {happening.node}: {', '.join(said) or 'nothing is known of its instance'}"


def size(count: float) -> str:
    """Bytes for people: `3.2 GiB`."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def phases(happenings: Iterable[Happening]) -> dict[str, float]:
    """Seconds of each phase, from the events of one attempt; phases that have not ended are left out."""
    return {
        h.event.value: float(h.fields["seconds"])
        for h in happenings
        if h.event in PHASES and isinstance(h.fields.get("seconds"), (int, float))
    }
