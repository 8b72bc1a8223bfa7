"""How a program scales: Amdahl's law fitted to runs of different sizes. Pure.

T(n) = serial + parallel / n, by least squares with both parts at least 0 (Amdahl 1967, AFIPS 30:483).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """Seconds that no node more takes away, and seconds that nodes share."""

    serial_s: float
    parallel_s: float

    def seconds(self, nodes: float) -> float:
        """The time on so many nodes, as the model has it."""
        return self.serial_s + self.parallel_s / nodes

    def speedup(self, nodes: float) -> float:
        """How much faster than on one node."""
        return self.seconds(1) / self.seconds(nodes)

    @property
    def most(self) -> float | None:
        """The speed-up that no number of nodes exceeds; None: no limit in what was measured."""
        return None if self.serial_s <= 0 else self.seconds(1) / self.serial_s


def fit(points: Sequence[tuple[int, float]]) -> Scaling | None:
    """The model for (nodes, seconds); None where fewer than two sizes were run."""
    if len({n for n, _ in points}) < 2:
        return None
    xs, ys = [1 / n for n, _ in points], [t for _, t in points]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - mean_x) ** 2 for x in xs)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread
    serial = mean_y - slope * mean_x
    if slope < 0:  # more nodes took longer: nothing of it is shared
        return Scaling(serial_s=mean_y, parallel_s=0.0)
    if serial < 0:  # better than linear: the line through the origin
        through = sum(x * y for x, y in zip(xs, ys, strict=True)) / sum(x * x for x in xs)
        return Scaling(serial_s=0.0, parallel_s=through)
    return Scaling(serial_s=serial, parallel_s=slope)
