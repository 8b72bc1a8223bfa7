"""`tutti logs`: what a job wrote, all nodes in time order."""

from __future__ import annotations

import json as jsonlib
import re
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from tutti.cli.common import JobId, Json, cluster_of, new_app
from tutti.cli.screen import say, trouble
from tutti.values import duration

if TYPE_CHECKING:
    from tutti.logs import LogLine
    from tutti.run import Run

app = new_app()


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which lines are shown."""

    ranks: frozenset[int]
    attempt: int | None
    pattern: re.Pattern[str] | None

    def __call__(self, line: LogLine) -> bool:
        if self.everything:
            return True
        said = line.line
        return (
            (not self.ranks or said.rank in self.ranks)
            and (self.attempt is None or line.attempt == self.attempt)
            and (self.pattern is None or self.pattern.search(said.text) is not None)
        )

    @property
    def everything(self) -> bool:
        return not self.ranks and self.attempt is None and self.pattern is None


@app.command(help="What a job wrote: all nodes merged in time order, each line with its node and rank.")
def logs(
    context: typer.Context,
    *,
    job: JobId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on to the job's end, through retries")] = False,
    period: Annotated[str, typer.Option("--period", help="with --follow: ask so often, 5s, 1m; else as it comes")] = "",
    node: Annotated[list[int] | None, typer.Option("--node", help="only this node; may be given again")] = None,
    rank: Annotated[list[int] | None, typer.Option("--rank", help="only this rank; may be given again")] = None,
    grep: Annotated[str, typer.Option("--grep", "-g", help="only lines that match this expression")] = "",
    since: Annotated[str, typer.Option("--since", help="only what was written in the last 10m, 2h ...")] = "",
    head: Annotated[
        int | None, typer.Option("--head", min=1, help="the first so many lines", show_default=False)
    ] = None,
    tail: Annotated[
        int | None, typer.Option("--tail", "-n", min=1, help="the last so many", show_default=False)
    ] = None,
    attempt: Annotated[
        int | None, typer.Option("--attempt", min=1, help="only this attempt", show_default=False)
    ] = None,
    events: Annotated[bool, typer.Option("--events", help="events as they stand in the log")] = False,
    json: Json = False,
) -> None:
    from tutti.cli.gauge import Gauge  # noqa: PLC0415  --help must not pay for it
    from tutti.cli.live import rendered  # noqa: PLC0415  --help must not pay for it
    from tutti.logs import no_collector  # noqa: PLC0415  the same
    from tutti.run import Run  # noqa: PLC0415  the same

    pattern = compiled(grep)
    since_ms = int((time.time() - seconds(since)) * 1000) if since else 0
    period_s = asked_period(period, follow=follow)
    run = Run.find(cluster_of(context), job)
    nodes = checked_nodes(run, node or [])
    wanted = Wanted(ranks=frozenset(rank or []), attempt=attempt, pattern=pattern)
    found: Iterable[LogLine]

    def told(line: LogLine) -> bool:
        """Whether it is shown: what nodes measure and pass on to each other is not, and counts for nothing."""
        return wanted(line) and (json or rendered(line, events=events, out=sys.stdout) is not None)

    if follow:
        # from the first of the last lines on; some of its own millisecond may come along
        back = run.tail(tail, nodes=nodes, since_ms=since_ms, keep=told) if tail else []
        found = filter(wanted, followed(run, nodes, back[0].at_ms if back else since_ms, period_s))
    elif tail and wanted.everything:
        found = run.tail(tail, nodes=nodes, since_ms=since_ms, keep=told)
    else:
        found = filter(wanted, run.logs(nodes=nodes, since_ms=since_ms))
        found = filter(told, found) if tail or head else found
        found = deque(found, maxlen=tail) if tail else found
    out = sys.stdout
    gauge = Gauge(sys.stderr) if follow else None
    with nullcontext() if follow else no_collector():
        for line in islice(found, head) if head else found:
            text = json_line(line) if json else rendered(line, events=events, out=out)
            if gauge is not None:
                gauge.see(line.line)
            if text is not None:
                with gauge.aside() if gauge is not None else nullcontext():
                    out.write(text + "\n")
                    if follow:
                        out.flush()
    if gauge is not None:
        gauge.end()


def followed(run: Run, nodes: list[int], since_ms: int, period_s: float | None) -> Iterator[LogLine]:
    """Lines as they come; states are told on stderr."""
    from tutti.cli.live import state_line  # noqa: PLC0415  --help must not pay for it
    from tutti.run import StateChange  # noqa: PLC0415  the same

    for item in run.follow(nodes=nodes, since_ms=since_ms, on_expired=trouble, period_s=period_s):
        if isinstance(item, StateChange):
            say(state_line(item))
        else:
            yield item


def checked_nodes(run: Run, nodes: list[int]) -> list[int]:
    """Node indices that the job has.

    Raises
    ------
    typer.BadParameter
        One that it has not.
    """
    if nodes:
        details = run.details()
        count = details.nodes or details.array or 1
        if wrong := [n for n in nodes if not 0 <= n < count]:
            raise typer.BadParameter(f"got {wrong[0]}; this job has nodes 0 to {count - 1}", param_hint="--node")
    return nodes


def compiled(pattern: str) -> re.Pattern[str] | None:
    """A regular expression, or none."""
    try:
        return re.compile(pattern) if pattern else None
    except re.error as error:
        raise typer.BadParameter(f"got {pattern!r}: {error}", param_hint="--grep") from error


def seconds(text: str, flag: str = "--since") -> int:
    """A time such as 10m."""
    try:
        return duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=flag) from error


def asked_period(text: str, *, follow: bool) -> int | None:
    """How often a log that is followed is asked for; None: as is best.

    Raises
    ------
    typer.BadParameter
        Not a time, less than a second, or nothing is followed.
    """
    if not text:
        return None
    period = seconds(text, "--period")
    if period < 1 or not follow:
        what = f"got {text!r}; allowed: 1s or more" if follow else "is how often --follow asks; give --follow too"
        raise typer.BadParameter(what, param_hint="--period")
    return period


def json_line(line: LogLine) -> str:
    """A line as one JSON object."""
    said = line.line
    node = line.node if said.node is None else said.node
    fields = {"at_ms": line.at_ms, "attempt": line.attempt, "node": node, "rank": said.rank, "text": said.text}
    return jsonlib.dumps(fields)
