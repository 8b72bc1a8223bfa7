"""`tutti checkpoints`: what a job has saved, whether it is whole, and requests to save or to stop."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tutti.cli.common import Json, cluster_of, new_app
from tutti.cli.screen import ago, as_json, say, table
from tutti.errors import Exit, InputError, Problem, ServiceError

if TYPE_CHECKING:
    from tutti.checkpoints import Place
    from workload.vault.control import Verb
    from workload.vault.inventory import Found

app = new_app("Checkpoints: list and verify what was saved, remove old ones; ask a running job to save, or to stop.")
Where = Annotated[str, typer.Argument(metavar="JOB|PLACE", help="a job, or s3://BUCKET/PREFIX, shared:PATH, a folder")]
Timeout = Annotated[int, typer.Option("--timeout", help="seconds to wait for the answer", min=1)]


@contextmanager
def _told() -> Iterator[None]:
    """What goes wrong in the store, in the client's words."""
    from workload.vault.lock import LockedError  # noqa: PLC0415  --help must not pay for it
    from workload.vault.store import StoreError  # noqa: PLC0415  the same

    try:
        yield
    except StoreError as error:
        raise ServiceError(str(error)) from error
    except LockedError as error:
        raise InputError([Problem(where="", what=str(error))]) from error


def _find(context: typer.Context, where: str) -> Place:
    from tutti.checkpoints import find  # noqa: PLC0415  --help must not pay for it

    return find(functools.cache(lambda: cluster_of(context)), where)


@app.command("ls", help="What was saved: newest first, with who holds the lock.")
def list_(context: typer.Context, where: Where, *, json: Json = False) -> None:
    from workload.manifest import LOCK_KEY  # noqa: PLC0415  --help must not pay for it
    from workload.vault import inventory, lock  # noqa: PLC0415  the same

    with _told():
        place = _find(context, where)
        found = inventory.survey(place.store)
        entry = place.store.get(LOCK_KEY)
    owner = lock.holder(entry) if entry else None
    if json:
        print(
            as_json(
                {
                    "target": place.store.target,
                    "lock": owner and asdict(owner),
                    "checkpoints": [_facts(f) for f in found],
                }
            )
        )
        return
    if entry:
        say(f"written by {owner or 'a program that left no name'}, last sign of life {entry.age:.0f} s ago")
    if not found:
        print(f"nothing was saved at {place.store.target}")
        return
    rows = [
        (
            str(f.step),
            ago(f.manifest.written) if f.manifest else "-",
            _size(f.manifest.size) if f.manifest else "-",
            str(f.manifest.ranks) if f.manifest else "-",
            (f.manifest.job[:13] if f.manifest else "") or "-",
            _state(f),
        )
        for f in found
    ]
    print(table(("STEP", "AGE", "SIZE", "RANKS", "JOB", "STATE"), rows, give=5))
    for line in (line for f in found for line in f.damage):
        say(line, "red")


@app.command(help="Read every byte and compare the checksums. Ends with 1 where something is damaged, or nothing good.")
def verify(context: typer.Context, where: Where, *, json: Json = False) -> int:
    from workload.vault import inventory  # noqa: PLC0415  --help must not pay for it

    with _told():
        place = _find(context, where)
        results: list[dict[str, Any]] = []
        for found in inventory.survey(place.store):
            if not found.committed:
                continue
            damage = list(found.damage)
            if found.manifest is not None and not damage:
                damage = inventory.verify(place.store, found.manifest)
            size = found.manifest.size if found.manifest else 0
            results.append({"step": found.step, "folder": found.folder, "bytes": size, "damage": damage})
            if not json:
                print(f"step {found.step}: {'DAMAGED' if damage else f'good, {_size(size)} read'}")
                for line in damage:
                    print(f"  {line}")
    if json:
        print(as_json(results))
    elif not results:
        print(f"nothing was saved at {place.store.target}")
    whole = results and not any(r["damage"] for r in results)
    return Exit.DONE if whole else Exit.FAILED


@app.command(
    help="Remove all but the last good ones, and what was never finished; refused while a program writes.",
    short_help="Remove all but the last good ones.",
)
def prune(
    context: typer.Context,
    where: Where,
    *,
    keep: Annotated[int, typer.Option("--keep", help="how many good ones stay", min=1)] = 2,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would go, remove nothing")] = False,
    json: Json = False,
) -> None:
    from workload.vault import inventory, lock  # noqa: PLC0415  --help must not pay for it

    with _told():
        place = _find(context, where)
        held = None if dry_run else lock.acquire(place.store, lock.Owner.of_this_process(os.environ))
        try:
            found = inventory.survey(place.store)
            going = inventory.superfluous(
                {f.folder: f.committed for f in found}, keep=keep, bad=[f.folder for f in found if not f.good]
            )
            if not dry_run:
                inventory.remove(place.store, going)
        finally:
            if held is not None:
                held.release()
    gone = [f for f in found if f.folder in going]
    if json:
        print(as_json([_facts(f) for f in gone]))
        return
    for f in gone:
        print(f"{'would remove' if dry_run else 'removed'} step {f.step}, {_state(f)}")
    print(f"{len(found) - len(gone)} stay")


@app.command(help="Ask the running program to save now and go on.")
def save(context: typer.Context, where: Where, *, timeout: Timeout = 300, json: Json = False) -> int:
    from workload.vault.control import Verb  # noqa: PLC0415  --help must not pay for it

    return _ask(context, where, Verb.SAVE, timeout, json=json)


@app.command(
    help="Ask the running program to save and end (exit code 213); tutti resume goes on from there.",
    short_help="Ask the running program to save and end (exit code 213).",
)
def stop(context: typer.Context, where: Where, *, timeout: Timeout = 300, json: Json = False) -> int:
    from workload.vault.control import Verb  # noqa: PLC0415  --help must not pay for it

    return _ask(context, where, Verb.STOP, timeout, json=json)


@app.command(help="Remove the lock that a program left which is gone.")
def unlock(
    context: typer.Context,
    where: Where,
    *,
    force: Annotated[bool, typer.Option("--force", help="even if nobody knows that it is gone")] = False,
    json: Json = False,
) -> None:
    from tutti import checkpoints  # noqa: PLC0415  --help must not pay for it

    def is_running(job: str) -> bool:
        from tutti.jobs import details  # noqa: PLC0415  the same
        from tutti.listing import describe  # noqa: PLC0415  the same

        return not all(details(item).ended for item in describe(cluster_of(context), [job]))

    with _told():
        place = _find(context, where)
        owner = checkpoints.unlock(place, is_running, force=force)
    if json:
        print(as_json({"target": place.store.target, "removed": owner and asdict(owner)}))
        return
    print(f"removed the lock of {owner}" if owner else f"{place.store.target} is not locked")


def _ask(context: typer.Context, where: str, verb: Verb, timeout: int, *, json: bool) -> int:
    from tutti import checkpoints  # noqa: PLC0415  --help must not pay for it

    with _told():
        answer = checkpoints.ask(_find(context, where), verb, timeout=timeout)
    print(as_json(asdict(answer)) if json else answer.message)
    return Exit.DONE if answer.saved else Exit.FAILED


def _state(found: Found) -> str:
    if not found.committed:
        return "unfinished"
    return "good" if found.good else "damaged"


def _facts(found: Found) -> dict[str, Any]:
    manifest = found.manifest
    facts = {"step": found.step, "folder": found.folder, "state": _state(found), "damage": found.damage}
    if manifest is None:
        return facts
    return {
        **facts,
        "written": manifest.written,
        "bytes": manifest.size,
        "ranks": manifest.ranks,
        "job": manifest.job,
        "attempt": manifest.attempt,
        "seconds": manifest.seconds,
        "arrays": {name: {"dtype": a.dtype, "shape": a.shape} for name, a in manifest.arrays.items()},
        "case": manifest.case,
        "notes": manifest.notes,
    }


def _size(size: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
