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
    json: Json = False,
) -> None:
    from tutti.run import Run  # noqa: PLC0415  --help must not pay for it

    cluster = cluster_of(context)
    old = [Run.find(cluster, word) for word in jobs]  # all are known before the first is sent
    new = [(run.id, run.resubmit(nodes=nodes).id) for run in old]
    if json:
        print(as_json([{"id": after, "of": before} for before, after in new]))
        return
    for _, after in new:
        print(after)
