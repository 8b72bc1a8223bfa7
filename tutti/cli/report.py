"""`tutti report`: runs as one HTML file that is readable offline."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tutti.cli.common import Json, cluster_of, new_app
from tutti.cli.screen import as_json
from tutti.errors import TuttiError

app = new_app()


@app.command(help="Runs as one HTML file: phases, progress, cost, load of each node; several runs: how they scale.")
def report(
    context: typer.Context,
    *,
    jobs: Annotated[list[str], typer.Argument(metavar="ID...", help="jobs: ids, starts of ids, or names")],
    output: Annotated[str, typer.Option("--output", "-o", help="the file", show_default=True)] = "report.html",
    json: Json = False,
) -> None:
    from tutti.prices import Prices  # noqa: PLC0415  --help must not pay for it
    from tutti.report.gather import gather  # noqa: PLC0415  the same

    cluster = cluster_of(context)
    stories = gather(cluster, jobs, Prices(cluster, os.environ))
    if json:
        print(as_json([asdict(s) for s in stories]))
        return
    try:
        from tutti.report.page import page  # noqa: PLC0415  matplotlib: half a second, and an extra
    except ModuleNotFoundError as error:
        raise TuttiError(f"a report needs {error.name}: pip install 'tutti[report]'") from error
    file = Path(output)
    file.write_text(page(stories, stack=cluster.card.stack, now=time.time()), encoding="utf-8")
    print(file)
