"""A job as it goes: its states, phases and output on the terminal, until it ends."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from tutti.cli.gauge import Gauge
from tutti.cli.screen import OF_NODE, OF_STATE, fitted, paint, say, trouble
from tutti.cli.screen import as_json as to_json
from tutti.core.bill import money
from tutti.core.events import in_words, parse_event
from tutti.jobs import Details
from tutti.logs import LogLine
from tutti.run import Run, StateChange
from tutti.values import in_words as duration
from workload.contract import EVENT_MARK, METRIC_MARK, SAYS, Event

if TYPE_CHECKING:
    from collections.abc import Iterable

LOSS = " lost"  # in the runtime's own sentence about a node that is gone
QUIET = frozenset(
    {Event.STARTED, Event.HOST, Event.PROGRESS, Event.LOAD, Event.LOST}
)  # no line of their own: the runtime says the last itself


def show(run: Run, *, as_json: bool = False) -> int:
    """Follow a job; answer its exit code. With `as_json` only the end is printed, as JSON."""
    last: Details | None = None
    events: list[LogLine] = []
    # JSON is stdout's alone: what happens meanwhile goes to stderr then
    out = sys.stderr if as_json else sys.stdout
    gauge = Gauge(sys.stderr)
    for item in run.follow(on_expired=trouble):
        if isinstance(item, StateChange):
            last = item.job
            with gauge.aside():
                say(state_line(item))
        else:
            gauge.see(item.line)
            with gauge.aside():
                print_lines([item], out)
            if item.line.text.startswith(EVENT_MARK):
                events.append(item)
    gauge.end()
    if last is None:
        raise AssertionError("following a job always ends with its state")
    if told := closing(run, last, events):
        say(told)
    if as_json:
        print(to_json(last.to_json()))
    return last.code or 0


def closing(run: Run, job: Details, events: Sequence[LogLine]) -> str:
    """Where the time of the last attempt went, and what the run cost; empty where it never started."""
    from tutti.cost import cost_of  # noqa: PLC0415  only at the end
    from tutti.prices import Prices  # noqa: PLC0415  the same
    from tutti.report.gather import seconds_by_name, story  # noqa: PLC0415  the same

    if job.started is None:
        return ""
    queues = {q.name: q for q in run.cluster.card.queues}
    cost = cost_of(job, queues, Prices(run.cluster, os.environ), time.time())
    told = story(job, events, bill=cost.bill, price=cost.price)
    last = seconds_by_name(s for s in told.spans if s.attempt == len(job.attempts))
    phases = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in last.items())
    usd = cost.bill.usd
    paid = f"price of {cost.instance_type or job.queue} unknown" if usd is None else f"${money(usd)}"
    share = "" if told.efficiency is None else f", {told.efficiency:.0%} of it computing"
    return f"{phases}\n{cost.bill.node_hours:.3f} node hours, {paid}{share}"


def state_line(change: StateChange) -> str:
    """A state in one line: what, for how long, why."""
    job = change.job
    again = f" (attempt {change.attempt})" if change.attempt > 1 else ""
    if not job.ended:
        why = f": {job.reason}" if job.reason and job.state in {"RUNNABLE", "PENDING"} else ""
        return f"{job.state}{again}{why}"
    ran = f" after {duration(job.stopped - job.started)}" if job.started and job.stopped else ""
    code = f", code {job.code}" if job.code else ""
    words = f": {job.meaning}" if job.code else ""
    return f"{job.state}{again}{ran}{code}{words}"


def print_lines(lines: Iterable[LogLine], out: TextIO, *, events: bool = False) -> None:
    """Lines with node and rank; the runtime's events in words."""
    for line in lines:
        text = rendered(line, events=events, out=out)
        if text is not None:
            print(text, file=out, flush=True)


def rendered(line: LogLine, *, events: bool, out: TextIO) -> str | None:
    """A line as it is shown; None: not shown. `events`: as they stand in the log, for machines."""
    said = line.line
    if said.text.startswith(METRIC_MARK) and not events:
        return None
    node = line.node if said.node is None else said.node
    place = f"[{node}]" if said.rank is None else f"[{node}:{said.rank}]"
    head = paint(place, OF_NODE[node % len(OF_NODE)], stream=out)
    happening = parse_event(said)
    if happening is None or events:
        if said.text.startswith(SAYS):
            colour = "red" if LOSS in said.text else "dim"
            return f"{head} {paint(_beside(place, said.text, out), colour, stream=out)}"
        return f"{head} {said.text}"
    if happening.event in QUIET:
        return None
    colour = OF_STATE["FAILED"] if happening.event is Event.STOPPING else "bold"
    return f"{head} {paint(_beside(place, in_words(happening), out), colour, stream=out)}"


def _beside(place: str, words: str, out: TextIO) -> str:
    """Words of the runtime's own, folded to the right of node and rank; a program's lines stay as they are."""
    before = f"{place} "
    return fitted(before + words, out, indent=len(before)).removeprefix(before)
