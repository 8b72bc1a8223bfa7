"""`tutti queues`: what waits, runs, is blocked, and what each pool could still start."""

from __future__ import annotations

from dataclasses import asdict

import typer

from tutti.cli.common import Json, cluster_of, new_app
from tutti.cli.screen import as_json, table

app = new_app()


@app.command(help="The cluster's queues: what waits, runs, is blocked, and how many nodes could still start.")
def queues(context: typer.Context, *, json: Json = False) -> None:
    from tutti.queues import queue_states  # noqa: PLC0415  --help must not pay for it

    states = queue_states(cluster_of(context))
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
