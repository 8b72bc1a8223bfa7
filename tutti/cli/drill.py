"""`tutti drill`: break a node of a running job, or what it has saved, on purpose."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tutti.cli.common import JobId, Json, cluster_of, new_app
from tutti.cli.screen import as_json

if TYPE_CHECKING:
    from tutti.cluster import Cluster

app = new_app("Break a node of a job on the twin, or its checkpoint, and see what becomes of it.")

Node = Annotated[int, typer.Option("--node", "-n", min=0, help="the node's index; 0 is main")]


@app.command(help="SIGKILL to everything on the node.")
def kill(context: typer.Context, job: JobId, *, node: Node, json: Json = False) -> None:
    _drill(context, job, node, "kill", "was killed", json=json)


@app.command(help="The node's instance goes: no network, no exit code.")
def lose(context: typer.Context, job: JobId, *, node: Node, json: Json = False) -> None:
    _drill(context, job, node, "lose", "lost its instance", json=json)


@app.command(help="SIGSTOP to everything on the node: it is there, but does nothing.")
def stop(context: typer.Context, job: JobId, *, node: Node, json: Json = False) -> None:
    _drill(context, job, node, "stop", "is stopped; let it go on with: tutti drill cont", json=json)


@app.command(help="SIGCONT: a stopped node goes on.")
def cont(context: typer.Context, job: JobId, *, node: Node, json: Json = False) -> None:
    _drill(context, job, node, "cont", "goes on", json=json)


@app.command(help="The node's link goes down (isolation netns).")
def cut(context: typer.Context, job: JobId, *, node: Node, json: Json = False) -> None:
    _drill(context, job, node, "cut", "is cut off; mend it with: tutti drill mend", json=json)


@app.command(help="The node's link comes up again.")
def mend(context: typer.Context, job: JobId, *, node: Node, json: Json = False) -> None:
    _drill(context, job, node, "mend", "is back on the network", json=json)


@app.command(help="SIGTERM to the node alone, as when its instance is going.")
def term(context: typer.Context, job: JobId, *, node: Node, json: Json = False) -> None:
    _drill(context, job, node, "term", "got SIGTERM", json=json)


@app.command(help="The next start of the node comes so much later.")
def delay(
    context: typer.Context,
    job: JobId,
    *,
    node: Node,
    json: Json = False,
    seconds: Annotated[float, typer.Option(min=0, help="added to the node's start")],
) -> None:
    _drill(context, job, node, "delay", f"will start {seconds:g} s late", json=json, seconds=seconds)


@app.command(
    help="One bit of the newest checkpoint turns, as on a bad disk: the job must see it and go on from the one before.",
    short_help="One bit of the newest checkpoint turns.",
)
def damage(context: typer.Context, job: JobId, *, json: Json = False) -> None:
    from tutti.checkpoints import damage as spoil  # noqa: PLC0415  --help must not pay for it
    from tutti.checkpoints import find  # noqa: PLC0415  the same

    cluster = _twin(context)
    done = spoil(find(lambda: cluster, job))
    print(as_json(asdict(done)) if json else f"turned a bit of step {done.step}: {done.piece} at {done.target}")


def _twin(context: typer.Context) -> Cluster:
    from tutti.errors import NotAllowedError  # noqa: PLC0415  --help must not pay for it

    cluster = cluster_of(context)
    if not cluster.is_twin:
        raise NotAllowedError("drills are for the twin; on AWS neither nodes nor checkpoints are ours to break")
    return cluster


def _drill(
    context: typer.Context, job: str, node: int, action: str, done: str, *, json: bool, seconds: float = 0.0
) -> None:
    from tutti.home import Home  # noqa: PLC0415  --help must not pay for it
    from tutti.run import Run  # noqa: PLC0415
    from tutti.twin import control  # noqa: PLC0415

    cluster = _twin(context)
    run = Run.find(cluster, job)
    home = Home.from_environment(os.environ)
    answer = control.call(home, "drill", job=run.id, node=node, action=action, seconds=seconds)
    print(as_json(answer) if json else f"node {node} of {run.id} {done}")
