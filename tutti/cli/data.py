"""`tutti data`: the group's files, in the bucket and on the shared folder."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tutti.cli.common import Json, cluster_of, new_app
from tutti.cli.screen import ago, as_json, say, table
from tutti.core.events import size

app = new_app("The group's files: PATH or s3://... in the bucket, shared:PATH on the shared folder.")

Remote = Annotated[str, typer.Argument(metavar="PLACE", help="PATH, s3://BUCKET/KEY or shared:PATH")]


@app.command(help="What is in a folder.")
def ls(
    context: typer.Context,
    *,
    place: Annotated[str, typer.Argument(metavar="[PLACE]", help="PATH, s3://BUCKET/KEY or shared:PATH")] = "",
    json: Json = False,
) -> None:
    from tutti.data import listed, place_of  # noqa: PLC0415  --help must not pay for it

    cluster = cluster_of(context)
    entries = listed(cluster, place_of(cluster, place))
    if json:
        print(as_json([asdict(e) for e in entries]))
    elif not entries:
        say("nothing is there")
    else:
        rows = [("-" if e.size is None else size(e.size), ago(e.modified), e.name) for e in entries]
        print(table(("SIZE", "AGE", "NAME"), rows, give=2))


@app.command(help="Files and folders from here to a place.")
def put(
    context: typer.Context,
    *,
    sources: Annotated[list[str], typer.Argument(metavar="FILE... PLACE", help="what, and last where to")],
    json: Json = False,
) -> None:
    from tutti.data import place_of  # noqa: PLC0415  --help must not pay for it
    from tutti.data import put as send  # noqa: PLC0415  the same

    files, target = (sources[:-1], sources[-1]) if len(sources) > 1 else (sources, "input/")
    cluster = cluster_of(context)
    place = place_of(cluster, target)
    count = send(cluster, [Path(f) for f in files], place, _tell(json=json))
    print(as_json({"files": count, "place": str(place)}) if json else f"{_files(count)} -> {place}")


@app.command(help="A file or a folder from a place to here.")
def get(
    context: typer.Context,
    *,
    place: Remote,
    target: Annotated[str, typer.Argument(metavar="[FILE]", help="where to; else the folder here")] = ".",
    json: Json = False,
) -> None:
    from tutti.data import get as fetch  # noqa: PLC0415  --help must not pay for it
    from tutti.data import place_of  # noqa: PLC0415  the same

    cluster = cluster_of(context)
    count = fetch(cluster, place_of(cluster, place), Path(target), _tell(json=json))
    print(as_json({"files": count, "target": target}) if json else f"{_files(count)} -> {target}")


@app.command(help="A folder here to a place in the bucket, only what differs.")
def sync(
    context: typer.Context,
    *,
    source: Annotated[str, typer.Argument(metavar="FOLDER")],
    place: Remote,
    delete: Annotated[bool, typer.Option("--delete", help="remove there what is not here")] = False,
    json: Json = False,
) -> None:
    from tutti.data import place_of  # noqa: PLC0415  --help must not pay for it
    from tutti.data import sync as level  # noqa: PLC0415  the same

    cluster = cluster_of(context)
    count = level(cluster, Path(source), place_of(cluster, place), delete=delete, tell=_tell(json=json))
    print(as_json({"changed": count}) if json else f"{_files(count)} changed")


@app.command(help="Remove a file, or a folder with --recursive.")
def rm(
    context: typer.Context,
    *,
    place: Remote,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="a folder and all in it")] = False,
    json: Json = False,
) -> None:
    from tutti.data import place_of, remove  # noqa: PLC0415  --help must not pay for it

    cluster = cluster_of(context)
    count = remove(cluster, place_of(cluster, place), recursive=recursive, tell=_tell(json=json))
    print(as_json({"removed": count}) if json else f"{count} removed")


def _files(count: int) -> str:
    return f"{count} file{'s' if count != 1 else ''}"


def _tell(*, json: bool) -> _Teller:
    return _Teller(quiet=json or not sys.stderr.isatty())


class _Teller:
    """Says each file, where somebody watches."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def __call__(self, words: str) -> None:
        if not self._quiet:
            say(words)
