"""`tutti data`: the group's files, in the bucket and on the shared folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tutti.cli.common import Json, cluster_of, interrupted, new_app
from tutti.cli.moving import Moving
from tutti.cli.question import confirmed
from tutti.cli.screen import ago, as_json, say, table
from tutti.core.events import size
from tutti.errors import Exit

if TYPE_CHECKING:
    from tutti.data.differences import Difference
    from tutti.data.sync import Planned

app = new_app("The group's files: PATH or s3://... in the bucket, shared:PATH on the shared folder.")

Remote = Annotated[str, typer.Argument(metavar="PLACE", help="PATH, s3://BUCKET/KEY or shared:PATH")]
GOES_ON = "interrupted; what has arrived is whole, and the same command goes on with the rest"
NAMED = 5  # files that a question or a summary names


@app.command(help="What is in a folder.")
def ls(
    context: typer.Context,
    *,
    place: Annotated[str, typer.Argument(metavar="[PLACE]", help="PATH, s3://BUCKET/KEY or shared:PATH")] = "",
    json: Json = False,
) -> None:
    from tutti.data.files import listed  # noqa: PLC0415  --help must not pay for it
    from tutti.data.place import place_of  # noqa: PLC0415  the same

    cluster = cluster_of(context)
    entries = listed(cluster, place_of(cluster.card, place))
    if json:
        print(as_json([asdict(e) for e in entries]))
    elif not entries:
        say("nothing is there")
    else:
        rows = [("-" if e.size is None else size(e.size), ago(e.modified), _shown(e.name)) for e in entries]
        print(table(("SIZE", "AGE", "NAME"), rows, give=2))


@app.command(help="Files and folders from here to a place.")
def put(
    context: typer.Context,
    *,
    sources: Annotated[list[str], typer.Argument(metavar="FILE... PLACE", help="what, and last where to")],
    json: Json = False,
) -> int:
    from tutti.data.files import put as send  # noqa: PLC0415  --help must not pay for it
    from tutti.data.place import place_of  # noqa: PLC0415  the same

    files, target = (sources[:-1], sources[-1]) if len(sources) > 1 else (sources, "input/")
    cluster = cluster_of(context)
    place = place_of(cluster.card, target)
    with interrupted(GOES_ON), Moving(sys.stderr) as moving:
        done = send(cluster, [Path(f) for f in files], place, tell=_tell(moving, json=json), moved=moving)
    _warn(done.notes)
    failed = _failures(done.failed)
    answer = {"files": done.files, "place": str(place), "failed": failed}
    print(as_json(answer) if json else f"{_files(done.files)} -> {place}")
    return Exit.FAILED if failed else Exit.DONE


@app.command(help="A file or a folder from a place to here.")
def get(
    context: typer.Context,
    *,
    place: Remote,
    target: Annotated[str, typer.Argument(metavar="[FILE]", help="where to; else the folder here")] = ".",
    json: Json = False,
) -> int:
    from tutti.data.files import get as fetch  # noqa: PLC0415  --help must not pay for it
    from tutti.data.place import place_of  # noqa: PLC0415  the same

    cluster = cluster_of(context)
    with interrupted("interrupted; what has arrived is whole"), Moving(sys.stderr) as moving:
        tell = _tell(moving, json=json)
        done = fetch(cluster, place_of(cluster.card, place), Path(target), tell=tell, moved=moving)
    _warn(done.notes)
    failed = _failures(done.failed)
    answer = {"files": done.files, "target": target, "failed": failed}
    print(as_json(answer) if json else f"{_files(done.files)} -> {target}")
    return Exit.FAILED if failed else Exit.DONE


SYNC = """Make TARGET like SOURCE, moving only what differs.

One of the two is a folder here, the other a place: s3://BUCKET/KEY, shared:PATH, or, as TARGET, a PATH in the bucket.

A file differs by its size or its time; where the times do not settle it, an object's checksum does. A file has its name
once it is whole, so the same command goes on after an interruption.
"""


@app.command(help=SYNC)
def sync(
    context: typer.Context,
    *,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="what it shall be like")],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="what is changed")],
    delete: Annotated[bool, typer.Option("--delete", help="remove from TARGET what SOURCE has not")] = False,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="RULE", help="leave alone, as .tuttiignore says; repeatable"),
    ] = None,
    checksum: Annotated[bool, typer.Option("--checksum", help="compare content, whatever the times say")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show what would be done")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask before files are removed")] = False,
    json: Json = False,
) -> int:
    from tutti.data.sync import Wanted, carry_out, plan, sides_of  # noqa: PLC0415  --help must not pay for it

    cluster = cluster_of(context)
    wanted = Wanted(delete=delete, checksum=checksum, exclude=tuple(exclude or ()))
    sides = sides_of(cluster.card, source, target)
    if sides.there.shared is not None and sys.stderr.isatty():
        say(f"a small job looks at {sides.there}")
    with interrupted("interrupted; nothing was changed"):
        planned = plan(cluster, sides, wanted)
    found = planned.difference
    _warn(planned.notes)
    if dry_run:
        failed = _failures(found.blocked)
        print(_answer(planned, failed, dry_run=True) if json else _dry(found))
        return Exit.FAILED if failed else Exit.DONE
    if found.remove and not yes and sys.stdin.isatty():
        with interrupted("interrupted; nothing was changed"):
            sure = confirmed(f"remove {_files(len(found.remove))} of {planned.sides.target} ({_some(found.remove)})?")
        if not sure:
            print("nothing was changed")
            return Exit.DONE
    if found.remove:
        _warn([f"removes {_files(len(found.remove))} of {planned.sides.target}: {_some(found.remove)}"])
    with interrupted(GOES_ON), Moving(sys.stderr, files=len(found.send), of=found.bytes) as moving:
        done = carry_out(cluster, planned, moved=moving, tell=_tell(moving, json=json))
    failed = _failures(done.failed)
    if json:
        print(_answer(planned, failed, sent=done.files, removed=done.removed, dry_run=False))
    else:
        print(f"{_files(done.files)} sent, {done.removed} removed, {found.same} the same -> {planned.sides.target}")
    return Exit.FAILED if failed else Exit.DONE


@app.command(help="Remove a file, or a folder with --recursive.")
def rm(
    context: typer.Context,
    *,
    place: Remote,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="a folder and all in it")] = False,
    json: Json = False,
) -> None:
    from tutti.data.files import remove  # noqa: PLC0415  --help must not pay for it
    from tutti.data.place import place_of  # noqa: PLC0415  the same

    cluster = cluster_of(context)
    with Moving(sys.stderr) as moving:
        tell = _tell(moving, json=json)
        count = remove(cluster, place_of(cluster.card, place), recursive=recursive, tell=tell)
    print(as_json({"removed": count}) if json else f"{count} removed")


def _answer(planned: Planned, failed: list[dict[str, str]], *, dry_run: bool, sent: int = 0, removed: int = 0) -> str:
    found = planned.difference
    changes = [{"do": "remove", "name": name, "why": "", "bytes": 0} for name in found.remove]
    changes += [{"do": "send", "name": c.item.name, "why": c.why.value, "bytes": c.item.size} for c in found.send]
    return as_json(
        {
            "source": planned.sides.source,
            "target": planned.sides.target,
            "dry_run": dry_run,
            "sent": sent,
            "removed": removed,
            "same": found.same,
            "changes": changes,
            "failed": failed,
            "notes": list(planned.notes),
        }
    )


def _dry(found: Difference) -> str:
    """What a sync would do, a line a file."""
    rows = [("remove", "-", "not in the source", _shown(name)) for name in found.remove]
    rows += [("send", size(c.item.size), c.why.value, _shown(c.item.name)) for c in found.send]
    lines = [table(("DO", "SIZE", "WHY", "NAME"), rows, give=None)] if rows else []
    total = (
        f"{_files(len(found.send))} ({size(found.bytes)}) to send, {len(found.remove)} to remove, {found.same} the same"
    )
    return "\n".join([*lines, total, "nothing was changed"])


def _failures(failed: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """Say what failed, and give it as an answer has it."""
    found = [{"name": name, "why": why} for name, why in failed]
    for one in found[:NAMED]:
        say(f"tutti: {_shown(one['name'])}: {one['why']}", "red")
    if len(found) > NAMED:
        say(f"tutti: and {len(found) - NAMED} more files", "red")
    return found


def _warn(notes: Iterable[str]) -> None:
    for note in notes:
        say(f"tutti: {_shown(note)}", "yellow")


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(_shown, names[:NAMED])) + more


def _shown(name: str) -> str:
    """A name on one line, whatever is in it."""
    return name if name.isprintable() else repr(name)


def _files(count: int) -> str:
    return f"{count} file{'s' if count != 1 else ''}"


def _tell(moving: Moving, *, json: bool) -> Callable[[str], Any]:
    """Says each file, where somebody watches."""
    return moving.say if sys.stderr.isatty() and not json else lambda _: None
