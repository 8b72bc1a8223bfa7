"""`tutti resume`: submit a job again, to go on from its last checkpoint."""

from __future__ import annotations

from typing import Annotated

import typer

from tutti.cli.common import JobId, Json, cluster_of, new_app
from tutti.cli.screen import as_json

app = new_app()


@app.command(help="Go on with a job that has ended, from its last checkpoint, with the same nodes or others.")
def resume(
    context: typer.Context,
    *,
    job: JobId,
    nodes: Annotated[int | None, typer.Option("--nodes", help="another number of nodes", show_default=False)] = None,
    wait: Annotated[bool, typer.Option("--wait", help="stay until it ends, show phases and output")] = False,
    json: Json = False,
) -> int:
    from tutti.run import Run  # noqa: PLC0415  --help must not pay for it

    old = Run.find(cluster_of(context), job)
    new = old.resume(nodes=nodes)
    if wait:
        from tutti.cli.live import show  # noqa: PLC0415  only where somebody watches

        return show(new, as_json=json)
    print(as_json({"id": new.id, "resumes": old.id}) if json else new.id)
    return 0
