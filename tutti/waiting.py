"""Submissions that the cluster makes when jobs have ended (`--after ID:any`): left, looked at and taken back here.

`functions/follow.py` submits them; what both agree on is `tutti.core.waiting`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tutti import batch, capsule
from tutti.aws import is_aws_error, told
from tutti.core.refusal import OVERTAKEN
from tutti.core.waiting import Done, Folder, Kept, Next, Waiting, key, owner
from tutti.errors import NotFoundError, ServiceError, TuttiError
from tutti.patience import Patience, Tell
from workload.contents import RUNS
from workload.settings import variable

if TYPE_CHECKING:
    from tutti.cluster import Cluster

K = TypeVar("K", bound=Kept)
PREFIX: Final = "after-"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where one of a name lies."""

    folder: Folder
    user: str
    name: str


@told
def leave(cluster: Cluster, document: Mapping[str, Any], after: tuple[str, ...]) -> str:
    """Leave a submission with the cluster; the name under which it waits. `document`: signed."""
    now = time.time()
    if capsule.inputs_of(document):  # which the jobs that it waits for may change yet: the run says what it finds
        document = batch.with_variables(document, {variable("record"): batch.records(cluster.card)})
    name = f"{PREFIX}{document['jobName'][:40]}-{time.time_ns() // 1_000:x}"
    waiting = Waiting(
        name=name,
        user=cluster.user,
        after=after,
        request=document,
        runs=f"{cluster.card.prefix}{RUNS}",
        capsule=capsule.to_come(cluster, document),
        created=now,
    )
    at = key(cluster.card.waiting, Folder.WAITING, waiting.user, name)
    _put(cluster, at, waiting)  # no condition: a call that is sent again after a lost answer must not fail on itself
    return name


@told
def withdraw(cluster: Cluster, place: Place) -> bool:
    """Take one back; False where it is submitted at this moment, or was."""
    tag, waiting = _read(cluster, place, Waiting)
    if tag and not (waiting and waiting.next({}, time.time()) is Next.LEAVE):
        try:
            cluster.s3.delete_object(Bucket=cluster.card.bucket, Key=_key(cluster, place), IfMatch=tag)
        except Exception as error:
            code = getattr(error, "response", {}).get("Error", {}).get("Code")
            if not is_aws_error(error) or (code not in OVERTAKEN and _is_there(cluster, _key(cluster, place))):
                raise
    # Not what the call said: where its answer was lost, it was sent again, and met its own work.
    return find(cluster, place.name) is None


def submitted(
    cluster: Cluster, name: str, *, tell: Tell | None = None, sleep: Callable[[float], None] = time.sleep
) -> str:
    """Wait until a submission has become a job; its id. It becomes one whether anybody waits here or not.

    Raises
    ------
    ServiceError
        It was refused.
    NotFoundError
        It was taken back, or there never was one.
    """
    patience = Patience(cluster, tell=tell, sleep=sleep, answered=True)
    while True:
        place = patience.through(find, cluster, name)
        if place is None:
            raise NotFoundError(f"{name} was removed before it was submitted")
        if place.folder is not Folder.WAITING:
            return _job_of(patience.through(_done, cluster, place))
        sleep(cluster.poll_s)


def job_of(cluster: Cluster, word: str) -> str:
    """The job that a submission of this name has become; "" where there is none of this name.

    Raises
    ------
    NotFoundError
        It waits still.
    ServiceError
        It was refused.
    """
    place = find(cluster, word)
    if place is None:
        return ""
    if place.folder is Folder.WAITING:
        raise NotFoundError(
            f"{word} is not submitted yet. See it: tutti schedule ls; take it back: tutti schedule rm {word}"
        )
    return _job_of(_done(cluster, place))


@told
def find(cluster: Cluster, name: str) -> Place | None:
    """Where one of this name is. What became of it is written before it goes: in this order it is never missed."""
    if not (cluster.card.waiting and name.startswith(PREFIX)):
        return None
    for folder in (Folder.WAITING, Folder.SUBMITTED, Folder.REFUSED):
        if found := [p for p in _places(cluster, folder) if p.name == name]:
            return found[0]
    return None


@told
def to_come(cluster: Cluster) -> tuple[list[Waiting], list[Done]]:
    """What waits, and what was refused and not removed yet; oldest first."""
    if not cluster.card.waiting:
        return [], []
    waits = [_read(cluster, place, Waiting)[1] for place in _places(cluster, Folder.WAITING)]
    refused = [_read(cluster, place, Done)[1] for place in _places(cluster, Folder.REFUSED)]
    return (
        sorted((w for w in waits if w is not None), key=lambda w: w.created),
        sorted((d for d in refused if d is not None), key=lambda d: d.at),
    )


@told
def removable(cluster: Cluster) -> dict[str, Place]:
    """What waits or was refused, by name."""
    if not cluster.card.waiting:
        return {}
    return {p.name: p for folder in (Folder.REFUSED, Folder.WAITING) for p in _places(cluster, folder)}


@told
def remove(cluster: Cluster, place: Place) -> None:
    """Take back what waits, forget what was refused.

    Raises
    ------
    TuttiError
        It is submitted at this moment.
    """
    if place.folder is Folder.REFUSED:
        cluster.s3.delete_object(Bucket=cluster.card.bucket, Key=_key(cluster, place))
    elif not withdraw(cluster, place):
        raise TuttiError(f"{place.name} is submitted already: tutti status {place.name}, tutti cancel {place.name}")


@told
def _done(cluster: Cluster, place: Place) -> Done:
    _, done = _read(cluster, place, Done)
    if done is None:
        raise ServiceError(
            f"what became of {place.name} cannot be read: s3://{cluster.card.bucket}/{_key(cluster, place)}"
        )
    return done


def _job_of(done: Done) -> str:
    if done.reason:
        raise ServiceError(f"{done.name} was not submitted: AWS refused it: {done.reason}")
    return done.id


def _places(cluster: Cluster, folder: Folder) -> list[Place]:
    top = cluster.card.waiting
    pages = cluster.s3.get_paginator("list_objects_v2").paginate(Bucket=cluster.card.bucket, Prefix=f"{top}{folder}/")
    whose = [owner(top, folder, item["Key"]) for page in pages for item in page.get("Contents", [])]
    return [Place(folder=folder, user=user, name=name) for user, name in filter(None, whose)]


def _key(cluster: Cluster, place: Place) -> str:
    return key(cluster.card.waiting, place.folder, place.user, place.name)


def _is_there(cluster: Cluster, at: str) -> bool:
    """To who may list a prefix alone, S3 says of a key that is gone that it is not allowed: so it is listed."""
    listed = cluster.s3.list_objects_v2(Bucket=cluster.card.bucket, Prefix=at, MaxKeys=1).get("Contents", [])
    return any(item["Key"] == at for item in listed)


def _read(cluster: Cluster, place: Place, kind: type[K]) -> tuple[str, K | None]:
    """ETag and content; None for what cannot be read, or has gone."""
    at = _key(cluster, place)
    try:
        got = cluster.s3.get_object(Bucket=cluster.card.bucket, Key=at)
    except Exception as error:
        if is_aws_error(error) and not _is_there(cluster, at):
            return "", None
        raise
    try:
        return got["ETag"], kind.from_text(got["Body"].read().decode(), user=place.user, name=place.name)
    except ValueError:
        return got["ETag"], None


def _put(cluster: Cluster, at: str, kept: Kept, **condition: Any) -> None:
    text = kept.to_text().encode()
    cluster.s3.put_object(Bucket=cluster.card.bucket, Key=at, Body=text, ContentType="application/json", **condition)
