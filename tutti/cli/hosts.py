"""`tutti hosts`: the nodes that run now, and what on them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from tutti.cli.common import Json, cluster_of, new_app
from tutti.cli.screen import ago, as_json, table

app = new_app()


@dataclass(frozen=True, kw_only=True)
class Host:
    """A node of a running job."""

    address: str
    job: str
    name: str
    node: int
    state: str
    queue: str
    started: float | None


@app.command(help="The nodes that run now: address, job, index.")
def hosts(
    context: typer.Context,
    *,
    jobs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="only of these jobs: ids, starts of ids, or names", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    from tutti.jobs import details  # noqa: PLC0415  --help must not pay for it
    from tutti.listing import describe, list_jobs, nodes_of, resolve  # noqa: PLC0415  the same

    cluster = cluster_of(context)
    wanted = {resolve(cluster, word) for word in jobs or []}
    busy = [j for j in list_jobs(cluster, states=("STARTING", "RUNNING")) if not wanted or j.id in wanted]
    found = [
        Host(
            address=node.address or "-",
            job=job.id,
            name=job.name,
            node=node.index,
            state=node.state,
            queue=job.queue,
            started=job.started,
        )
        for job in map(details, describe(cluster, [j.id for j in busy]))
        for node in nodes_of(cluster, job)
        if node.state in {"STARTING", "RUNNING"}
    ]
    if json:
        print(as_json([asdict(h) for h in found]))
    elif not found:
        print("no node runs")
    else:
        rows = [(h.address, h.job[:13], h.name, str(h.node), h.state, ago(h.started), h.queue) for h in found]
        print(table(("ADDRESS", "JOB", "NAME", "NODE", "STATE", "FOR", "QUEUE"), rows, give=2, colour=4))
