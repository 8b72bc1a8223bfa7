"""`tutti queues`: what waits, runs, is blocked, and what each pool could still start."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from tutti.cli.common import Json, checked_queues, cluster_of, new_app
from tutti.cli.screen import as_json, table

app = new_app()


@app.command(help="The cluster's queues: what waits, runs, is blocked, and how many nodes could still start.")
def queues(
    context: typer.Context,
    *,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[QUEUE]...", help="only these", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    from tutti.queues import queue_states  # noqa: PLC0415  --help must not pay for it

    cluster = cluster_of(context)
    checked_queues(cluster.card, names or [], "QUEUE")
    states = [s for s in queue_states(cluster) if not names or s.name in names]
    if json:
        print(as_json([asdict(s) for s in states]))
        return
    rows = [
        (
            s.name,
            s.kind,
            str(s.priority),
            s.state if s.status == "VALID" else f"{s.state}/{s.status}",
            str(s.waiting + s.runnable),
            str(s.starting + s.running),
            f"{s.busy_nodes}/{s.most_nodes}",
            str(s.free_nodes),
        )
        for s in states
    ]
    print(table(("QUEUE", "KIND", "PRIO", "STATE", "WAIT", "RUN", "NODES", "FREE"), rows, give=0))
    for s in states:
        if s.blocked:
            print(f"{s.name}: {s.head} is next and waits: {s.blocked}")
