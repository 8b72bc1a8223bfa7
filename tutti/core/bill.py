"""What a run costs, and how much of it was of use. Pure.

EC2 On-Demand and Spot instances are billed by the second, at least 60 s each start (aws.amazon.com/ec2/pricing). Batch
itself costs nothing. A job's attempts are what Batch counts: from the container's start to its end. The instance's own
boot, the image pull and its idling afterwards are paid too and are in no answer of Batch's: the bill says so. Boot and
pull are in the node's log (`tutti.core.waits`), so a run's efficiency counts them as paid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

LEAST_S: Final = 60.0


def money(usd: float) -> str:
    """An amount as people read it: cents, and below a dollar what would vanish among them."""
    return f"{usd:,.2f}" if usd >= 1 or not usd else f"{usd:.4f}"


@dataclass(frozen=True, kw_only=True)
class Price:
    """USD an hour for one instance. `as_of`: the date of the price list, as AWS gives it."""

    usd_per_hour: float
    as_of: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Bill:
    """Of one run: nodes x billed seconds x price. `usd` is None where the price is not known."""

    nodes: int
    seconds: float  # billed seconds of one node, all attempts
    usd: float | None

    @property
    def node_hours(self) -> float:
        return self.nodes * self.seconds / 3600


def billed_seconds(attempts: Iterable[tuple[float | None, float | None]], now: float) -> float:
    """Seconds that one node is paid for: each attempt's (start, stop), at least a minute each.

    An attempt without a start never ran; one without a stop goes on until `now`.
    """
    spans = [(start, stop if stop is not None else now) for start, stop in attempts if start is not None]
    return sum(max(LEAST_S, stop - start) for start, stop in spans)


def bill(*, nodes: int, attempts: Sequence[tuple[float | None, float | None]], price: Price | None, now: float) -> Bill:
    """The bill of one run so far."""
    seconds = billed_seconds(attempts, now)
    usd = None if price is None else nodes * seconds / 3600 * price.usd_per_hour
    return Bill(nodes=nodes, seconds=seconds, usd=usd)


def most(*, nodes: int, timeout_s: float, attempts: int, price: Price | None) -> float | None:
    """The most that a submission can cost, USD: every attempt runs into its timeout on every node."""
    if price is None:
        return None
    return nodes * max(LEAST_S, timeout_s) * attempts / 3600 * price.usd_per_hour


def efficiency(phases: Mapping[str, float], *, nodes: int, useful: str, paid_node_seconds: float) -> float | None:
    """Useful node-seconds of the paid ones: those of the phase `useful` (0-1); None where nothing was paid."""
    if paid_node_seconds <= 0 or useful not in phases:
        return None
    return min(1.0, nodes * phases[useful] / paid_node_seconds)


def total(bills: Iterable[Bill]) -> tuple[float, int]:
    """USD of all bills whose price is known, and how many are not."""
    known, unknown = 0.0, 0
    for one in bills:
        if one.usd is None:
            unknown += 1
        else:
            known += one.usd
    return known, unknown
