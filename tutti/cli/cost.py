"""`tutti cost`: what runs have cost, by user, job or day."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from typing import Annotated

import typer

from tutti.cli.common import Json, cluster_of, new_app
from tutti.cli.screen import as_json, table
from tutti.core.bill import money
from tutti.values import duration

app = new_app()
NOTE = "not counted: instances that boot, pull the image or idle; AWS's bill has them"


@app.command(help="What runs have cost: nodes x billed seconds x price, by user, job or day.")
def cost(
    context: typer.Context,
    *,
    by: Annotated[str, typer.Option("--by", metavar="user|job|day", help="one line for each")] = "user",
    since: Annotated[str, typer.Option("--since", help="runs created in the last 7d, 12h ...")] = "30d",
    json: Json = False,
) -> None:
    from tutti.cost import BY, costs, summed  # noqa: PLC0415  --help must not pay for it
    from tutti.prices import Prices  # noqa: PLC0415  the same

    if by not in BY:
        raise typer.BadParameter(f"got {by!r}; allowed: {', '.join(BY)}", param_hint="--by")
    try:
        after = time.time() - duration(since)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--since") from error
    cluster = cluster_of(context)
    found = costs(cluster, Prices(cluster, os.environ), since=after)
    rows = summed(found, by)
    prices = {item.instance_type: asdict(item.price) for item in found if item.price}
    if json:
        print(as_json({"by": by, "rows": [asdict(row) for row in rows], "prices": prices}))
        return
    if not rows:
        print(f"no run has started in the last {since}")
        return
    cells = [(_short(r.key), str(r.runs), f"{r.node_hours:.2f}", _usd(r.usd, r.unknown, r.runs)) for r in rows]
    print(table((by.upper(), "RUNS", "NODE-HOURS", "USD"), cells, give=0))
    for name, price in sorted(prices.items()):
        print(f"{name}: {price['usd_per_hour']:.5g} USD an hour ({price['source']}, {price['as_of']})")
    if missing := sorted({item.instance_type or "a pool of several types" for item in found if item.price is None}):
        print(f"price not known: {', '.join(missing)}")
    print(NOTE)


def _short(key: str) -> str:
    """Of who works through a role (`AROA...:ada@lab.example`) the session's name; jobs and days have no colon."""
    return key.partition(":")[2] or key


def _usd(usd: float, unknown: int, runs: int) -> str:
    if unknown == runs:
        return "not known"
    return money(usd) + (f" and {unknown} not known" if unknown else "")
