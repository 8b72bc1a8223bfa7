"""The shared folder, through a small job: an order travels to a node, its answer back, and files with them.

All passes through the group's own bucket, below `passing/`, and is removed when it has arrived. What was put there for
a job that did not come to its end stays for the next try, which sends only the rest; the stack removes it after a week.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tutti.data import bucket
from tutti.data.bucket import Object
from tutti.data.crew import Moved, each
from tutti.data.differences import Item
from tutti.data.onnode import key_of
from tutti.data.place import Entry, Tell, silent
from tutti.errors import NotFoundError, ServiceError
from tutti.job import Job
from tutti.jobs import ERRAND
from workload.contract import EVENT_MARK, PASSING, SHARED_SCHEME

if TYPE_CHECKING:
    from tutti.cluster import Cluster

PROGRAM: Final = "onnode.py"
# Ours last: an image of a user's own may have Python nowhere else.
COMMAND: Final = ("sh", "-c", f'PATH="$PATH:/opt/tutti/bin" exec python3 -I input/{PROGRAM}')
LEAST_S: Final = 3600
LAST_LINES: Final = 20  # of a job without an answer: among them what it died of
SLOWEST: Final = 10 << 20  # bytes a second, both ways of a node together: what the job's timeout counts with
Failed = list[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Passing:
    """A prefix of the bucket through which one errand passes: `in/` to the node, `out/` from it."""

    bucket: str
    prefix: str

    def key(self, *parts: str) -> str:
        return self.prefix + "/".join(parts)


def ls(cluster: Cluster, path: str) -> list[Entry]:
    """What is in a folder, or the one file of this name."""
    with _passing(cluster) as passing:
        found = _run(cluster, passing, {"do": "ls", "path": path})["entries"]
    return [Entry(name=name, size=size, modified=modified) for name, size, modified in found]


def walk(cluster: Cluster, path: str, sums: Mapping[str, int]) -> tuple[list[Item], list[str], list[str]]:
    """All files below a folder, with the MD5 of those in `sums` that have this size; notes; problems.

    Raises
    ------
    NotFoundError
        There is no such folder.
    """
    with _passing(cluster) as passing:
        answer = _run(cluster, passing, {"do": "walk", "path": path, "sums": dict(sums)})
    return _items(answer, answer["sums"]), answer["notes"], answer["problems"]


def rm(cluster: Cluster, path: str, *, recursive: bool) -> tuple[int, int]:
    """Remove; how many files, and how many a folder has that was not removed for lack of `recursive`."""
    with _passing(cluster) as passing:
        answer = _run(cluster, passing, {"do": "rm", "path": path, "recursive": recursive})
    return answer.get("removed", 0), answer.get("folder_of", 0)


@dataclass(frozen=True, kw_only=True)
class Errand:
    """Files from here to the shared folder.

    `path`: the folder that names are below. `about`: of two tries with the same, the second one goes on. `remove`: what
    goes before. `own_name`: of a single file, which gets it where its target turns out to be a folder.
    """

    path: str
    about: str
    remove: tuple[str, ...] = ()
    own_name: str = ""


def put(
    cluster: Cluster, errand: Errand, sources: Sequence[tuple[Path, Item]], *, moved: Moved, tell: Tell = silent
) -> Failed:
    """Files from here, each under its item's name, at once and whole; what failed, and why."""
    if not sources and not errand.remove:
        return []
    keys = {item.name: _state(item) for _, item in sources}
    name = hashlib.sha256(repr((cluster.user, errand.about)).encode()).hexdigest()[:32]
    passing = Passing(bucket=cluster.card.bucket, prefix=f"{cluster.card.prefix}{PASSING}{name}/")
    waiting = _waiting(cluster, passing, keys.values())
    if waiting:
        tell(f"{len(waiting)} files wait in the bucket from a try before")

    def send(one: tuple[Path, Item], moved: Moved) -> None:
        source, item = one
        bucket.send(cluster, source, Object(bucket=passing.bucket, key=passing.key("in/files", keys[item.name])), moved)
        _unchanged(source, item)

    pending = [one for one in sources if keys[one[1].name] not in waiting]
    failed = [(item.name, why) for (_, item), why in each(send, pending, moved)]
    lost = {name for name, _ in failed}
    sent = [item for _, item in sources if item.name not in lost]
    if sent or errand.remove:
        tell("a small job brings them to the shared folder")
        order = {
            "do": "put",
            "path": errand.path,
            "remove": errand.remove,
            "own_name": errand.own_name,
            "files": [[item.name, keys[item.name], item.modified_ns, item.executable] for item in sent],
        }
        failed += [(name, why) for name, why in _run(cluster, passing, order, _timeout(sent))["failed"]]
    _clear(cluster, passing)
    return failed


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """Files of the shared folder that lie in the bucket for the moment. `is_folder`: what was asked for is one."""

    items: tuple[Item, ...]
    notes: tuple[str, ...]
    is_folder: bool
    fetch: Callable[[Item, Path, Moved], None]


@contextmanager
def got(cluster: Cluster, path: str, wanted: Sequence[Item] | None = None) -> Iterator[Fetched]:
    """Files below `path` (all, or those `wanted`), to be fetched within the `with`.

    Raises
    ------
    NotFoundError
        Nothing is there.
    """
    order: dict[str, Any] = {"do": "get", "path": path}
    if wanted is not None:
        order["names"] = [item.name for item in wanted]
    with _passing(cluster) as passing:
        out = f"out-{uuid.uuid4().hex}"
        answer = _run(cluster, passing, order, _timeout(wanted or ()), out=out)
        arrived = {o["Key"] for o in bucket.objects(cluster, passing.bucket, passing.key(out, "node-0/files/"))}

        def key(item: Item) -> str:
            return passing.key(out, "node-0/files", key_of(item.name))

        def fetch(item: Item, file: Path, moved: Moved) -> None:
            if key(item) not in arrived:
                raise OSError("it changed while it was read, or could not be: sync again when it is complete")
            source = Object(bucket=passing.bucket, key=key(item))
            bucket.fetch(cluster, source, item, file, moved, program=item.executable)

        notes = (*answer["notes"], *answer["problems"])
        yield Fetched(items=tuple(_items(answer, {})), notes=notes, is_folder=answer["is_folder"], fetch=fetch)


def _items(answer: Mapping[str, Any], sums: Mapping[str, str]) -> list[Item]:
    return [
        Item(name=name, size=size, modified_ns=modified_ns, executable=executable, mark=sums.get(name, ""))
        for name, size, modified_ns, executable in answer["files"]
    ]


def _unchanged(file: Path, item: Item) -> None:
    """Raises where a file is no longer what its item says: its time would not be that of its content."""
    facts = file.stat()
    if (facts.st_size, facts.st_mtime_ns) != (item.size, item.modified_ns):
        raise OSError(f"{file} changed after it was looked at: not sent. Sync again when it is complete")


def _state(item: Item) -> str:
    """The key of a file in a certain state: what waits from a try before is known by it."""
    return hashlib.sha256(repr((item.name, item.size, item.modified_ns)).encode()).hexdigest()[:40]


def _timeout(items: Sequence[Item]) -> int:
    return max(LEAST_S, sum(item.size for item in items) // SLOWEST)


def _waiting(cluster: Cluster, passing: Passing, wanted: Iterable[str]) -> set[str]:
    """The files that are there already; what else is there goes."""
    head, keys = passing.key("in/files/"), set(wanted)
    there = [o["Key"] for o in bucket.objects(cluster, passing.bucket, passing.prefix)]
    bucket.delete(cluster, passing.bucket, [key for key in there if key.removeprefix(head) not in keys], silent)
    return {key.removeprefix(head) for key in there} & keys


@contextmanager
def _passing(cluster: Cluster) -> Iterator[Passing]:
    """A new prefix, empty again in the end."""
    prefix = f"{cluster.card.prefix}{PASSING}{uuid.uuid4().hex}/"
    passing = Passing(bucket=cluster.card.bucket, prefix=prefix)
    try:
        yield passing
    finally:
        _clear(cluster, passing)


def _clear(cluster: Cluster, passing: Passing) -> None:
    keys = [o["Key"] for o in bucket.objects(cluster, passing.bucket, passing.prefix)]
    bucket.delete(cluster, passing.bucket, keys, silent)


def _run(
    cluster: Cluster, passing: Passing, order: Mapping[str, Any], timeout: int = LEAST_S, *, out: str = "out"
) -> dict[str, Any]:
    """Have a node that has the shared folder do an order; its answer.

    Raises
    ------
    NotFoundError
        The order's path is not there.
    ServiceError
        The job gave no answer.
    """
    from tutti.run import Run  # noqa: PLC0415  Run knows much: only where a job is needed

    program = files("tutti.data").joinpath(PROGRAM).read_bytes()
    for name, body in ((PROGRAM, program), ("order.json", json.dumps(order).encode())):
        cluster.s3.put_object(Bucket=passing.bucket, Key=passing.key("in", name), Body=body)
    where = f"s3://{passing.bucket}/{passing.prefix}"
    job = Job(command=COMMAND, name=ERRAND, mpi="none", timeout=timeout, input=(f"{where}in/",), output=(where + out,))
    run = Run.submit(job, cluster)
    details = run.wait_or_end()
    key = passing.key(out, "node-0/answer.json")
    if not any(True for _ in bucket.objects(cluster, passing.bucket, key)):
        said = [line.line.text for line in run.tail(LAST_LINES) if not line.line.text.startswith(EVENT_MARK)]
        last = f": {said[-1]}" if said else ""
        raise ServiceError(
            f"the job that does it gave no answer and ended with code {details.code}{last}. More: tutti logs {run.id}"
        )
    answer: dict[str, Any] = json.loads(cluster.s3.get_object(Bucket=passing.bucket, Key=key)["Body"].read())
    if answer.get("missing"):
        raise NotFoundError(f"{SHARED_SCHEME}{order['path']}: nothing is there")
    return answer
