"""A job's checkpoints as the client sees them: where they lie, and what the program that writes them is asked."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tutti.errors import InputError, Problem, TuttiError
from tutti.home import Home
from tutti.resubmit import CHECKPOINT
from workload.contract import SHARED_SCHEME, Variable
from workload.manifest import LOCK_KEY
from workload.vault import control, inventory, lock
from workload.vault.store import S3_SCHEME, Store, open_store

if TYPE_CHECKING:
    from tutti.cluster import Cluster

POLL_S: Final = 0.5


class NoAnswerError(TuttiError):
    """The program did not answer a request in time."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where checkpoints lie, and the job that was named, if one was."""

    store: Store
    job: str = ""
    ended: bool = False


def is_place(word: str) -> bool:
    """Whether a user's word is a place and not a job: jobs' names and ids have no slash and no colon."""
    return "/" in word or word.startswith((S3_SCHEME, SHARED_SCHEME, "."))


def find(cluster: Callable[[], Cluster], word: str) -> Place:
    """The checkpoints of a job (its id, the start of it, or its name), or those at a place.

    Raises
    ------
    InputError
        The job keeps none, or they lie where this machine cannot look.
    NotFoundError
        No such job.
    """
    if is_place(word):
        return Place(store=_store(cluster, word))
    from tutti.listing import describe_one, resolve  # noqa: PLC0415  a place needs no job

    job = describe_one(cluster(), resolve(cluster(), word))
    target = job.environment.get(CHECKPOINT, "")
    if not target:
        what = "was submitted without --checkpoint: it keeps none that tutti knows of"
        raise InputError([Problem(where=job.id, what=what, remedy="Name the place: tutti checkpoints ls s3://...")])
    return Place(store=_store(cluster, target), job=job.id, ended=job.ended)


def _store(cluster: Callable[[], Cluster], target: str) -> Store:
    try:
        if target.startswith(S3_SCHEME):
            from workload.vault.s3 import S3Store  # noqa: PLC0415  boto3: only where it is needed

            return S3Store.open(target, client=cluster().s3)
        if target.startswith(SHARED_SCHEME):
            return open_store(target, _shared(cluster, target))
        return open_store(target)
    except ValueError as error:
        raise InputError([Problem(where=target, what=str(error))]) from error


def _shared(cluster: Callable[[], Cluster], target: str) -> dict[str, str]:
    if shared := os.environ.get(Variable.SHARED):
        return {Variable.SHARED: shared}
    if not cluster().is_twin:
        what = f"lies on the file system of cluster {cluster().card.stack}, which this machine does not see"
        remedy = f"Run this where it is mounted, with {Variable.SHARED} set; or keep checkpoints at s3://..."
        raise InputError([Problem(where=target, what=what, remedy=remedy)])
    return {Variable.SHARED: str(Home.from_environment(os.environ).twin / "shared")}


def ask(place: Place, verb: control.Verb, *, timeout: float) -> control.Answer:
    """Ask the running program to save, or to stop, and wait for its answer.

    Raises
    ------
    InputError
        The job has ended.
    NoAnswerError
        No answer in `timeout` seconds; the request stays.
    """
    if place.ended:
        what = "has ended: nobody is there to save anything"
        raise InputError([Problem(where=place.job, what=what, remedy=f"See tutti checkpoints ls {place.job}")])
    request = control.ask(place.store, verb, place.job)
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        answer = control.answer(place.store)
        if answer is not None and answer.id == request.id:
            return answer
        time.sleep(POLL_S)
    raise NoAnswerError(
        f"no answer in {timeout:.0f} s. The request stays at {place.store.target} and is obeyed when the program looks "
        "there; a program looks only if it saves with workload.checkpoint",
    )


@dataclass(frozen=True, kw_only=True)
class Damaged:
    """The checkpoint that was spoilt, and the piece of it in which a bit was turned."""

    target: str
    step: int
    piece: str


def damage(place: Place) -> Damaged:
    """Turn one bit of the newest good checkpoint, as a failing disk does: its size stays, its checksum does not.

    Raises
    ------
    InputError
        There is no good one.
    """
    for found in inventory.survey(place.store):
        pieces = (
            [p for array in found.manifest.arrays.values() for p in array.pieces if p.size] if found.manifest else []
        )
        if not found.good or not pieces:
            continue
        key = f"{found.folder}/{pieces[0].name}"
        if (entry := place.store.get(key)) is not None:
            spoilt = bytearray(entry.data)
            spoilt[len(spoilt) // 2] ^= 1
            place.store.put(key, bytes(spoilt))
            return Damaged(target=place.store.target, step=found.step, piece=key)
    what = "holds no good checkpoint to damage"
    raise InputError([Problem(where=place.store.target, what=what, remedy="Wait for one: tutti checkpoints ls")])


def unlock(place: Place, is_running: Callable[[str], bool], *, force: bool) -> lock.Owner | None:
    """Remove the lock; returns who held it, None where there was none.

    Raises
    ------
    InputError
        The holder may still run, and `force` was not given.
    """
    entry = place.store.get(LOCK_KEY)
    if entry is None:
        return None
    owner = lock.holder(entry)
    if not force and not (owner is not None and owner.job and not is_running(owner.job)):
        what = f"is locked by {owner or 'a program that left no name'}, which may still run"
        raise InputError([Problem(where=place.store.target, what=what, remedy="If you know that it does not: --force")])
    place.store.delete([LOCK_KEY])
    return owner
