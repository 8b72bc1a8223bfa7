"""`tutti logs`: what a job wrote, all nodes in time order."""

from __future__ import annotations

import json as jsonlib
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tutti.cli.common import JobId, Json, cluster_of, new_app
from tutti.cli.screen import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tutti.logs import LogLine

app = new_app()


@app.command(help="What a job wrote: all nodes merged in time order, each line with its node and rank.")
def logs(
    context: typer.Context,
    *,
    job: JobId,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="go on until the job ends, through its retries")
    ] = False,
    node: Annotated[list[int] | None, typer.Option("--node", help="only this node; may be given again")] = None,
    events: Annotated[bool, typer.Option("--events", help="the runtime's events as they stand in the log")] = False,
    json: Json = False,
) -> None:
    from tutti.cli.live import rendered, state_line  # noqa: PLC0415  --help must not pay for it
    from tutti.run import Run, StateChange  # noqa: PLC0415  the same

    run = Run.find(cluster_of(context), job)
    details = run.details()
    count = details.nodes or details.array or 1
    if wrong := [n for n in node or [] if not 0 <= n < count]:
        raise typer.BadParameter(f"got {wrong[0]}; this job has nodes 0 to {count - 1}", param_hint="--node")

    def lines() -> Iterator[LogLine]:
        if not follow:
            yield from run.logs(nodes=node or [])
            return
        for item in run.follow(
            nodes=node or [], on_expired=lambda words: say(f"tutti: {words}. Waiting ...", "yellow")
        ):
            if isinstance(item, StateChange):
                say(state_line(item))
            else:
                yield item

    out = sys.stdout
    for line in lines():
        text = _json_line(line) if json else rendered(line, events=events, out=out)
        if text is not None:
            out.write(text + "\n")
            if follow:
                out.flush()


def _json_line(line: LogLine) -> str:
    node = line.node if line.line.node is None else line.line.node
    fields = {
        "at_ms": line.at_ms,
        "attempt": line.attempt,
        "node": node,
        "rank": line.line.rank,
        "text": line.line.text,
    }
    return jsonlib.dumps(fields)
