"""Where the time of an attempt went until its gang was assembled: queue, instance, image, start, barrier. Pure.

Batch tells when main's container started, the log when main's runtime did and when the last node had joined. Each node
tells besides when its instance booted and when its image was pulled (`Event.HOST`). Nodes differ, so a moment counts by
what the gang then waited for:

1. `pulled`: a node pulls its image. Children pull when main runs already, for Batch asks for them only then (B3).
2. `booted`: an instance is up and its node's pull has not begun. Of a child that came up while main waited as well,
   only until main's own pull: from then on it waits for main, not for its instance.
3. `queued`: main's pull has not begun (where it is not known: its container has not started).
4. `starting`: main's container and runtime start.
5. `assembled`: the barrier. Main runs, and the others are not all there.

What comes after these phases and those that the gang tells of is `lost` where the attempt ended before its program had.

An instance that was up when the attempt was asked for, or was up for long before the node's pull (`JOIN_S`), has not
been booted for it and has no `booted`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from math import isfinite
from typing import Any, Final

from workload.contract import Event

QUEUED: Final = "queued"
BOOTED: Final = "booted"
PULLED: Final = "pulled"
STARTING: Final = "starting"
ASSEMBLED: Final = Event.ASSEMBLED.value
LOST: Final = "lost"
# From boot to the first pull, agent, drivers and disks included; one that is up for longer has served another job.
JOIN_S: Final = 600.0

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a node says of its instance and its image, Unix seconds; None where it does not know."""

    booted: float | None = None
    pull: Interval | None = None


@dataclass(frozen=True, kw_only=True)
class Wait:
    """The gang waited for `name`, Unix seconds."""

    name: str
    start: float
    end: float


def origin(fields: Mapping[str, Any]) -> Origin:
    """What the fields of an event `host` say."""
    booted = fields.get("booted")
    began, ended = (_moment(fields.get(key)) for key in ("pull_began", "pull_ended"))
    return Origin(
        booted=float(booted) if isinstance(booted, (int, float)) and isfinite(booted) else None,
        pull=None if began is None or ended is None else (began, max(began, ended)),
    )


def waits(
    *, asked: float, placed: float, running: float, assembled: float, main: int, origins: Mapping[int, Origin]
) -> list[Wait]:
    """All of an attempt from `asked` to `assembled`, in order, without a gap: lengths are positive and sum up.

    Parameters
    ----------
    asked
        When the job was submitted, or its attempt before this one ended.
    placed
        When main's container started, as Batch says.
    running, assembled
        When main's runtime started, and when all nodes were there.
    main
        Main's index.
    origins
        What the nodes say, by index; of those that say nothing there is none.
    """
    own = origins.get(main, Origin())
    begun = own.pull[0] if own.pull else placed
    pulling = [o.pull for o in origins.values() if o.pull]
    booting = [i for o in origins.values() if (i := _booting(o, asked, begun))]
    moments = {begun, running, *(moment for interval in (*pulling, *booting) for moment in interval)}
    cuts = [asked, *sorted(m for m in moments if asked < m < assembled), max(asked, assembled)]

    def name(at: float) -> str:
        if any(start <= at < end for start, end in pulling):
            return PULLED
        if any(start <= at < end for start, end in booting):
            return BOOTED
        if at < min(begun, running):
            return QUEUED
        return STARTING if at < running else ASSEMBLED

    return _merged(Wait(name=name(start), start=start, end=end) for start, end in pairwise(cuts) if end > start)


def _booting(origin: Origin, asked: float, begun: float) -> Interval | None:
    """From an instance's boot until it was no longer what the gang waited for; `begun`: main's pull."""
    pull = origin.pull[0] if origin.pull else begun
    if origin.booted is None or origin.booted <= asked or pull - origin.booted > JOIN_S:
        return None
    return origin.booted, begun if origin.booted <= begun else pull


def _merged(found: Iterable[Wait]) -> list[Wait]:
    merged: list[Wait] = []
    for one in found:
        if merged and merged[-1].name == one.name:
            merged[-1] = Wait(name=one.name, start=merged[-1].start, end=one.end)
        else:
            merged.append(one)
    return merged


def _moment(text: Any) -> float | None:
    """Unix seconds of an ISO 8601 time with its zone; None for anything else."""
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return found.timestamp() if found.tzinfo else None
