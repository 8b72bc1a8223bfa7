"""`tutti wait`: until a job runs or has ended; ends with the job's own code."""

from __future__ import annotations

from typing import Annotated

import typer

from tutti.cli.common import JobId, Json, cluster_of, new_app
from tutti.cli.screen import as_json, trouble

app = new_app()


@app.command(help="Wait for a job. Ends with the job's exit code: 0 done, 1 where it failed without one.")
def wait(
    context: typer.Context,
    *,
    job: JobId,
    until: Annotated[
        str, typer.Option("--until", metavar="running|done", help="wait for its start, or its end")
    ] = "done",
    json: Json = False,
) -> int:
    from tutti.cli.live import state_line  # noqa: PLC0415  --help must not pay for it
    from tutti.run import Run, StateChange  # noqa: PLC0415  the same
    from tutti.waiting import find, submitted  # noqa: PLC0415  the same

    if until not in {"running", "done"}:
        raise typer.BadParameter(f"got {until!r}; allowed: running, done", param_hint="--until")
    cluster = cluster_of(context)
    run = Run(submitted(cluster, job, tell=trouble), cluster) if find(cluster, job) else Run.find(cluster, job)
    found = run.wait(until=until, on_expired=trouble)
    print(as_json(found.to_json()) if json else state_line(StateChange(job=found, attempt=max(1, len(found.attempts)))))
    return found.code or 0
