"""`tutti schedule`: what will be submitted, and when."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer

from tutti.cli.common import Json, cluster_of, new_app
from tutti.cli.screen import as_json, say, table

app = new_app("Submissions to come, made by submit --at and --every.")


@app.command(help="The group's schedules, the next one first. Times are yours.")
def ls(context: typer.Context, *, json: Json = False) -> None:
    from tutti.schedule import scheduled  # noqa: PLC0415  --help must not pay for it

    found = scheduled(cluster_of(context))
    if json:
        print(as_json([asdict(s) for s in found]))
    elif not found:
        say("no schedules")
    else:
        rows = [
            (s.name, s.job, s.when if s.zone == "UTC" else f"{s.when} {s.zone}", _next(s.next, s.state)) for s in found
        ]
        print(table(("NAME", "JOB", "WHEN (UTC)", "NEXT"), rows, give=None))


@app.command(help="Remove schedules. Jobs that they have submitted go on.")
def rm(
    context: typer.Context,
    *,
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="as ls shows them")],
    json: Json = False,
) -> None:
    from tutti.schedule import remove  # noqa: PLC0415  --help must not pay for it

    remove(cluster_of(context), names)
    print(as_json({"removed": names}) if json else f"{len(names)} removed")


def _next(moment: float | None, state: str) -> str:
    if state != "ENABLED":
        return state.lower()
    return "-" if moment is None else f"{datetime.fromtimestamp(moment).astimezone():%Y-%m-%d %H:%M}"
