"""What is due when, for an engine that has no clock of its own."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass

from tutti.twin.effects import NodeKey


@dataclass(frozen=True, order=True)
class Timer:
    at: float
    number: int  # of two that are due at once, the one that was set first comes first
    what: str
    node: NodeKey


class Timers:
    def __init__(self) -> None:
        self._heap: list[Timer] = []
        self._numbers = itertools.count()

    def after(self, seconds: float, now: float, what: str, node: NodeKey) -> None:
        heapq.heappush(self._heap, Timer(now + seconds, next(self._numbers), what, node))

    def due(self) -> float | None:
        """When the next one is."""
        return self._heap[0].at if self._heap else None

    def pop(self, now: float) -> Timer | None:
        """The next one that is due; each is given once."""
        return heapq.heappop(self._heap) if self._heap and self._heap[0].at <= now else None
