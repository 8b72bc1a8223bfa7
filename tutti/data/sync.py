"""`tutti data sync`: make a place like a folder here, or a folder here like a place. Only what differs is moved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tutti.aws import told
from tutti.data import bucket, etag, shared
from tutti.data.bucket import Object
from tutti.data.crew import Moved, each
from tutti.data.differences import Difference, Item, Times, blocked, compare, kept, left_out
from tutti.data.files import Outcome, items_here, notes_of
from tutti.data.onnode import Tree, remove_files, walk
from tutti.data.place import Place, Tell, is_far, place_of, silent
from tutti.errors import InputError, NotFoundError, Problem
from workload.contract import Card

if TYPE_CHECKING:
    from tutti.cluster import Cluster

NOT_REMOVED = "nothing is removed: the source could not be read whole"


@dataclass(frozen=True, kw_only=True)
class Sides:
    """A folder here and a place, and which of the two is made like the other."""

    here: Path
    there: Place
    up: bool

    @property
    def source(self) -> str:
        return str(self.here) if self.up else str(self.there)

    @property
    def target(self) -> str:
        return str(self.there) if self.up else str(self.here)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What of a sync the user decides. `exclude`: rules as .tuttiignore has them; what they fit is not touched."""

    delete: bool = False
    checksum: bool = False
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What a sync will do. `notes`: what is left out."""

    sides: Sides
    difference: Difference
    notes: tuple[str, ...]


def sides_of(card: Card, source: str, target: str) -> Sides:
    """Which of the two is the folder here.

    Raises
    ------
    InputError
        Both are places.
    """
    if is_far(source) and is_far(target):
        what = f"got two places, {source} and {target}; allowed: a folder here and a place"
        raise InputError([Problem(where="sync", what=what, remedy="Go over a folder here, or: aws s3 sync")])
    if is_far(source):
        return Sides(here=Path(target), there=place_of(card, source), up=False)
    return Sides(here=Path(source), there=place_of(card, target), up=True)


@told
def plan(cluster: Cluster, sides: Sides, wanted: Wanted) -> Planned:
    """Look at both sides; nothing is changed. Costs a small job where one of them is the shared folder.

    Raises
    ------
    NotFoundError
        The source is not there.
    InputError
        `delete` would remove all of a target, or what is not one folder's.
    """
    _check(cluster, sides, wanted)
    tree = walk(str(sides.here), left_out(wanted.exclude)) if sides.here.is_dir() else Tree([], [], [], [])
    here = items_here(tree)
    there, notes, unseen = _there(cluster, sides, here, wanted)
    there = kept(there, wanted.exclude)
    source, target = (here, there) if sides.up else (there, here)
    if sides.up:
        notes, unseen = notes_of(tree), tree.problems
    found = compare(
        source,
        target,
        times=Times.OF_THE_COPY if sides.up and sides.there.shared is None else Times.KEPT,
        same_content=_same_content(sides),
        by_content=wanted.checksum,
        delete=wanted.delete,
    )
    if found.remove and not source:
        what = f"has no file: --delete would remove all {len(found.remove):,} of {sides.target}"
        raise InputError([Problem(where=sides.source, what=what, remedy="If that is meant: tutti data rm -r")])
    if found.remove and unseen:
        notes = [*notes, NOT_REMOVED]
        found = Difference(send=found.send, remove=(), same=found.same)
    folders = not sides.up or sides.there.shared is not None
    found = blocked(found, [item.name for item in target], folders=folders)
    return Planned(sides=sides, difference=found, notes=(*unseen, *notes))


@told
def carry_out(cluster: Cluster, planned: Planned, *, moved: Moved, tell: Tell = silent) -> Outcome:
    """Do what was planned: first remove, then send. What fails keeps nothing else back."""
    sides, found = planned.sides, planned.difference
    items = [change.item for change in found.send]
    if sides.up and sides.there.shared is not None:
        about = f"{sides.here.absolute()} -> {sides.there}"
        errand = shared.Errand(path=sides.there.shared, about=about, remove=found.remove)
        failed = shared.put(cluster, errand, [(sides.here / i.name, i) for i in items], moved=moved, tell=tell)
    elif sides.up:
        head = sides.there.prefix
        bucket.delete(cluster, sides.there.bucket, [head + name for name in found.remove], silent)

        def send(item: Item, moved: Moved) -> None:
            bucket.send(cluster, sides.here / item.name, Object(bucket=sides.there.bucket, key=head + item.name), moved)

        failed = [(item.name, why) for item, why in each(send, items, moved)]
    else:
        failed = remove_files(str(sides.here), list(found.remove))
        failed += _fetch(cluster, sides, items, moved)
    lost = {name for name, _ in failed}
    return Outcome(
        files=sum(item.name not in lost for item in items),
        removed=sum(name not in lost for name in found.remove),
        failed=(*found.blocked, *failed),
    )


def _fetch(cluster: Cluster, sides: Sides, items: Sequence[Item], moved: Moved) -> list[tuple[str, str]]:
    place = sides.there
    if not items:
        return []
    if place.shared is None:

        def fetch(item: Item, moved: Moved) -> None:
            source = Object(bucket=place.bucket, key=place.prefix + item.name)
            bucket.fetch(cluster, source, item, sides.here / item.name, moved)

        return [(item.name, why) for item, why in each(fetch, items, moved)]
    with shared.got(cluster, place.shared, items) as found:
        arrived = {item.name for item in found.items}
        failed = each(lambda item, moved: found.fetch(item, sides.here / item.name, moved), found.items, moved)
        gone = [(item.name, "it is gone since it was looked at") for item in items if item.name not in arrived]
        return [*((item.name, why) for item, why in failed), *gone]


def _check(cluster: Cluster, sides: Sides, wanted: Wanted) -> None:
    """What can be said before anything is looked at there."""
    if sides.up and not sides.here.is_dir():
        path = "..." if sides.here.is_absolute() else f"{cluster.card.prefix}{sides.here}"
        remedy = f"To bring a folder of the bucket here, name it whole: s3://{cluster.card.bucket}/{path}"
        raise NotFoundError(f"{sides.here}: no such folder here. {remedy}")
    if not sides.up and sides.here.exists() and not sides.here.is_dir():
        raise InputError([Problem(where=str(sides.here), what="is no folder; sync works with folders")])
    if wanted.delete and sides.up and sides.there.is_all(cluster.card):
        what = "is all that the group has, or what every job relies on: --delete is for a folder below it"
        raise InputError([Problem(where=str(sides.there), what=what)])


def _there(
    cluster: Cluster, sides: Sides, here: Sequence[Item], wanted: Wanted
) -> tuple[list[Item], list[str], list[str]]:
    """The files of the place, what is left out, and what could not be seen."""
    place = sides.there
    if place.shared is None:
        found = bucket.items(cluster, place)
        if not found and not sides.up:
            raise NotFoundError(f"{place}: nothing is there. Look: tutti data ls")
        return found, [], []
    sums = {item.name: item.size for item in here} if wanted.checksum else {}
    try:
        found, notes, unseen = shared.walk(cluster, place.shared, sums)
    except NotFoundError:
        if not sides.up:
            raise
        return [], [], []
    if any(not item.name for item in found):
        what = "is a file; sync works with folders"
        raise InputError([Problem(where=str(place), what=what, remedy="For a file: tutti data get, tutti data put")])
    return found, notes, unseen


def _same_content(sides: Sides) -> Callable[[Item, Item], bool]:
    """Whether a file here is the one there: by what the place lists of its content, an ETag or an MD5.

    One that cannot be read counts as another: moving it says why.
    """

    def same(source: Item, target: Item) -> bool:
        mine, other = (source, target) if sides.up else (target, source)
        try:
            return bool(other.mark) and etag.is_content(sides.here / mine.name, other.mark)
        except OSError:
            return False

    return same
