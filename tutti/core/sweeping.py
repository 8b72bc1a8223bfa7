"""What a sweep must do next: which points are missing, which failed, how many may start. Pure.

A point's job has a name that says the point and the round, so the jobs themselves are the record of what was
submitted: SubmitJob has no token, and a client may be killed between a request and its answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

ENDED: Final = frozenset({"SUCCEEDED", "FAILED"})


@dataclass(frozen=True, kw_only=True)
class Tried:
    """The newest job of a point. `round`: 0 at first, one more with every rerun."""

    point: int
    round: int
    id: str
    state: str
    code: int | None = None

    def to_json(self) -> dict[str, Any]:
        return {"point": self.point, "round": self.round, "id": self.id, "state": self.state, "code": self.code}


def job_name(sweep: str, point: int, round_: int) -> str:
    """`scan-4f2a91-00012`, `scan-4f2a91-00012-r1` after a rerun."""
    return f"{sweep}-{point:05d}" + (f"-r{round_}" if round_ else "")


def parse_name(sweep: str, name: str) -> tuple[int, int] | None:
    """The point and the round of a job's name; None for every other job."""
    match = re.fullmatch(rf"{re.escape(sweep)}-(\d{{5,}})(?:-r(\d+))?", name)
    return (int(match[1]), int(match[2] or 0)) if match else None


def newest(tries: Iterable[Tried]) -> dict[int, Tried]:
    """Of each point the job of the highest round; of two of the same round (which never should be) one that goes on."""
    best: dict[int, Tried] = {}
    for tried in tries:
        known = best.get(tried.point)
        if known is None or (tried.round, known.state in ENDED, tried.state == "SUCCEEDED") > (
            known.round,
            tried.state in ENDED,
            known.state == "SUCCEEDED",
        ):
            best[tried.point] = tried
    return best


def due(points: int, known: Mapping[int, Tried], *, rerun_failed: Iterable[int] = ()) -> list[tuple[int, int]]:
    """Points that have no job yet, and the failed ones that shall run again: (point, round), in order."""
    again = set(rerun_failed)
    found = []
    for point in range(points):
        tried = known.get(point)
        if tried is None:
            found.append((point, 0))
        elif point in again and tried.state == "FAILED":
            found.append((point, tried.round + 1))
    return found


def room(known: Mapping[int, Tried], max_running: int | None) -> int | None:
    """How many jobs may start now; None: any number."""
    if max_running is None:
        return None
    return max(0, max_running - sum(t.state not in ENDED for t in known.values()))


def counts(points: int, known: Mapping[int, Tried]) -> dict[str, int]:
    """How many points are in which state; `waiting` have no job yet."""
    found: dict[str, int] = {"waiting": points - len(known)}
    for tried in known.values():
        found[tried.state] = found.get(tried.state, 0) + 1
    return {state: count for state, count in found.items() if count}
