"""`tutti status`: the cluster's jobs, or one job with its nodes."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tutti.cli.common import Json, checked_queues, cluster_of, new_app
from tutti.cli.logs import seconds
from tutti.cli.screen import ago, as_json, bar, height, redraw, table, trouble
from tutti.jobs import ENDED, ERRAND, STATES, Details, Node, Summary
from tutti.values import in_words
from workload.documents import program_of

if TYPE_CHECKING:
    from tutti.cluster import Cluster

app = new_app()
NODES_SHOWN = 64
EVERY_S = 2.0
AROUND = 3  # lines of a table that are no jobs: its head, its counts, what is folded
SWEPT = re.compile(r"(.+-[0-9a-f]{6})-\d{5,}(?:-r\d+)?")  # the name of a sweep's point: tutti.core.sweeping


@app.command(help="Jobs of the cluster, newest first; or one job with its nodes.")
def status(
    context: typer.Context,
    *,
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="jobs: ids, starts of ids, or names; one is shown with its nodes"),
    ] = None,
    state: Annotated[
        list[str] | None, typer.Option("--state", "-s", help="only jobs in these states; active: unfinished ones")
    ] = None,
    queue: Annotated[list[str] | None, typer.Option("--queue", "-q", help="only jobs of this queue")] = None,
    since: Annotated[str, typer.Option("--since", help="only jobs created in the last 2h, 7d ...")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="so many lines at most")] = 50,
    points: Annotated[
        bool, typer.Option("--points", help="a line for each point of a sweep and each of tutti's own jobs")
    ] = False,
    whole: Annotated[bool, typer.Option("--details", "-d", help="each job with all facts and its nodes")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="again every 2 s, until all have ended")] = False,
    json: Json = False,
) -> None:
    from tutti.listing import describe_one, list_jobs, nodes_of, resolve  # noqa: PLC0415  --help must not pay for it
    from tutti.patience import Patience  # noqa: PLC0415  the same

    cluster = cluster_of(context)
    patience = Patience(cluster, tell=trouble)
    wanted = {resolve(cluster, word) for word in ids or []}
    if len(wanted) == 1:
        (job_id,) = wanted
        while True:
            found = patience.through(describe_one, cluster, job_id)
            nodes = patience.through(nodes_of, cluster, found)
            if json:
                print(as_json(with_nodes(found, nodes)), flush=True)
            else:
                (redraw if watch else print)(one(found, nodes))
            if not watch or found.ended:
                return
            time.sleep(EVERY_S)
    states = [name for words in state or [] for word in words.split(",") for name in known_states(word)]
    checked_queues(cluster.card, queue or [], "--queue")
    after = time.time() - seconds(since) if since else 0.0
    while True:
        listed = patience.through(list_jobs, cluster, queues=queue or [], states=states, since=after)
        jobs = [j for j in listed if not wanted or j.id in wanted]
        if whole:
            told = patience.through(detailed, cluster, jobs[:limit])
            if json:
                print(as_json([with_nodes(*both) for both in told]), flush=True)
            else:
                (redraw if watch else print)("\n\n".join(one(*both) for both in told) or "no jobs")
        elif json:
            print(as_json([asdict(j) for j in jobs]), flush=True)
        elif watch:
            bars = patience.through(progress, cluster, jobs)
            redraw(many(jobs, min(limit, max(1, height() - 1 - AROUND)), bars, fold=not points))
        else:
            print(many(jobs, limit, fold=not points))
        if not watch or not any(j.state not in ENDED for j in jobs):
            return
        time.sleep(EVERY_S)


def detailed(cluster: Cluster, jobs: Sequence[Summary]) -> list[tuple[Details, list[Node]]]:
    """All that is known of jobs, and their nodes or elements."""
    from tutti.jobs import details  # noqa: PLC0415  --help must not pay for it
    from tutti.listing import describe, nodes_of  # noqa: PLC0415  the same

    found = map(details, describe(cluster, [j.id for j in jobs]))
    return [(job, nodes_of(cluster, job)) for job in found]


def with_nodes(job: Details, nodes: Sequence[Node]) -> dict[str, Any]:
    return {**job.to_json(), "node_list": [asdict(n) for n in nodes]}


def progress(cluster: Cluster, jobs: Sequence[Summary]) -> dict[str, str]:
    """Progress bars of the running jobs that say how far they are."""
    from tutti.telemetry import shares  # noqa: PLC0415  only for a live table

    running = [j.id for j in jobs if j.state == "RUNNING"]
    return {job_id: bar(share, 10) for job_id, share in shares(cluster, running).items()}


def known_states(word: str) -> list[str]:
    """A state by its name or the start of it, in any case; or the states that a word stands for."""
    groups = {"ALL": [*STATES], "ACTIVE": [s for s in STATES if s not in ENDED]}
    fitting = groups.get(word.upper()) or [s for s in STATES if s.startswith(word.upper())]
    if word.upper() not in groups and len(fitting) != 1:
        raise typer.BadParameter(f"got {word!r}; allowed: {', '.join(STATES)}, active, all", param_hint="--state")
    return fitting


def many(jobs: Sequence[Summary], limit: int, bars: Mapping[str, str] | None = None, *, fold: bool = True) -> str:
    """A table of jobs, a sweep in one line, and so tutti's own jobs; with progress bars where they are known."""
    if not jobs:
        return "no jobs"
    rows = folded(jobs) if fold else [_row(j) for j in jobs]
    head = ("ID", "NAME", "STATE", "NODES", "AGE", "CODE", "QUEUE")
    if bars is not None:
        head = (*head[:-1], "PROGRESS")
        rows = [(*row[:-1], bars.get(full, "")) for row, full in zip(rows, _ids(jobs, fold=fold), strict=True)]
    text = table(head, rows[:limit], give=1, colour=2)
    counts = ", ".join(f"{sum(j.state == s for j in jobs)} {s}" for s in STATES if any(j.state == s for j in jobs))
    more = f"; the newest {limit} lines shown (-n for more)" if len(rows) > limit else ""
    own = sum(j.name == ERRAND for j in jobs) if fold else 0
    hidden = f"\n{own} of them moved or looked at data on shared: (--points shows each)" if own > 1 else ""
    return f"{text}\n{len(jobs)} job{'s' if len(jobs) != 1 else ''}: {counts}{more}{hidden}"


def folded(jobs: Sequence[Summary]) -> list[tuple[str, ...]]:
    """A line a job; a sweep's points are one line, where its newest job stands, and tutti's own errands are one."""
    groups = _groups(jobs)
    return [_row(members[0]) if name is None else _group_row(name, members) for name, members in groups]


def _groups(jobs: Sequence[Summary]) -> list[tuple[str | None, list[Summary]]]:
    """What a line is of: a group's name and its jobs, or None and one job. A single errand is a job as any."""
    errands = sum(job.name == ERRAND for job in jobs)
    found: dict[str, tuple[str | None, list[Summary]]] = {}
    for job in jobs:
        match = SWEPT.fullmatch(job.name)
        name = match[1] if match else ERRAND if job.name == ERRAND and errands > 1 else None
        found.setdefault(name or job.id, (name, []))[1].append(job)
    return list(found.values())


def _ids(jobs: Sequence[Summary], *, fold: bool) -> list[str]:
    return [members[0].id if name is None else "" for name, members in _groups(jobs)] if fold else [j.id for j in jobs]


def _group_row(name: str, jobs: Sequence[Summary]) -> tuple[str, ...]:
    counts = ",".join(f"{sum(j.state == s for j in jobs)} {s}" for s in STATES if any(j.state == s for j in jobs))
    failed = next((j.exit_code for j in jobs if j.state == "FAILED"), None)
    return (
        "data" if name == ERRAND else "sweep",
        name,
        counts,
        f"x{len(jobs)}",
        ago(jobs[0].created),
        _code("", failed),
        jobs[0].queue,
    )


def _row(job: Summary) -> tuple[str, ...]:
    short = job.id[:13] if len(job.id) == 36 else job.id
    return (short, job.name, job.state, _size(job), ago(job.created), _code(job.state, job.exit_code), job.queue)


def one(job: Details, nodes: list[Node]) -> str:
    """A job and its nodes."""
    facts = [
        ("job", f"{job.id}  {job.name}"),
        ("state", f"{job.state}{f', code {job.code}' if job.ended else ''}"),
        ("reason", "" if job.state == "SUCCEEDED" else job.meaning or job.reason),
        ("queue", job.queue),
        ("definition", job.definition),
        ("attempt", f"{max(1, len(job.attempts))}" if job.attempts else ""),
        ("created", _when(job.created)),
        ("ran", in_words((job.stopped or time.time()) - job.started) if job.started else ""),
        ("command", shlex.join(program_of(job.command))),
        ("elements", ", ".join(f"{count} {state}" for state, count in job.array_states.items())),
    ]
    text = "\n".join(f"{name:<11}{value}" for name, value in facts if value)
    if job.nodes is None and job.array is None:
        return f"{text}\n{'log':<11}{job.stream}" if job.stream else text
    rows = [
        (str(n.index), n.state, "-" if n.exit_code is None else str(n.exit_code), n.address or "-", n.stream or "-")
        for n in nodes[:NODES_SHOWN]
    ]
    head = ("NODE" if job.nodes else "INDEX", "STATE", "CODE", "ADDRESS", "LOG")
    more = f"\n{len(nodes) - NODES_SHOWN} more: --json has all" if len(nodes) > NODES_SHOWN else ""
    return f"{text}\n\n{table(head, rows, give=None, colour=1)}{more}"


def _size(job: Summary) -> str:
    if job.array:
        return f"x{job.array}"
    return str(job.nodes) if job.nodes else "-"


def _code(state: str, code: int | None) -> str:
    return "0" if state == "SUCCEEDED" else "-" if code is None else str(code)


def _when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
