"""Requests to a running program, beside its checkpoints. Standard library only.

Who asks puts `control.json`; the program answers in `answer.json` with the request's id, and never obeys one twice:
a `stop` that was obeyed does not stop the job that goes on from its checkpoint.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Self

from workload.manifest import ANSWER_KEY, CONTROL_KEY
from workload.vault.store import Store


class Verb(StrEnum):
    SAVE = "save"  # save and go on
    STOP = "stop"  # save and exit with 213


@dataclass(frozen=True, kw_only=True)
class Request:
    """job: whom it is for, without `#N`; "" for whoever runs here. Of a job that is gone, it binds no successor."""

    verb: Verb
    id: str
    job: str = ""

    @classmethod
    def new(cls, verb: Verb, job: str = "") -> Self:
        return cls(verb=verb, id=secrets.token_hex(8), job=job)

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """step: where the program was. saved: whether a checkpoint of it was committed. message: for people."""

    id: str
    verb: Verb
    step: int
    saved: bool
    message: str

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode()


def ask(store: Store, verb: Verb, job: str = "") -> Request:
    """Put a request; it replaces one that was not obeyed yet."""
    request = Request.new(verb, job)
    store.make_folder("")
    store.put(CONTROL_KEY, request.to_bytes())
    return request


def pending(store: Store, job: str = "") -> Request | None:
    """The request that waits for an answer of `job`."""
    entry = store.get(CONTROL_KEY)
    if entry is None:
        return None
    try:
        data = json.loads(entry.data)
        request = Request(verb=Verb(data["verb"]), id=str(data["id"]), job=str(data.get("job", "")))
    except (ValueError, TypeError, KeyError):
        return None  # not ours; a program does not stop because of a file that nobody can read
    if request.job not in {"", job}:
        return None
    given = answer(store)
    return None if given is not None and given.id == request.id else request


def answer(store: Store) -> Answer | None:
    """The last answer."""
    entry = store.get(ANSWER_KEY)
    if entry is None:
        return None
    try:
        data = json.loads(entry.data)
        return Answer(**{**data, "verb": Verb(data["verb"])})
    except (ValueError, TypeError, KeyError):
        return None
