"""`tutti top`: what a running job's ranks take of their nodes, and how far it is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tutti.cli.common import JobId, Json, cluster_of, new_app
from tutti.cli.screen import ago, as_json, bar, redraw, table, trouble
from tutti.core.events import size

if TYPE_CHECKING:
    from tutti.jobs import Details
    from tutti.telemetry import Telemetry

app = new_app()
EVERY_S = 5.0


@app.command(help="A running job's nodes: cores in use, memory, ranks, and its progress.")
def top(
    context: typer.Context,
    *,
    job: JobId,
    ranks: Annotated[bool, typer.Option("--ranks", help="a line for each rank")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="again every 5 s, to its end or Ctrl-C")] = False,
    json: Json = False,
) -> None:
    from tutti.patience import Patience  # noqa: PLC0415  --help must not pay for it
    from tutti.run import Run  # noqa: PLC0415  the same
    from tutti.telemetry import newest  # noqa: PLC0415  the same

    cluster = cluster_of(context)
    run = Run.find(cluster, job)
    patience = Patience(cluster, tell=trouble)
    while True:
        details = patience.through(run.details)
        found = patience.through(lambda job: newest(cluster, run.nodes(job)), details)
        if json:
            print(as_json(data(details, found)), flush=True)
        else:
            (redraw if watch else print)(shown(details, found, ranks=ranks))
        if not watch or details.ended:
            return
        time.sleep(EVERY_S)


def data(job: Details, found: Telemetry) -> dict[str, Any]:
    """All of it for machines."""
    nodes = [load.to_json() for load in found.loads.values()]
    return {"id": job.id, "state": job.state, "progress": found.progress, "nodes": nodes}


def shown(job: Details, found: Telemetry, *, ranks: bool) -> str:
    """A table of nodes, or of ranks."""
    lines = [f"{job.id}  {job.name}  {job.state}"]
    if found.progress:
        of = f" of {found.progress['total']}" if found.progress.get("total") else ""
        gauge = f"  {bar(found.share)}" if found.share is not None else ""
        lines.append(f"step {found.progress.get('step')}{of}{gauge}")
    if not found.loads:
        lines.append(_silence(job))
        return "\n".join(lines)
    if ranks:
        rows = [
            (str(node), str(rank), f"{cpu:.2f}", size(memory), ago(load.at))
            for node, load in found.loads.items()
            for rank, (cpu, memory) in load.ranks.items()
        ]
        return "\n".join([*lines, table(("NODE", "RANK", "CORES", "MEMORY", "SEEN"), rows, give=0)])
    rows = [(str(n), str(len(x.ranks)), f"{x.cores:.2f}", size(x.memory), ago(x.at)) for n, x in found.loads.items()]
    return "\n".join([*lines, table(("NODE", "RANKS", "CORES", "MEMORY", "SEEN"), rows, give=0)])


def _silence(job: Details) -> str:
    """Why there is nothing to show."""
    if job.ended:
        return "it has ended"
    if job.state == "RUNNING":
        return "no node has said anything in the last minute"
    return f"it has not started: tutti why {job.id}"
