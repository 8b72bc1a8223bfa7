"""`tutti cluster`: which clusters are known here, and what the one in use has."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from tutti.cli.common import Json, cluster_of, new_app
from tutti.cli.screen import as_json, table

app = new_app("The clusters that are known here.")


@app.command(help="What the cluster has: queues, definitions, bucket.")
def show(context: typer.Context, json: Json = False) -> None:
    card = cluster_of(context).card
    if json:
        document = card.to_json()
        if document["twin"]:
            document["twin"]["secret_access_key"] = "(in the card)"  # noqa: S105  says that there is one, and where
        print(as_json(document))
        return
    place = (
        f"twin at {card.twin.endpoint}, isolation {card.twin.isolation}"
        if card.twin
        else f"{card.region}, account {card.account}"
    )
    print(f"cluster    {card.stack} ({place})")
    print(f"group      {card.group}\nbucket     s3://{card.bucket}/{card.prefix}\nlog group  {card.log_group}\n")
    queues = [
        (
            q.name,
            q.kind.value,
            str(q.priority),
            ",".join(q.instance_types),
            f"{q.cores}/{q.vcpus}",
            f"{q.memory_mib // 1024}",
            str(q.max_vcpus),
        )
        for q in card.queues
    ]
    print(table(("QUEUE", "KIND", "PRIO", "TYPE", "CORES", "GiB", "MAX VCPUS"), queues, give=0))
    definitions = [(d.kind, d.image, ",".join(d.mpis) or "-", d.name) for d in card.definitions]
    print("\n" + table(("JOBS", "IMAGE", "MPI", "DEFINITION"), definitions, give=3))


@app.command(name="list", help="The clusters that are known here; * is in use.")
def list_(json: Json = False) -> None:
    from tutti.cluster import chosen, known_clusters, read_card  # noqa: PLC0415  --help must not pay for it
    from tutti.errors import NotFoundError  # noqa: PLC0415  the same
    from tutti.home import Home  # noqa: PLC0415  the same

    home = Home.from_environment(os.environ)
    try:
        used = chosen(home, os.environ, None)
    except NotFoundError:
        used = ""
    cards: list[dict[str, Any]] = []
    for name in known_clusters(home):
        card = read_card(home.card(name))
        cards.append({"name": name, "used": name == used, "region": card.region, "twin": card.twin is not None})
    if json:
        print(as_json(cards))
    elif not cards:
        print("no cluster is known here. Start one: tutti twin up. Or: tutti cluster use NAME")
    else:
        rows = [("*" if c["used"] else "", c["name"], "twin" if c["twin"] else c["region"]) for c in cards]
        print(table(("", "NAME", "WHERE"), rows, give=1))


@app.command(
    help="Use a cluster from now on; its card is read from SSM unless it is known here.",
    short_help="Use a cluster from now on.",
)
def use(
    name: Annotated[str, typer.Argument(metavar="NAME", help="the stack's name, or `twin`")],
    region: Annotated[str, typer.Option("--region", help="where the stack is", show_default=False)] = "",
    profile: Annotated[str, typer.Option("--profile", help="the AWS profile to read it with", show_default=False)] = "",
    *,
    json: Json = False,
) -> None:
    from tutti.cluster import Cluster, known_clusters, read_card  # noqa: PLC0415  --help must not pay for it
    from tutti.home import Home, write_private  # noqa: PLC0415  the same

    home = Home.from_environment(os.environ)
    if name in known_clusters(home) and read_card(home.card(name)).twin is not None:
        write_private(home.current, name + "\n")
    else:
        cluster = Cluster.from_stack(name, region=region or None, profile=profile or None)
        cluster.save()
    print(as_json({"name": name}) if json else f"using {name}")
