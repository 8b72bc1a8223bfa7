"""Files of the group: in the bucket directly, on the shared folder through a small single-node job.

A place is `PATH` (below the group's own prefix in the bucket), `s3://BUCKET/KEY`, or `shared:PATH`.
"""

from __future__ import annotations

import os
import shlex
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tutti.aws import told
from tutti.errors import InputError, NotFoundError, Problem
from tutti.job import Job
from workload.contract import SHARED_SCHEME

if TYPE_CHECKING:
    from tutti.cluster import Cluster

THREADS: Final = 8
DELETE_AT_ONCE: Final = 1000  # DeleteObjects' limit
Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where files are: `bucket` and `key`, or `shared`, a path below the shared folder."""

    bucket: str = ""
    key: str = ""
    shared: str | None = None

    def __str__(self) -> str:
        return f"{SHARED_SCHEME}{self.shared}" if self.shared is not None else f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file, or a folder (`size` is None)."""

    name: str
    size: int | None
    modified: float | None = None


def place_of(cluster: Cluster, text: str) -> Place:
    """The place that a user's words mean.

    Raises
    ------
    InputError
        A path that leaves the group's own.
    """
    if ".." in text.removeprefix(SHARED_SCHEME).split("/"):
        raise InputError([Problem(where=text, what="leaves the group's own place; allowed are paths without '..'")])
    if text.startswith(SHARED_SCHEME):
        return Place(shared=text.removeprefix(SHARED_SCHEME).lstrip("/"))
    if text.startswith("s3://"):
        bucket, _, key = text.removeprefix("s3://").partition("/")
        return Place(bucket=bucket, key=key)
    return Place(bucket=cluster.card.bucket, key=cluster.card.prefix + text.lstrip("/"))


@told
def listed(cluster: Cluster, place: Place) -> list[Entry]:
    """What is in a folder, or the one file of this name."""
    if place.shared is not None:
        return _shared_list(cluster, place.shared)
    below = place.key if place.key.endswith("/") or not place.key else f"{place.key}/"
    found = _one_level(cluster, place.bucket, below)
    if not found and below != place.key:
        found = [e for e in _one_level(cluster, place.bucket, place.key) if e.size is not None]
    return found


@told
def put(cluster: Cluster, sources: Sequence[Path], place: Place, tell: Tell = lambda _: None) -> int:
    """Files and folders to a place; how many files. A target that ends in / (or several sources) is a folder.

    Raises
    ------
    NotFoundError
        A source is not there; nothing is sent then.
    """
    if missing := [str(s) for s in sources if not s.exists()]:
        raise NotFoundError(f"{', '.join(missing)}: no such file or folder here")
    if place.shared is not None:
        return _shared_put(cluster, sources, place.shared, tell)
    into = place.key.endswith("/") or place.key == "" or len(sources) > 1
    moves = [move for source in sources for move in _below(source, place.key, into=into)]
    _each(lambda m: _send(cluster, place.bucket, m[0], m[1], tell), moves)
    return len(moves)


@told
def get(cluster: Cluster, place: Place, target: Path, tell: Tell = lambda _: None) -> int:
    """A file or all below a prefix to a local file or folder; how many files.

    Raises
    ------
    NotFoundError
        Nothing is there.
    """
    if place.shared is not None:
        return _shared_get(cluster, place.shared, target, tell)
    objects = list(_objects(cluster, place.bucket, place.key))
    exact = [o for o in objects if o["Key"] == place.key]
    prefix = place.key if place.key.endswith("/") or not place.key else f"{place.key}/"
    below = [o for o in objects if o["Key"].startswith(prefix) and not o["Key"].endswith("/")]
    if exact:
        file = target / Path(place.key).name if target.is_dir() else target
        moves = [(exact[0]["Key"], file)]
    elif below:
        moves = [(o["Key"], target / o["Key"].removeprefix(prefix)) for o in below]
    else:
        raise NotFoundError(f"{place}: nothing is there. Look: tutti data ls")
    _each(lambda m: _fetch(cluster, place.bucket, m[0], m[1], tell), moves)
    return len(moves)


@told
def sync(cluster: Cluster, source: Path, place: Place, *, delete: bool = False, tell: Tell = lambda _: None) -> int:
    """A local folder to a prefix, only what differs (size, or newer here); how many files were sent or removed."""
    if place.shared is not None:
        what = "sync works with the bucket; for the shared folder use put"
        raise InputError([Problem(where=str(place), what=what)])
    if not source.is_dir():
        raise NotFoundError(f"{source}: no such folder here")
    prefix = place.key if place.key.endswith("/") or not place.key else f"{place.key}/"
    there = {o["Key"]: o for o in _objects(cluster, place.bucket, prefix)}
    moves = [(f, key) for f, key in _below(source, prefix, into=False) if _differs(f, there.get(key))]
    _each(lambda m: _send(cluster, place.bucket, m[0], m[1], tell), moves)
    gone: list[str] = []
    if delete:
        here = {key for _, key in _below(source, prefix, into=False)}
        gone = [key for key in there if key not in here]
        _delete(cluster, place.bucket, gone, tell)
    return len(moves) + len(gone)


@told
def remove(cluster: Cluster, place: Place, *, recursive: bool = False, tell: Tell = lambda _: None) -> int:
    """A file, or with `recursive` all below a folder; how many.

    Raises
    ------
    NotFoundError
        Nothing is there.
    InputError
        A folder without `recursive`, or the whole group's place.
    """
    if place.shared is not None:
        return _shared_remove(cluster, place.shared, recursive=recursive)
    if place.bucket == cluster.card.bucket and cluster.card.prefix.startswith(place.key):
        raise InputError([Problem(where=str(place), what="is all that the group has; name what is to go")])
    keys = [o["Key"] for o in _objects(cluster, place.bucket, place.key)]
    exact = [k for k in keys if k == place.key]
    below = [k for k in keys if k.startswith(place.key if place.key.endswith("/") else f"{place.key}/")]
    chosen = exact + (below if recursive else [])
    if not exact and below and not recursive:
        raise InputError(
            [Problem(where=str(place), what=f"is a folder of {len(below)} files", remedy="Say --recursive")]
        )
    if not chosen:
        raise NotFoundError(f"{place}: nothing is there. Look: tutti data ls")
    _delete(cluster, place.bucket, chosen, tell)
    return len(chosen)


# ---------------------------------------------------------------- the bucket


def _one_level(cluster: Cluster, bucket: str, prefix: str) -> list[Entry]:
    pages = cluster.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
    found = []
    for page in pages:
        found += [Entry(name=p["Prefix"].removeprefix(prefix), size=None) for p in page.get("CommonPrefixes", [])]
        found += [
            Entry(name=o["Key"].rpartition("/")[2], size=o["Size"], modified=o["LastModified"].timestamp())
            for o in page.get("Contents", [])
            if o["Key"] != prefix or not prefix.endswith("/")
        ]
    return found


def _objects(cluster: Cluster, bucket: str, prefix: str) -> Iterator[Any]:
    for page in cluster.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from page.get("Contents", [])


def _below(source: Path, key: str, *, into: bool) -> list[tuple[Path, str]]:
    """Each file of a source with its key. `into`: the source lands below `key` under its own name."""
    base = f"{key}{'' if key.endswith('/') or not key else '/'}"
    if source.is_file():
        return [(source, f"{base}{source.name}" if into else key)]
    head = f"{base}{source.resolve().name}/" if into and not str(source).endswith(("/", "/.")) else base
    files = (Path(folder) / name for folder, _, names in os.walk(source) for name in names)
    return [(file, head + file.relative_to(source).as_posix()) for file in sorted(files) if file.is_file()]


def _differs(file: Path, there: Any) -> bool:
    facts = file.stat()
    # S3 keeps whole seconds
    older = there is not None and there["LastModified"].timestamp() < int(facts.st_mtime)
    return there is None or there["Size"] != facts.st_size or older


def _send(cluster: Cluster, bucket: str, file: Path, key: str, tell: Tell) -> None:
    cluster.s3.upload_file(str(file), bucket, key)
    tell(f"{file} -> s3://{bucket}/{key}")


def _fetch(cluster: Cluster, bucket: str, key: str, file: Path, tell: Tell) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    cluster.s3.download_file(bucket, key, str(file))
    tell(f"s3://{bucket}/{key} -> {file}")


def _delete(cluster: Cluster, bucket: str, keys: Sequence[str], tell: Tell) -> None:
    for start in range(0, len(keys), DELETE_AT_ONCE):
        some = keys[start : start + DELETE_AT_ONCE]
        cluster.s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": k} for k in some], "Quiet": True})
        for key in some:
            tell(f"s3://{bucket}/{key} is gone")


def _each(call: Callable[[Any], None], items: Sequence[Any]) -> None:
    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        list(pool.map(call, items))


# ---------------------------------------------------------------- the shared folder, through a job


def _run(cluster: Cluster, script: str, **more: Any) -> list[str]:
    """Run a small script on a node that has the shared folder; its lines.

    Raises
    ------
    NotFoundError
        The script ended with 3: the path is not there.
    """
    from tutti.run import Run  # noqa: PLC0415  Run knows much: only where a job is needed

    job = Job(command=("sh", "-c", f'cd "$TUTTI_SHARED" && {script}'), name="data", mpi="none", timeout=3600, **more)
    run = Run.submit(job, cluster)
    details = run.wait()
    lines = [line.line.text for line in run.logs() if line.line.rank is not None]
    if details.code == 3:
        raise NotFoundError(lines[-1] if lines else "nothing is there")
    if details.code:
        raise NotFoundError(f"the job that does it failed with code {details.code}; see tutti logs {run.id}")
    return lines


def _quoted(path: str) -> str:
    return shlex.quote(path or ".")


def _must_exist(path: str) -> str:
    told = shlex.quote(f"{SHARED_SCHEME}{path}: nothing is there")
    return f"{{ [ -e {_quoted(path)} ] || {{ echo {told}; exit 3; }}; }}"


def _shared_list(cluster: Cluster, path: str) -> list[Entry]:
    # GNU find, which every image of ours has: kind, size, time, name, a tab between
    find = f"find {_quoted(path)} -mindepth 1 -maxdepth 1 -printf '%y\\t%s\\t%T@\\t%f\\n'"
    lines = _run(cluster, f"{_must_exist(path)} && {find}")
    found = []
    for kind, size, at, name in (line.split("\t", 3) for line in sorted(lines, key=lambda x: x.split("\t")[-1])):
        folder = kind == "d"
        found.append(Entry(name=f"{name}/" if folder else name, size=None if folder else int(size), modified=float(at)))
    return found


def _shared_put(cluster: Cluster, sources: Sequence[Path], path: str, tell: Tell) -> int:
    passing = Place(bucket=cluster.card.bucket, key=f"{cluster.card.prefix}passing/{uuid.uuid4().hex}/")
    count = put(cluster, sources, passing, tell)
    folder = path if path.endswith("/") or len(sources) > 1 or path == "" else os.path.dirname(path)  # noqa: PTH120  a path of the node's
    copy = f'mkdir -p {_quoted(folder)} && cp -R "$TUTTI_JOB_FOLDER"/input/'
    if path.endswith("/") or len(sources) > 1 or path == "":
        copy += f". {_quoted(folder)}"
    else:
        copy += f"{shlex.quote(sources[0].name)} {_quoted(path)}"
    try:
        _run(cluster, copy, input=(str(passing),))
    finally:
        remove(cluster, passing, recursive=True)
    return count


def _shared_get(cluster: Cluster, path: str, target: Path, tell: Tell) -> int:
    passing = Place(bucket=cluster.card.bucket, key=f"{cluster.card.prefix}passing/{uuid.uuid4().hex}/")
    name = path.rstrip("/").rpartition("/")[2] or "shared"
    copy = f'cp -R {_quoted(path)} "$TUTTI_JOB_FOLDER"/output/{shlex.quote(name)}'
    _run(cluster, f"{_must_exist(path)} && {copy}", output=(str(passing),))
    fetched = Place(bucket=passing.bucket, key=f"{passing.key}node-0/{name}")
    try:
        return get(cluster, fetched, target, tell)
    finally:
        remove(cluster, passing, recursive=True)


def _shared_remove(cluster: Cluster, path: str, *, recursive: bool) -> int:
    if path.strip("/") in {"", "input", "output", "work"}:
        what = "is a folder that every job relies on; name what is to go"
        raise InputError([Problem(where=f"{SHARED_SCHEME}{path}", what=what)])
    _run(cluster, f"{_must_exist(path)} && rm {'-r ' if recursive else ''}-- {_quoted(path)}")
    return 1
