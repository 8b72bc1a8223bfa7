"""What runs have cost: attempts from Batch, prices from AWS, summed by user, job or day."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tutti.core.bill import Bill, Price, bill, total
from tutti.jobs import Details, details
from tutti.listing import describe, list_jobs
from workload.contract import CardQueue, Tag

if TYPE_CHECKING:
    from tutti.cluster import Cluster
    from tutti.prices import Prices

NOBODY: Final = "-"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One run and its bill."""

    job: Details
    instance_type: str  # empty: a pool of several, of which Batch does not say which it was
    price: Price | None
    bill: Bill


@dataclass(frozen=True, kw_only=True)
class Row:
    """Some runs together. `unknown`: how many of them have no known price; `usd` is of the others."""

    key: str
    runs: int
    node_hours: float
    usd: float
    unknown: int


def costs(cluster: Cluster, prices: Prices, *, since: float = 0.0) -> list[Cost]:
    """The bill of every run created since then (Unix seconds) that started at all, newest first."""
    started = [job.id for job in list_jobs(cluster, since=since) if job.started]
    queues = {queue.name: queue for queue in cluster.card.queues}
    now = time.time()
    return [cost_of(details(item), queues, prices, now) for item in describe(cluster, started)]


def cost_of(job: Details, queues: Mapping[str, CardQueue], prices: Prices, now: float) -> Cost:
    """One run's bill, so far where it still runs."""
    queue = queues.get(job.queue)
    types = queue.instance_types if queue else ()
    instance_type = types[0] if len(types) == 1 else ""
    price = prices.hourly(instance_type, capacity=queue.capacity, zone=queue.zone) if queue and instance_type else None
    attempts = [(attempt.started, attempt.stopped) for attempt in job.attempts]
    if not attempts or (not job.ended and job.started):
        attempts.append((job.started, job.stopped))
    done = bill(nodes=job.nodes or 1, attempts=attempts, price=price, now=now)
    return Cost(job=job, instance_type=instance_type, price=price, bill=done)


BY: Final[Mapping[str, Callable[[Cost], str]]] = {
    "user": lambda cost: cost.job.tags.get(Tag.USER, NOBODY),
    "job": lambda cost: cost.job.name,
    "day": lambda cost: time.strftime("%Y-%m-%d", time.gmtime(cost.job.created)),
}


def summed(found: Iterable[Cost], by: str) -> list[Row]:
    """Rows by user, job name or day (UTC), the dearest first."""
    groups: dict[str, list[Cost]] = {}
    for cost in found:
        groups.setdefault(BY[by](cost), []).append(cost)
    return sorted(
        (_row(key, items) for key, items in groups.items()), key=lambda row: (-row.usd, -row.node_hours, row.key)
    )


def _row(key: str, items: list[Cost]) -> Row:
    usd, unknown = total(item.bill for item in items)
    return Row(key=key, runs=len(items), node_hours=sum(i.bill.node_hours for i in items), usd=usd, unknown=unknown)
