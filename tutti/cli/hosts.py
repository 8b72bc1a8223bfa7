"""`tutti hosts`: the instances of the pools, what runs on each, and which are idle."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tutti.cli.common import Json, cluster_of, new_app
from tutti.cli.screen import ago, as_json, say, table

if TYPE_CHECKING:
    from tutti.hosts import Host

app = new_app()
INSTANCE_ID: Final = re.compile(r"i-[0-9a-f]{8,17}")
GIB: Final = 1024  # MiB
NO_INSTANCE: Final = "-"


@app.command(help="The instances of the pools: what runs on each, and which are idle.")
def hosts(
    context: typer.Context,
    *,
    ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID]...",
            help="only of these jobs (ids, starts of ids, or names), or these instances (i-...)",
            show_default=False,
        ),
    ] = None,
    in_detail: Annotated[
        bool, typer.Option("--details", "-d", help="a line for each instance: vCPUs and GiB (free/all), jobs, age")
    ] = False,
    json: Json = False,
) -> None:
    from tutti.hosts import hosts_of  # noqa: PLC0415  --help must not pay for it
    from tutti.listing import resolve  # noqa: PLC0415  the same

    cluster = cluster_of(context)
    instances = {word for word in ids or () if INSTANCE_ID.fullmatch(word)}
    jobs = {resolve(cluster, word) for word in ids or () if word not in instances}
    answer = hosts_of(cluster, jobs, instances)
    found = answer.hosts
    if answer.unseen:
        say(f"tutti: instances are not shown: {answer.unseen}")
    if json:
        print(as_json([asdict(h) for h in found]))
    elif not found:
        print("none of these has an instance or a node now" if ids else "no instance is up, and no node runs")
    elif not any(h.instance for h in found):
        print(_nodes(found))
    elif in_detail:
        print(_details(found))
    else:
        print(_instances(found, cluster.card.region))


def _instances(hosts: Sequence[Host], region: str) -> str:
    """A line for each node, and for each instance that has none. The zone without the region: that is the cluster's."""
    rows = [
        (
            h.instance.id if h.instance else NO_INSTANCE,
            h.instance.type if h.instance else NO_INSTANCE,
            h.instance.zone.removeprefix(region) if h.instance else NO_INSTANCE,
            h.address,
            h.job[:8] or NO_INSTANCE,
            NO_INSTANCE if h.node is None else str(h.node),
            h.state,
            ago(h.since),
        )
        for h in hosts
    ]
    return table(("INSTANCE", "TYPE", "ZONE", "ADDRESS", "JOB", "NODE", "STATE", "FOR"), rows, give=0, colour=6)


def _nodes(hosts: Sequence[Host]) -> str:
    """Where no instance is known."""
    rows = [(h.address, h.job[:13], h.name, str(h.node), h.state, ago(h.started), h.queue) for h in hosts]
    return table(("ADDRESS", "JOB", "NAME", "NODE", "STATE", "FOR", "QUEUE"), rows, give=2, colour=4)


def _details(hosts: Sequence[Host]) -> str:
    """A line for each instance; of vCPUs and memory what is free and what it has."""
    known = {h.instance.id: h.instance for h in hosts if h.instance}
    rows = [
        (
            i.id,
            i.type,
            i.pool,
            i.status if i.connected else "NO AGENT",
            f"{i.free_vcpus}/{i.vcpus}",
            f"{i.free_memory_mib / GIB:.1f}/{i.memory_mib / GIB:.1f}",
            str(i.tasks),
            ago(i.registered),
        )
        for i in known.values()
    ]
    head = ("INSTANCE", "TYPE", "POOL", "STATUS", "VCPUS", "GIB", "JOBS", "UP")
    return table(head, rows, give=0)
