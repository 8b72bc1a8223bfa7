"""What a lost node cost a run: seconds until it was noticed and until all ranks ran again, steps done twice. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tutti.core.events import Happening
from workload.contract import Event

BREAKS: Final = frozenset({"kill", "lose", "cut", "stop", "term"})  # drills that a gang has to notice


@dataclass(frozen=True, kw_only=True)
class Setback:
    """One node that was lost, or broken by a drill. None: it is not known, or did not come to that."""

    attempt: int
    node: int
    address: str = ""
    reason: str = ""
    drill: str = ""  # what broke it, where that was on purpose: times count from then
    detected_s: float | None = None  # without a drill: since the node's last sign of life
    recovered_s: float | None = None  # until the next attempt's ranks ran
    steps_lost: float | None = None  # reported in this attempt and again in the next: to a second's progress


def setbacks(happened: Sequence[tuple[int, Happening]]) -> list[Setback]:
    """The setbacks of a run, from its log: events with the attempt that each is of, in order of time."""
    drills = [(a, h) for a, h in happened if h.event is Event.DRILLED and h.fields.get("action") in BREAKS]
    found = []
    for attempt, lost in ((a, h) for a, h in happened if h.event is Event.LOST):
        node = int(lost.fields.get("node", -1))
        cause = next((d for a, d in drills if a == attempt and d.node == node and d.at <= lost.at), None)
        drills = [(a, d) for a, d in drills if d is not cause]
        silent = lost.fields.get("after")
        since = cause.at if cause else lost.at - float(silent or 0)
        found.append(
            Setback(
                attempt=attempt,
                node=node,
                address=str(lost.fields.get("address", "")),
                reason=str(lost.fields.get("reason", "")),
                drill=str(cause.fields["action"]) if cause else "",
                detected_s=None if cause is None and silent is None else lost.at - since,
                recovered_s=_recovered(happened, attempt, since),
                steps_lost=_steps_lost(happened, attempt),
            )
        )
    # Main's own end, or its host's, is in no log: Batch starts the job again, and nobody was there to say why.
    found += [
        Setback(
            attempt=a,
            node=d.node if d.node is not None else -1,
            drill=str(d.fields["action"]),
            recovered_s=_recovered(happened, a, d.at),
            steps_lost=_steps_lost(happened, a),
        )
        for a, d in drills
    ]
    return sorted(found, key=lambda s: s.attempt)


def _recovered(happened: Sequence[tuple[int, Happening]], attempt: int, since: float) -> float | None:
    again = [h.at for a, h in happened if a == attempt + 1 and h.event is Event.LAUNCHED]
    return again[0] - since if again else None


def _steps_lost(happened: Sequence[tuple[int, Happening]], attempt: int) -> float | None:
    """A program reports its first step at once, so that is the one after those that it did not have to do again."""
    reached = [float(h.fields["step"]) for a, h in happened if a == attempt and h.event is Event.PROGRESS]
    again = [float(h.fields["step"]) for a, h in happened if a == attempt + 1 and h.event is Event.PROGRESS]
    return max(0.0, max(reached) - (again[0] - 1)) if reached and again else None
