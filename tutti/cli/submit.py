"""`tutti submit`: its flags are the keys of a job file, made from the one model of both."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_origin

import typer

from tutti.cli.common import call_of, cluster_of, interrupted, new_app
from tutti.cli.screen import as_json, say, trouble
from tutti.core.bill import money
from tutti.errors import InputError, Problem
from tutti.jobfile import JobFile, Where, check, inherited, load, overlay, text_of

if TYPE_CHECKING:
    from tutti.cluster import Cluster
    from tutti.estimate import Estimate
    from tutti.queues import QueueState
    from tutti.submission import Call, Extras, Prepared

app = new_app()

HELP = """Run a program on the cluster.

tutti submit [FLAGS] -- PROGRAM ARGUMENTS...

tutti submit JOB.yaml [FLAGS] [-- PROGRAM ARGUMENTS...]

tutti submit SCRIPT.sh [FLAGS], or - for a script on stdin; lines `#TUTTI --nodes 4` in its head are flags.

Every flag is a key of the job file too (--ranks-per-node is ranks_per_node); flags win. Nothing is sent where
something is wrong, and all problems are told at once.
"""


def submit(context: typer.Context, source: str, flags: dict[str, Any]) -> int:
    """Read, check, send; with `wait` stay until the end and answer the job's exit code."""
    from tutti.inputs import refuse_missing  # noqa: PLC0415  --help must not pay for it
    from tutti.run import Run  # noqa: PLC0415  the same
    from tutti.submission import calls, compile_request, dressed, extras, notes, prepare, send  # noqa: PLC0415  the same

    if program := call_of(context).program:
        flags["command"] = list(program)
    if not (source or flags):
        remedy = "tutti submit --nodes 4 -- PROGRAM ..., or tutti submit JOB.yaml"
        raise InputError([Problem(where="", what="what shall run?", remedy=remedy)])
    asked, where = read(source, flags)
    cluster = cluster_of(context)
    more = extras(asked, where=where)
    prepared = prepare(dressed(asked.job(), cluster, more), cluster, where=where)
    refuse_missing(asked, cluster, where)
    if asked.dry_run or asked.max_cost is not None:
        from tutti.estimate import estimate, refuse_above  # noqa: PLC0415  only where somebody asks
        from tutti.prices import Prices  # noqa: PLC0415  the same

        first, again = compile_request(prepared, cluster, more), bool(asked.every)
        found = estimate(cluster, prepared.document, Prices(cluster, os.environ), first=first, again=again)
        if asked.max_cost is not None:
            refuse_above(found, asked.max_cost, where.get("max_cost", "max_cost"))
        if asked.dry_run:
            asks, before = calls(prepared, cluster, more), notes(prepared, cluster, more)
            print(planned(asks, before, found, queue_now(cluster, found), as_data=asked.json_))
            return 0
    if prepared.wait_for:
        if not (sent := _after(prepared, cluster, more, asked)):
            return 0
    else:
        sent = send(prepared, cluster, more=more)
    if more.schedule is not None:
        answer = {"schedule": sent, "expression": more.schedule[0]}
        print(as_json(answer) if asked.json_ else f"{sent}: {more.schedule[0]}")
        return 0
    run = Run(sent, cluster)
    name = prepared.document["jobName"]
    if not asked.wait:
        answer = {"id": run.id, "name": name, "queue": prepared.document["jobQueue"].rpartition("/")[2]}
        print(as_json(answer) if asked.json_ else run.id)
        return 0
    from tutti.cli.live import show  # noqa: PLC0415  only where somebody watches

    say(f"submitted {run.id} ({name})", "bold")
    return show(run, as_json=asked.json_)


def _after(prepared: Prepared, cluster: Cluster, more: Extras, asked: JobFile) -> str:
    """The id of a job that starts after others' ends; "" where it is left with the cluster and nobody waits for it."""
    from tutti.submission import awaited, leave, send  # noqa: PLC0415  --help must not pay for it
    from tutti.waiting import submitted  # noqa: PLC0415  the same

    ended = f"{', '.join(prepared.wait_for)} {'has' if len(prepared.wait_for) == 1 else 'have'} ended"
    if not cluster.card.waiting:
        why = f"cluster {cluster.card.stack} does not do it for you: its stack is older"
        with interrupted("interrupted before anything was submitted; the same command waits again"):
            say(f"submits when {ended}: keep this command running ({why})")
            prepared = awaited(prepared, cluster, tell=trouble)
        return send(prepared, cluster, more=more)
    left = leave(prepared, cluster, more=more)
    if left.id:
        return left.id
    with interrupted(f"interrupted; the cluster submits it all the same, unless: tutti schedule rm {left.name}"):
        say(f"nothing is submitted yet: the cluster does it when {ended}, whatever becomes of it; you may go")
        say(f"look: tutti schedule ls; stop it: tutti schedule rm {left.name}")
        if asked.wait:
            return submitted(cluster, left.name, tell=trouble)
    answer = {"waiting": left.name, "after": list(prepared.wait_for)}
    print(as_json(answer) if asked.json_ else f"{left.name}: after({', '.join(prepared.wait_for)})")
    return ""


def read(source: str, flags: dict[str, Any]) -> tuple[JobFile, Where]:
    """The job of a file, a script or stdin, with the flags laid over it.

    Raises
    ------
    InputError
        Every problem of all of them.
    """
    keys: dict[str, Any] = {}
    where: dict[str, str] = {}
    if source.endswith((".yaml", ".yml")):
        keys, where = load(text_of(Path(source)), source)
    elif source == "-" or (source and Path(source).is_file()):
        from tutti.script import read_script  # noqa: PLC0415  only for scripts

        text = text_of(None if source == "-" else Path(source))
        keys, where = read_script(text, "stdin" if source == "-" else source)
        if "command" in flags:
            # what stands behind -- are the script's own arguments
            keys["command"] = [*keys["command"], *flags.pop("command")]
    elif source:
        what = f"{source!r} is neither a job file (.yaml) nor a script that is here"
        raise InputError(
            [Problem(where="", what=what, remedy="A program stands behind --: tutti submit -- PROGRAM ...")]
        )
    besides = flags.get("env_except", keys.get("env_except", ()))
    besides = [str(word) for word in (besides if isinstance(besides, list | tuple) else [besides])]
    keys = inherited(keys, where, os.environ, besides)
    flags = inherited(flags, {"env": "--env"}, os.environ, besides)
    merged, origins = overlay(keys, where, flags)
    return check(merged, origins), origins


def planned(asks: list[Call], before: list[str], found: Estimate, now: QueueState, *, as_data: bool) -> str:
    """What would be sent, where to, how full that is, and what it can cost."""
    if as_data:
        sent = [{"service": c.service, "operation": c.operation, "request": c.request} for c in asks]
        free = {"free_nodes": now.free_nodes, "waiting": now.waiting + now.runnable}
        return as_json({"before": before, "calls": sent, "queue": free, "estimate": found.to_json()})
    queue = found.queue
    price = (
        f"${found.price.usd_per_hour:.5g} a node and hour ({found.price.source}, {found.price.as_of})"
        if found.price
        else f"unknown: no price of {queue.instance_types[0]} in {queue.zone or 'this region'}"
    )
    return "\n".join(
        [
            *(f"{c.service}.{c.operation}: {as_json(c.request)}" for c in asks),
            "",
            *(f"before   {line}" for line in before),
            f"queue    {queue.name}: at most {queue.max_vcpus // queue.vcpus} nodes of {queue.vcpus} vCPUs",
            f"now      {now.free_nodes} nodes could start, {now.waiting + now.runnable} jobs wait",
            f"nodes    {found.nodes}",
            f"longest  {found.timeout_s / 3600:.2f} h x {found.attempts} attempts",
            f"price    {price}",
            *([f"compile  {_dollars(found.before)}"] if found.before else []),
            f"most     {_dollars(found)}{' each time' if found.again else ''}",
            "nothing was sent",
        ]
    )


def queue_now(cluster: Cluster, found: Estimate) -> QueueState:
    """The queue that would take the job, as it is now."""
    from tutti.queues import queue_states  # noqa: PLC0415  only for a dry run

    return next(state for state in queue_states(cluster) if state.name == found.queue.name)


def _dollars(found: Estimate) -> str:
    return "unknown" if found.usd is None else f"${money(found.usd)}"


def _options() -> list[inspect.Parameter]:
    """One option for each key of a job file; the values are read by the model, not by typer."""
    made = []
    for name, field in JobFile.model_fields.items():
        if name == "command":
            continue
        key = field.alias or name
        flag = f"--{key.replace('_', '-')}"
        kind: Any = str | None
        metavar: str | None = "TEXT"
        if field.annotation is bool:
            kind, metavar = bool | None, None
            flag = f"{flag}/--no-{flag[2:]}" if field.default else flag
        elif get_origin(field.annotation) is tuple:
            kind = list[str] | None
        elif get_origin(field.annotation) is dict:
            kind, metavar = list[str] | None, "K=V"
        option = typer.Option(flag, help=field.description, metavar=metavar, show_default=False)
        made.append(
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option])
        )
    return made


def _command(context: typer.Context, source: str = "", **flags: Any) -> int:
    return submit(context, source, {k: v for k, v in flags.items() if v is not None and v != []})


_POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD
_SOURCE = Annotated[str, typer.Argument(metavar="[JOB.yaml | SCRIPT | -]", show_default=False)]
_command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # typer reads options from a signature
    [
        inspect.Parameter("context", _POSITIONAL, annotation=typer.Context),
        inspect.Parameter("source", _POSITIONAL, default="", annotation=_SOURCE),
        *_options(),
    ]
)
_command.__annotations__ = {}
app.command(help=HELP)(_command)
