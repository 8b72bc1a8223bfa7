"""When to save a checkpoint: the user's word, or `auto` by Young and Daly. Standard library only."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from workload.contract import Variable

AUTO: Final = "auto"
FIRST_SAVE_S: Final = 60.0  # `auto` knows no cost yet: the first save, which measures it, comes after this long
# The failure rate where nobody has measured the pool's: an assumption, said in the log. Schroeder and Gibson, "A
# large-scale study of failures in high-performance computing systems" (DSN 2006), saw 20 to 1,000 failures a year in
# systems of up to about a thousand nodes: about one a node and year at the bad end, which is the safe end here.
DEFAULT_NODE_MTBF_S: Final = 365 * 86_400.0
SOURCE: Final = "Daly 2006, Future Generation Computer Systems 22(3), eq. 37; Young 1974, CACM 17(9)"
ASSUMPTION: Final = "Schroeder and Gibson 2006"
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}
_TIME: Final = re.compile(r"(?P<number>\d+(\.\d+)?)(?P<unit>[smh])")


@dataclass(frozen=True, kw_only=True)
class Every:
    """How often to save: exactly one of `steps` and `seconds`, or neither for `auto`."""

    steps: int | None = None
    seconds: float | None = None

    @property
    def auto(self) -> bool:
        return self.steps is None and self.seconds is None

    @classmethod
    def parse(cls, text: str | int) -> Self:
        """`"auto"`, a number of steps (`500`, `"500"`), or a time (`"90s"`, `"10m"`, `"1.5h"`).

        Raises
        ------
        ValueError
            Anything else.
        """
        written = str(text).strip()
        if written == AUTO:
            return cls()
        if written.isdecimal() and int(written) > 0:
            return cls(steps=int(written))
        if (match := _TIME.fullmatch(written)) and float(match["number"]) > 0:
            return cls(seconds=float(match["number"]) * _UNITS[match["unit"]])
        raise ValueError(
            f"every: got {text!r}; allowed: auto, a number of steps from 1 (500), or a time (90s, 10m, 1.5h)"
        )


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An interval by Young and Daly, with all that went into it. Times in seconds."""

    seconds: float
    cost: float
    saves: int
    node_mtbf: float
    nodes: int
    rate_from: str  # who says the failure rate

    @property
    def overhead(self) -> float:
        """The share of the run's time that goes into saving."""
        return self.cost / (self.seconds + self.cost)

    def __str__(self) -> str:
        mtbf = self.node_mtbf / self.nodes
        return (
            f"every {self.seconds:.4g} s: W = sqrt(2CM) [1 + sqrt(C/2M)/3 + (C/2M)/9] - C with C = {self.cost:.4g} s "
            f"(median of {self.saves} saves), M = {mtbf:.4g} s ({self.node_mtbf / 3600:.6g} h a node, "
            f"{self.rate_from}, over {self.nodes} nodes); saving takes {self.overhead:.2%} of the time [{SOURCE}]"
        )


def optimum(cost: float, mtbf: float) -> float:
    """The time between two saves that loses least, in seconds.

    Daly's higher-order estimate (J. T. Daly, "A higher order estimate of the optimum checkpoint interval for restart
    dumps", FGCS 22(3), 303-312, 2006, eq. 37); its first term is Young's (CACM 17(9), 530-531, 1974). Where a save
    costs more than twice the mean time between failures, that time itself.

    Raises
    ------
    ValueError
        A cost below 0 or an `mtbf` that is not above 0.
    """
    if cost < 0 or not mtbf > 0:
        raise ValueError(f"got a cost of {cost} s and {mtbf} s between failures; allowed: 0 or more, and more than 0")
    if cost >= 2 * mtbf:
        return mtbf
    ratio = cost / (2 * mtbf)
    return math.sqrt(2 * cost * mtbf) * (1 + math.sqrt(ratio) / 3 + ratio / 9) - cost


@dataclass(frozen=True, kw_only=True)
class FailureRate:
    """How often nodes fail. node_mtbf: mean time between failures of one node, seconds. source: who says so."""

    node_mtbf: float
    source: str

    @classmethod
    def find(cls, given: float | None, environ: Mapping[str, str]) -> Self:
        """The program's own word, else the pool's (TUTTI_NODE_MTBF, from the job definition), else an assumption.

        Raises
        ------
        ValueError
            What was said is not a number of seconds above 0.
        """
        said: float | str | None = given
        source = "the program's"
        if said is None and (said := environ.get(Variable.NODE_MTBF) or None):
            source = f"the pool's, {Variable.NODE_MTBF}"
        if said is None:
            source = f"assumed from {ASSUMPTION}, for the pool has no measured rate"
            return cls(node_mtbf=DEFAULT_NODE_MTBF_S, source=source)
        try:
            seconds = float(said)
        except ValueError:
            seconds = 0.0
        if not 0 < seconds < math.inf:
            raise ValueError(f"node_mtbf ({source}): got {said!r}; allowed: seconds above 0")
        return cls(node_mtbf=seconds, source=source)


def automatic(costs: Sequence[float], nodes: int, rate: FailureRate) -> Interval:
    """The interval from the measured `costs` of the last saves and how often nodes fail."""
    cost = statistics.median(costs)
    return Interval(
        seconds=optimum(cost, rate.node_mtbf / nodes),
        cost=cost,
        saves=len(costs),
        node_mtbf=rate.node_mtbf,
        nodes=nodes,
        rate_from=rate.source,
    )
