"""Inputs: from S3 and the shared folder to a node's scratch, or once for the gang to the shared folder."""

import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from workload.staging.copying import Copy
from workload.staging.crew import Crew, Failed, Limits, Meter, Moved, Transfer
from workload.staging.disk import search, shortage
from workload.staging.download import Download
from workload.staging.places import Place, S3Place, SharedPlace, StagingError, clashes, name_below, read_place
from workload.staging.records import of_objects, of_shared
from workload.staging.s3 import Lazy, S3Object, connect, find_objects

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

CACHE: Final = Path("input", ".s3")
"""Below the shared folder: what came from S3, kept between jobs. `CACHE/<object>/<version>/<name>`."""
STALE_S: Final = 14 * 86_400.0
"""How long an older version of an object is kept after its last use: no job should run longer."""
HALF_MADE_S: Final = 86_400.0
"""After this a half-made file is nobody's any more."""
Seen = Callable[[Mapping[str, Any]], None]
"""Told what each input holds (`workload.contents`), by URI, before the first byte is moved."""


@dataclass(frozen=True, kw_only=True)
class _Input:
    """One file, or one empty folder (name ends in a slash), that a job will see as `input/<name>`."""

    name: str
    size: int
    source: S3Object | Path
    origin: str  # the URI that it came in with


def _plan_s3(place: S3Place, found: Sequence[S3Object]) -> list[_Input]:
    # Taken off the keys: the prefix, or all but the last part of a name without a slash at the end.
    prefix = place.key[: place.key.rfind("/") + 1]
    planned = []
    for one in found:
        if one.key.endswith("/") and one.size:
            raise ValueError(f"{one}: {one.size} bytes under a key that ends in a slash: no file can have that name")
        if one.key != prefix:  # else the marker that consoles make for an empty folder: that one is there anyway
            planned.append(_Input(name=name_below(one.key, prefix), size=one.size, source=one, origin=str(one)))
    return planned


def _plan_shared(place: SharedPlace, *, deep: bool) -> tuple[list[_Input], list[str], list[str]]:
    """Files (`deep`), or the entries to link to; then notes and problems."""
    path = Path(place.path)
    if not path.exists():
        return [], [], [f"{place}: nothing is there ({path})"]
    if not os.access(path, os.R_OK):
        return [], [], [f"{place}: {path} may not be read by user {os.geteuid()}"]
    if path.is_file():
        planned = [_Input(name=path.name, size=path.stat().st_size, source=path, origin=place.uri)]
        return planned, [], []
    top = "" if place.is_contents else f"{path.name}/"
    if not deep:
        entries = sorted(path.iterdir()) if place.is_contents else [path]
        return [_Input(name=one.name, size=0, source=one, origin=str(one)) for one in entries], [], []
    tree = search(path)
    return (
        [_Input(name=top + one.name, size=one.size, source=one.path, origin=str(one.path)) for one in tree.files],
        tree.notes,
        tree.problems,
    )


class _Plan:
    """What all inputs are, found out before the first byte is moved; every problem at once."""

    def __init__(
        self, uris: Sequence[str], shared: Path | None, client: Lazy, limits: Limits, *, deep: bool, seen: Seen | None
    ) -> None:
        self.inputs: list[_Input] = []
        self.notes: list[str] = []
        self._client = client
        self._contents: dict[str, Any] | None = None if seen is None else {}
        problems: list[str] = []
        places: list[Place] = []
        for uri in uris:
            try:
                places.append(read_place(uri, None if shared is None else str(shared)))
            except ValueError as error:
                problems.append(str(error))
        for place in places:
            try:
                problems += self._add(place, limits, deep=deep)
            except (Failed, ValueError, OSError) as error:
                problems.append(str(error))
        problems += clashes((one.name, one.origin) for one in self.inputs)
        if seen is not None and self._contents is not None:
            seen(self._contents)
        if problems:
            raise StagingError(problems)

    def _add(self, place: Place, limits: Limits, *, deep: bool) -> list[str]:
        if isinstance(place, S3Place):
            found = find_objects(self._client(), place, limits, Meter())
            if self._contents is not None:
                self._contents[str(place)] = of_objects(found)
            self.inputs += _plan_s3(place, found)
            return []
        if self._contents is not None:
            self._contents[place.uri] = of_shared(place, Path(place.path))
        planned, notes, problems = _plan_shared(place, deep=deep)
        self.inputs += planned
        self.notes += notes
        return problems

    def download(self, source: S3Object, target: Path, limits: Limits, *, durable: bool) -> Download:
        return Download(source=source, target=target, client=self._client(), limits=limits, durable=durable)


def stage_to_node(
    uris: Sequence[str],
    *,
    into: Path,
    shared: Path | None,
    s3: "Callable[[], S3Client]" = connect,
    progress: Callable[[Moved], None] | None = None,
    limits: Limits | None = None,
    seen: Seen | None = None,
) -> Moved:
    """Give this node its own copy of the inputs, as files below `into`. Every node of the gang calls it.

    Parameters
    ----------
    uris
        `s3://BUCKET/KEY` (lands as its last part), `s3://BUCKET/PREFIX/` (all below it, without the prefix),
        `shared:PATH` likewise. A folder or prefix named without its last slash lands as a folder of that name.
    into
        Made if need be.
    shared
        The shared folder, None where there is none.
    s3
        Makes the client; called only if a URI needs it.
    progress
        Called in this thread about once a second and at the end; what it raises stops the staging.
    seen
        Called once, also where an input is missing.

    Raises
    ------
    StagingError
        An input is missing, may not be read, does not fit, or could not be moved: all reasons found.
    """
    if not uris:
        return Moved()
    limits = limits or Limits()
    with Lazy(s3) as client:
        return _to_node(_Plan(uris, shared, client, limits, deep=True, seen=seen), into, progress, limits)


def _to_node(plan: _Plan, into: Path, progress: Callable[[Moved], None] | None, limits: Limits) -> Moved:
    files = [one for one in plan.inputs if not one.name.endswith("/")]
    total = sum(one.size for one in files)
    if problem := shortage(into, total, len(files), limits.spare_bytes):
        raise StagingError([problem])
    into.mkdir(parents=True, exist_ok=True)
    transfers: list[Transfer] = []
    for one in plan.inputs:
        target = into / one.name
        (target if one.name.endswith("/") else target.parent).mkdir(parents=True, exist_ok=True)
        if one.name.endswith("/"):
            continue
        if isinstance(one.source, S3Object):
            transfers.append(plan.download(one.source, target, limits, durable=False))
        else:
            transfers.append(Copy(source=one.source, target=target, size=one.size))
    already = Moved(of_files=len(files), of_bytes=total, notes=tuple(plan.notes))
    return _run(transfers, limits, progress, already)


def stage_to_shared(
    uris: Sequence[str],
    *,
    view: Path,
    shared: Path,
    s3: "Callable[[], S3Client]" = connect,
    progress: Callable[[Moved], None] | None = None,
    limits: Limits | None = None,
    seen: Seen | None = None,
) -> Moved:
    """Bring the inputs to the shared folder, and make `view`, a folder of links to them. Main alone calls it.

    What came from S3 is kept in `CACHE`: the next job moves only what S3 has in another version. A version lies in a
    folder of its own, so a job that still reads the old one is not disturbed; two gangs may stage the same at once.
    `view` appears whole or not at all; every node links its `input` to it. Parameters and errors: see `stage_to_node`.
    """
    if not uris:
        return Moved()
    limits = limits or Limits()
    with Lazy(s3) as client:
        return _to_shared(_Plan(uris, shared, client, limits, deep=False, seen=seen), view, shared, progress, limits)


def _to_shared(
    plan: _Plan, view: Path, shared: Path, progress: Callable[[Moved], None] | None, limits: Limits
) -> Moved:
    links: dict[str, Path] = {}
    transfers: list[Transfer] = []
    half_made: list[Path] = []
    kept = kept_files = 0
    for one in plan.inputs:
        if not isinstance(one.source, S3Object):
            links[one.name] = one.source
            continue
        if one.name.endswith("/"):
            continue
        version = _version_folder(shared, one.source)
        links[one.name] = version / _cached_name(one.source)
        if _is_kept(links[one.name], one.source):
            kept, kept_files = kept + one.size, kept_files + 1
            continue
        half_made.append(version.with_name(f".{uuid.uuid4().hex}.part"))
        transfer = plan.download(one.source, half_made[-1] / _cached_name(one.source), limits, durable=True)
        transfer.published = partial(_publish_version, half_made[-1], version)
        transfers.append(transfer)
    fetched = sum(transfer.size for transfer in transfers)
    if problem := shortage(shared / CACHE, fetched, len(transfers), limits.spare_bytes):
        raise StagingError([problem])
    already = Moved(
        files=kept_files,
        of_files=kept_files + len(transfers),
        of_bytes=fetched,
        kept_bytes=kept,
        notes=tuple(plan.notes),
    )
    try:
        for folder in half_made:
            folder.mkdir(parents=True)
        moved = _run(transfers, limits, progress, already)
    finally:
        for folder in half_made:
            shutil.rmtree(folder, ignore_errors=True)
    folders = [one.name for one in plan.inputs if one.name.endswith("/")]
    _make_view(view, links, folders)
    return moved


def _run(
    transfers: Sequence[Transfer], limits: Limits, progress: Callable[[Moved], None] | None, already: Moved
) -> Moved:
    if not transfers:
        return already
    moved, failures = Crew(transfers, limits=limits, keep_going=False).run(progress, already)
    if failures:
        raise StagingError(why if why.startswith(name) else f"{name}: {why}" for name, why in failures.items())
    notes = [note for transfer in transfers if isinstance(transfer, Download) for note in transfer.notes]
    return replace(moved, notes=moved.notes + tuple(notes))


def _digest(text: str, length: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def _version_folder(shared: Path, source: S3Object) -> Path:
    """Where a version of an object is kept. Digests: a key may be both a file's name and a folder's."""
    return shared / CACHE / _digest(str(source), 32) / _digest(f"{source.etag} {source.size}", 16)


def _cached_name(source: S3Object) -> str:
    return source.key.rpartition("/")[2]


def _is_kept(path: Path, source: S3Object) -> bool:
    """Whether `path` is that version, whole and unaltered: a job may have written to it since."""
    try:
        facts = path.stat()
    except OSError:
        return False
    same = (facts.st_size, facts.st_mtime_ns) == (source.size, source.modified_ns)
    if same:
        path.parent.touch()  # in use: see STALE_S
    return same


def _publish_version(half_made: Path, version: Path) -> None:
    """Give a complete download its place, and remove what is too old beside it."""
    if version.exists():  # altered since, or another gang was faster: replaced either way
        version.rename(half_made.with_name(f".{uuid.uuid4().hex}.part"))
    try:
        half_made.rename(version)
    except OSError:
        if not version.exists():
            raise
    now = time.time()
    for sibling in version.parent.iterdir():
        limit = HALF_MADE_S if sibling.name.endswith(".part") else STALE_S
        if sibling != version and now - sibling.stat().st_mtime > limit:
            shutil.rmtree(sibling, ignore_errors=True)


def _make_view(view: Path, links: dict[str, Path], folders: Sequence[str]) -> None:
    new = view.with_name(f".{view.name}.{uuid.uuid4().hex}.part")
    new.mkdir(parents=True)
    for name in folders:
        (new / name).mkdir(parents=True, exist_ok=True)
    for name, target in links.items():
        link = new / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
    if view.exists():  # of an attempt before
        shutil.rmtree(view)
    new.rename(view)
