"""`tutti cancel`: end jobs, whatever state they are in."""

from __future__ import annotations

from typing import Annotated

import typer

from tutti.cli.common import Json, cluster_of, new_app
from tutti.cli.screen import as_json

app = new_app()


@app.command(help="End jobs: SIGTERM to their ranks, SIGKILL after the grace period. A cancelled job is never retried.")
def cancel(
    context: typer.Context,
    *,
    jobs: Annotated[list[str], typer.Argument(metavar="ID...", help="jobs: ids, starts of ids, or names")],
    reason: Annotated[str, typer.Option("--reason", "-r", help="kept with the job")] = "cancelled by its user",
    json: Json = False,
) -> None:
    from tutti.run import Run  # noqa: PLC0415  --help must not pay for it

    cluster = cluster_of(context)
    runs = [Run.find(cluster, word) for word in jobs]  # all are known before the first is ended
    ended = {run.id: run.cancel(reason) for run in runs}
    if json:
        print(as_json([{"id": job_id, "cancelled": was_alive} for job_id, was_alive in ended.items()]))
        return
    for job_id, was_alive in ended.items():
        print(f"{job_id} {'is being ended' if was_alive else 'had ended before'}")
