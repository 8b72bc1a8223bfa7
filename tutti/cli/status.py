"""`tutti status`: the cluster's jobs, or one job with its nodes."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated

import typer

from tutti.cli.common import Json, cluster_of, new_app
from tutti.cli.logs import seconds
from tutti.cli.screen import ago, as_json, table
from tutti.jobs import STATES, Details, Node, Summary
from tutti.values import in_words

app = new_app()
NODES_SHOWN = 64


@app.command(help="Jobs of the cluster, newest first; or one job with its nodes.")
def status(
    context: typer.Context,
    *,
    job: Annotated[str, typer.Argument(metavar="[ID]", help="a job: its id, the start of it, or its name")] = "",
    state: Annotated[list[str] | None, typer.Option("--state", "-s", help="only jobs in this state")] = None,
    queue: Annotated[list[str] | None, typer.Option("--queue", "-q", help="only jobs of this queue")] = None,
    since: Annotated[str, typer.Option("--since", help="only jobs created in the last 2h, 7d ...")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="so many lines at most")] = 50,
    json: Json = False,
) -> None:
    from tutti.listing import describe_one, list_jobs, nodes_of, resolve  # noqa: PLC0415  --help must not pay for it

    cluster = cluster_of(context)
    if job:
        found = describe_one(cluster, resolve(cluster, job))
        nodes = nodes_of(cluster, found)
        print(as_json({**found.to_json(), "node_list": [asdict(n) for n in nodes]}) if json else one(found, nodes))
        return
    states = [known_state(s) for s in state or []]
    known = {q.name for q in cluster.card.queues}
    for name in queue or []:
        if name not in known:
            raise typer.BadParameter(f"no queue {name!r}; allowed: {', '.join(sorted(known))}", param_hint="--queue")
    after = time.time() - seconds(since) if since else 0.0
    jobs = list_jobs(cluster, queues=queue or [], states=states, since=after)
    print(as_json([asdict(j) for j in jobs]) if json else many(jobs, limit))


def known_state(word: str) -> str:
    """A state by its name or the start of it, in any case."""
    fitting = [s for s in STATES if s.startswith(word.upper())]
    if len(fitting) != 1:
        raise typer.BadParameter(f"got {word!r}; allowed: {', '.join(STATES)}", param_hint="--state")
    return fitting[0]


def many(jobs: list[Summary], limit: int) -> str:
    """A table of jobs."""
    if not jobs:
        return "no jobs"
    rows = [
        (
            j.id[:13] if len(j.id) == 36 else j.id,
            j.name,
            j.state,
            _size(j),
            ago(j.created),
            _code(j.state, j.exit_code),
            j.queue,
        )
        for j in jobs[:limit]
    ]
    text = table(("ID", "NAME", "STATE", "NODES", "AGE", "CODE", "QUEUE"), rows, give=1, colour=2)
    counts = ", ".join(f"{sum(j.state == s for j in jobs)} {s}" for s in STATES if any(j.state == s for j in jobs))
    more = f"; the newest {limit} shown (-n for more)" if len(jobs) > limit else ""
    return f"{text}\n{len(jobs)} job{'s' if len(jobs) != 1 else ''}: {counts}{more}"


def one(job: Details, nodes: list[Node]) -> str:
    """A job and its nodes."""
    facts = [
        ("job", f"{job.id}  {job.name}"),
        ("state", f"{job.state}{f', code {job.code}' if job.ended else ''}"),
        ("reason", job.meaning if job.ended and job.code else job.reason),
        ("queue", job.queue),
        ("definition", job.definition),
        ("attempt", f"{max(1, len(job.attempts))}" if job.attempts else ""),
        ("created", _when(job.created)),
        ("ran", in_words((job.stopped or time.time()) - job.started) if job.started else ""),
        ("command", " ".join(job.command)),
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
    return f"{text}\n\n{table(head, rows, give=4, colour=1)}{more}"


def _size(job: Summary) -> str:
    if job.array:
        return f"x{job.array}"
    return str(job.nodes) if job.nodes else "-"


def _code(state: str, code: int | None) -> str:
    return "0" if state == "SUCCEEDED" else "-" if code is None else str(code)


def _when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
