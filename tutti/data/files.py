"""List, put, get and remove, in the bucket and on the shared folder alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tutti.aws import told
from tutti.data import bucket, shared
from tutti.data.bucket import Object
from tutti.data.crew import Moved, each
from tutti.data.differences import Change, Difference, Item, Why, blocked
from tutti.data.onnode import Tree, walk
from tutti.data.place import Entry, Place, Tell, silent
from tutti.errors import InputError, NotFoundError, Problem

if TYPE_CHECKING:
    from tutti.cluster import Cluster

Fetch = Callable[[Item, Path, Moved], None]


def nothing(_: int) -> None:
    """Counts no bytes."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of files: how many arrived and went, those that did not and why, and what was left out."""

    files: int
    removed: int = 0
    failed: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


@told
def listed(cluster: Cluster, place: Place) -> list[Entry]:
    """What is in a folder, or the one file of this name."""
    return bucket.one_level(cluster, place) if place.shared is None else shared.ls(cluster, place.shared)


@told
def put(
    cluster: Cluster, sources: Sequence[Path], place: Place, *, tell: Tell = silent, moved: Moved = nothing
) -> Outcome:
    """Files and folders to a place. A target that ends in / (or several sources) is a folder.

    Raises
    ------
    NotFoundError
        A source is not there; nothing is sent then.
    InputError
        A source is a pipe, a socket or a device; nothing is sent then.
    """
    if missing := [str(s) for s in sources if not s.exists()]:
        raise NotFoundError(f"{', '.join(missing)}: no such file or folder here")
    if odd := [s for s in sources if not (s.is_file() or s.is_dir())]:
        what = "is neither a file nor a folder"
        raise InputError([Problem(where=str(s), what=what, remedy="Write it into a file first") for s in odd])
    at = place.key if place.shared is None else place.shared
    into = at.endswith("/") or at == "" or len(sources) > 1
    trees = [(source, walk(str(source))) for source in sources]
    pairs = [pair for source, tree in trees for pair in _targets(source, tree, at, into=into)]
    notes = tuple(note for _, tree in trees for note in (*tree.problems, *notes_of(tree)))
    named = blocked(_all(item for _, item in pairs), (), folders=place.shared is not None)
    here = {item.name: file for file, item in pairs}
    sent = [(here[change.item.name], change.item) for change in named.send]
    if place.shared is not None:
        own = sources[0].name if len(pairs) == 1 and not into else ""
        errand = shared.Errand(path="", about=f"{sources[0].absolute()} -> {place}", own_name=own)
        failed = shared.put(cluster, errand, sent, moved=moved, tell=tell)
    else:

        def send(pair: tuple[Path, Item], moved: Moved) -> None:
            bucket.send(cluster, pair[0], Object(bucket=place.bucket, key=pair[1].name), moved)
            tell(f"{pair[0]} -> s3://{place.bucket}/{pair[1].name}")

        failed = [(str(file), why) for (file, _), why in each(send, sent, moved)]
    return Outcome(files=len(sent) - len(failed), failed=(*named.blocked, *failed), notes=notes)


@told
def get(cluster: Cluster, place: Place, target: Path, *, tell: Tell = silent, moved: Moved = nothing) -> Outcome:
    """A file or all below a folder, to a local file or folder.

    Raises
    ------
    NotFoundError
        Nothing is there.
    """
    if place.shared is not None:
        with shared.got(cluster, place.shared) as found:
            alone = "" if found.is_folder else place.shared.rpartition("/")[2]
            outcome = _fetched(found.items, target, alone, found.fetch, moved=moved, tell=tell)
            return Outcome(files=outcome.files, failed=outcome.failed, notes=found.notes)
    key, there = place.key, list(bucket.objects(cluster, place.bucket, place.key))
    exact = [bucket.item_of(o, key) for o in there if o["Key"] == key and not key.endswith("/")]
    items = exact or bucket.items(cluster, place)
    if not items:
        raise NotFoundError(f"{place}: nothing is there. Look: tutti data ls")
    head = key if exact else place.prefix

    def fetch(item: Item, file: Path, moved: Moved) -> None:
        bucket.fetch(cluster, Object(bucket=place.bucket, key=head + item.name), item, file, moved)

    return _fetched(items, target, key.rpartition("/")[2] if exact else "", fetch, moved=moved, tell=tell)


@told
def remove(cluster: Cluster, place: Place, *, recursive: bool = False, tell: Tell = silent) -> int:
    """A file, or with `recursive` all below a folder; how many.

    Raises
    ------
    NotFoundError
        Nothing is there.
    InputError
        A folder without `recursive`, or the whole group's place.
    """
    if place.is_all(cluster.card):
        what = "is all that the group has, or what every job relies on; name what is to go"
        raise InputError([Problem(where=str(place), what=what)])
    if place.shared is not None:
        removed, left = shared.rm(cluster, place.shared, recursive=recursive)
        if left:
            raise _is_folder(place, left)
        return removed
    keys = [o["Key"] for o in bucket.objects(cluster, place.bucket, place.key)]
    exact = [key for key in keys if key == place.key]
    below = [key for key in keys if key.startswith(place.prefix) and key != place.key]
    if not exact and below and not recursive:
        raise _is_folder(place, len(below))
    chosen = exact + (below if recursive else [])
    if not chosen:
        raise NotFoundError(f"{place}: nothing is there. Look: tutti data ls")
    bucket.delete(cluster, place.bucket, chosen, tell)
    return len(chosen)


def items_here(tree: Tree) -> list[Item]:
    """The files of a folder here."""
    return [Item(name=f.name, size=f.size, modified_ns=f.modified_ns, executable=f.executable) for f in tree.files]


def notes_of(tree: Tree) -> list[str]:
    """What of a folder here is left out."""
    more = f" and {len(tree.empty) - 1} more" if len(tree.empty) > 1 else ""
    empty = [f"{tree.empty[0]}{more}: empty, and only files travel; left out"] if tree.empty else []
    return [*tree.notes, *empty]


def _is_folder(place: Place, count: int) -> InputError:
    what = f"is a folder of {count} file{'s' if count != 1 else ''}"
    return InputError([Problem(where=str(place), what=what, remedy="Say --recursive")])


def _all(items: Iterable[Item]) -> Difference:
    return Difference(send=tuple(Change(item=i, why=Why.NEW) for i in items), remove=(), same=0)


def _targets(source: Path, tree: Tree, at: str, *, into: bool) -> list[tuple[Path, Item]]:
    """Each file of a source with what it will be. `into`: the source lands below `at` under its own name."""
    base = f"{at}{'' if at.endswith('/') or not at else '/'}"
    if source.is_file():
        [item] = items_here(tree)
        return [(source, _named(item, f"{base}{source.name}" if into else at))]
    head = f"{base}{source.resolve().name}/" if into else base
    return [(source / item.name, _named(item, head + item.name)) for item in items_here(tree)]


def _named(item: Item, name: str) -> Item:
    return Item(name=name, size=item.size, modified_ns=item.modified_ns, executable=item.executable, mark=item.mark)


def _fetched(items: Sequence[Item], target: Path, alone: str, fetch: Fetch, *, moved: Moved, tell: Tell) -> Outcome:
    """Fetch all of them below `target`; `alone`: it is one file of this name, and `target` may be what it becomes."""
    named = blocked(_all(items if not alone else ()), (), folders=True)
    wanted = list(items) if alone else [change.item for change in named.send]

    def one(item: Item, moved: Moved) -> None:
        file = target / item.name if not alone else target / alone if target.is_dir() else target
        fetch(item, file, moved)
        tell(f"{item.name or alone} -> {file}")

    failed = [(item.name or alone, why) for item, why in each(one, wanted, moved)]
    return Outcome(files=len(wanted) - len(failed), failed=(*named.blocked, *failed))
