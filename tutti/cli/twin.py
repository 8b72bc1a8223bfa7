"""`tutti twin`: a local AWS Batch at your desk."""

from __future__ import annotations

import os
import shlex
from enum import StrEnum
from typing import Annotated, Any

import typer

from tutti.cli.common import Json, new_app
from tutti.cli.screen import as_json

app = new_app("A local AWS Batch: the same API, the same entrypoint, nodes as processes of this machine.")


class Isolation(StrEnum):
    process = "process"
    netns = "netns"
    docker = "docker"


class Switch(StrEnum):
    on = "on"
    off = "off"


@app.command(help="Start the twin; returns when it answers. The client uses it from then on where no other cluster is.")
def up(
    *,
    port: Annotated[int, typer.Option(help="where it answers; 0: the one it had before, else any")] = 0,
    isolation: Annotated[
        Isolation | None, typer.Option(help="how far nodes are apart; by default netns where it can be had")
    ] = None,
    max_vcpus: Annotated[int, typer.Option("--max-vcpus", min=2, help="of each pool; a node has 2")] = 64,
    pools: Annotated[int, typer.Option(min=1, max=6, help="pools for MPI")] = 1,
    image: Annotated[str, typer.Option(help="with docker: what nodes are containers of")] = "tutti:runtime",
    json: Json = False,
) -> None:
    from tutti.twin import control  # noqa: PLC0415  --help must not pay for it
    from tutti.twin.nodes import Isolation as NodeIsolation  # noqa: PLC0415
    from tutti.twin.options import TwinOptions  # noqa: PLC0415

    wanted = NodeIsolation(isolation.value) if isolation else None
    options = TwinOptions(port=port, isolation=wanted, max_vcpus=max_vcpus, pools=pools, image=image)
    about = control.up(_home(), options)
    if json:
        print(as_json(about))
        return
    again = "runs already" if about.get("already") else "answers"
    print(f"the twin {again} at {about['endpoint']} (isolation {about['isolation']})")
    print(f"queues: {', '.join(about['queues'])}")
    print("try: tutti submit --nodes 4 --wait -- hostname")


@app.command(help="Stop the twin and every node; jobs, logs and objects are kept.")
def down(*, json: Json = False) -> None:
    from tutti.twin import control  # noqa: PLC0415

    ran = control.down(_home())
    if json:
        print(as_json({"ran": ran}))
        return
    print("the twin is down" if ran else "no twin runs here")


@app.command(help="Whether it runs, where, and what holds its nodes.")
def status(*, json: Json = False) -> None:
    from tutti.errors import NotFoundError  # noqa: PLC0415
    from tutti.twin import control  # noqa: PLC0415

    home = _home()
    if not control.running(home):
        raise NotFoundError("no twin runs here. Start one: tutti twin up")
    about = control.call(home, "status")
    if json:
        print(as_json(about))
        return
    for name, text in _rows(about):
        print(f"{name:<12}{text}")


@app.command(
    help="Capacity errors in the first environment of QUEUE: jobs wait RUNNABLE until it is switched off.",
    short_help="Capacity errors in the first environment of QUEUE.",
)
def shortage(
    queue: Annotated[str, typer.Argument(metavar="QUEUE", help="the queue's name")],
    switch: Annotated[Switch, typer.Argument(metavar="on|off", help="whether there is one")],
    *,
    json: Json = False,
) -> None:
    from tutti.twin import control  # noqa: PLC0415

    answer = control.call(_home(), "shortage", queue=queue, on=switch is Switch.on)
    if json:
        print(as_json(answer))
        return
    state = "has no capacity now" if answer["shortage"] else "has capacity again"
    print(f"environment {answer['environment']} {state}")


@app.command(
    help='The lines with which any AWS client talks to the twin: eval "$(tutti twin env)"',
    short_help="The lines with which any AWS client talks to the twin.",
)
def env() -> None:
    from tutti.errors import NotFoundError  # noqa: PLC0415
    from tutti.twin import control  # noqa: PLC0415

    card = control.card(_home())
    if card.twin is None:
        raise NotFoundError("the card is not a twin's")
    for name, value in (
        ("AWS_ENDPOINT_URL", card.twin.endpoint),
        ("AWS_ACCESS_KEY_ID", card.twin.access_key_id),
        ("AWS_SECRET_ACCESS_KEY", card.twin.secret_access_key),
        ("AWS_REGION", card.region),
        ("AWS_DEFAULT_REGION", card.region),
    ):
        print(f"export {name}={shlex.quote(value)}")
    print("unset AWS_SESSION_TOKEN AWS_PROFILE")


def _home() -> Any:
    from tutti.home import Home  # noqa: PLC0415

    return Home.from_environment(os.environ)


def _rows(about: dict[str, Any]) -> list[tuple[str, str]]:
    contained = about["contained"]
    held = "nothing: no control group can be had here" if contained == "none" else contained
    return [
        ("endpoint", about["endpoint"]),
        ("isolation", about["isolation"] + (", own PIDs" if about["pid_namespace"] else "")),
        ("contained", f"fork bombs and memory hogs are held by {held}"),
        ("jobs", f"{about['running']} running, {about['waiting']} waiting, {about['jobs']} in all"),
        (
            "vCPUs",
            ", ".join(f"{name} {n} of {about['max_vcpus']}" for name, n in about["used_vcpus"].items()) or "idle",
        ),
        ("shortage", ", ".join(about["shortages"]) or "none"),
        ("shared", about["shared"]),
        ("bucket", about["bucket"]),
        ("log group", about["log_group"]),
        ("process", str(about["pid"])),
    ]
