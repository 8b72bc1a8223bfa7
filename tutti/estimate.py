"""What a submission would do: the call, where it goes, how full that is, and the most it can cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tutti.core.bill import Price, money, most
from tutti.errors import InputError, Problem
from tutti.prices import Prices
from workload.contract import Card, CardDefinition, CardQueue

if TYPE_CHECKING:
    from tutti.cluster import Cluster


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The most that a submission can take. `usd` is None where a price is not known.

    `before`: of the job that compiles first; `usd` has it in it. `again`: a schedule, which costs `usd` each time.
    """

    queue: CardQueue
    nodes: int
    attempts: int
    timeout_s: int
    price: Price | None
    usd: float | None
    before: Estimate | None = None
    again: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "queue": self.queue.name,
            "nodes": self.nodes,
            "attempts": self.attempts,
            "timeout_s": self.timeout_s,
            "usd_per_node_hour": self.price.usd_per_hour if self.price else None,
            "price_of": self.price.as_of if self.price else None,
            "most_usd": self.usd,
            "compile_usd": self.before.usd if self.before else None,
            "each_time": self.again,
        }


def estimate(
    cluster: Cluster,
    document: Mapping[str, Any],
    prices: Prices,
    *,
    first: Mapping[str, Any] | None = None,
    again: bool = False,
) -> Estimate:
    """Of a SubmitJob request made by `tutti.batch.request`, and of the one that compiles `first`."""
    card = cluster.card
    queue = _queue(card, document["jobQueue"])
    definition = _definition(card, document["jobDefinition"])
    gang = document.get("nodeOverrides", {})
    nodes = gang.get("numNodes") or document.get("arrayProperties", {}).get("size") or 1
    attempts = document.get("retryStrategy", {}).get("attempts", definition.attempts)
    timeout_s = document.get("timeout", {}).get("attemptDurationSeconds", definition.timeout_s)
    known = prices.hourly(_only(queue), capacity=queue.capacity, zone=queue.zone)
    usd = most(nodes=nodes, timeout_s=timeout_s, attempts=attempts, price=known)
    before = estimate(cluster, first, prices) if first else None
    if before:
        usd = None if usd is None or before.usd is None else usd + before.usd
    return Estimate(
        queue=queue,
        nodes=nodes,
        attempts=attempts,
        timeout_s=timeout_s,
        price=known,
        usd=usd,
        before=before,
        again=again,
    )


def refuse_above(found: Estimate, limit: float, where: str = "max_cost") -> None:
    """Refuse what may cost more than the user allows.

    Raises
    ------
    InputError
        it may, or nobody knows.
    """
    if found.usd is None:
        unknown = found.before if found.before and found.price else found
        kind = " or ".join(unknown.queue.instance_types)
        what = f"the price of {kind} is not known, so nothing can be promised"
        raise InputError([Problem(where=where, what=what, remedy="Leave it out, or allow pricing:GetProducts")])
    if found.usd > limit:
        what = (
            f"may cost ${money(found.usd)} ({found.nodes} nodes x {found.timeout_s / 3600:.2f} h "
            f"x {found.attempts} attempts{', and compiling' if found.before else ''})"
            f"{' each time' if found.again else ''}; allowed are ${money(limit)}"
        )
        raise InputError([Problem(where=where, what=what, remedy="Fewer nodes, a shorter timeout or fewer retries")])


def _only(queue: CardQueue) -> str:
    """The instance type of a queue; empty where it has several: nobody knows which one it will be."""
    return queue.instance_types[0] if len(queue.instance_types) == 1 else ""


def _queue(card: Card, arn: str) -> CardQueue:
    return next(q for q in card.queues if arn in {q.arn, q.name})


def _definition(card: Card, arn: str) -> CardDefinition:
    return next(d for d in card.definitions if arn in {d.arn, d.name})
