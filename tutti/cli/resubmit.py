"""`tutti resubmit`: submit jobs again as they were."""

from __future__ import annotations

from typing import Annotated

import typer

from tutti.cli.common import Json, cluster_of, new_app
from tutti.cli.screen import as_json

app = new_app()


@app.command(help="Submit jobs again as they were: program, variables, size, retries, labels.")
def resubmit(
    context: typer.Context,
    *,
    jobs: Annotated[list[str], typer.Argument(metavar="ID...", help="jobs: ids, starts of ids, or names")],
    nodes: Annotated[int | None, typer.Option("--nodes", help="another number of nodes", show_default=False)] = None,
    wait: Annotated[bool, typer.Option("--wait", help="stay until it ends, show phases and output")] = False,
    json: Json = False,
) -> int:
    from tutti.run import Run  # noqa: PLC0415  --help must not pay for it

    if wait and len(jobs) > 1:
        raise typer.BadParameter(f"got {len(jobs)} jobs; allowed: one job to watch", param_hint="--wait")
    cluster = cluster_of(context)
    old = [Run.find(cluster, word) for word in jobs]  # all are known before the first is sent
    new = [(run, run.resubmit(nodes=nodes)) for run in old]
    if wait:
        from tutti.cli.live import show  # noqa: PLC0415  only where somebody watches

        return show(new[0][1], as_json=json)
    if json:
        print(as_json([{"id": after.id, "of": before.id} for before, after in new]))
        return 0
    for _, after in new:
        print(after.id)
    return 0
