"""`tutti schedule`: what will be submitted, and when."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from tutti.cli.common import Json, cluster_of, new_app
from tutti.cli.screen import as_json, say, table

if TYPE_CHECKING:
    from tutti.schedule import Scheduled

app = new_app("Submissions to come, made by submit --at, --every and --after ID:any.")


@app.command(help="What will be submitted, the next one first. What waits for jobs' ends comes last. Times are yours.")
def ls(context: typer.Context, *, json: Json = False) -> None:
    from tutti.schedule import scheduled  # noqa: PLC0415  --help must not pay for it

    found = scheduled(cluster_of(context))
    if json:
        print(as_json([asdict(s) for s in found]))
    elif not found:
        say("no schedules")
    else:
        rows = [(s.name, s.job, s.when if s.zone == "UTC" else f"{s.when} {s.zone}", _next(s)) for s in found]
        print(table(("NAME", "JOB", "WHEN (UTC)", "NEXT"), rows, give=None))


@app.command(help="Remove schedules, and what waits for jobs' ends. Jobs that were submitted go on.")
def rm(
    context: typer.Context,
    *,
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="as ls shows them, the start of one, or its job's")
    ],
    json: Json = False,
) -> None:
    from tutti.schedule import remove  # noqa: PLC0415  --help must not pay for it

    removed = remove(cluster_of(context), names)
    print(as_json({"removed": removed}) if json else f"{len(removed)} removed: {', '.join(removed)}")


def _next(found: Scheduled) -> str:
    if found.reason:
        return f"refused: {found.reason}"
    if found.state == "WAITING":
        return f"waits for {found.unfinished} of {len(found.after)}" if found.unfinished else "due"
    if found.state != "ENABLED":
        return found.state.lower()
    return "-" if found.next is None else f"{datetime.fromtimestamp(found.next).astimezone():%Y-%m-%d %H:%M}"
