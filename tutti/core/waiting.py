"""Submissions that wait for the end of jobs (`--after ID:any`): what is kept of one, and what comes next. Pure.

The desk writes `waiting/USER/NAME.json` below the group's place, a function submits it: both read it here. While it
waits it is changed, and taken back, by conditional calls alone: of two who would act one does. Then it is gone, and
`submitted/USER/NAME.json` or `refused/USER/NAME.json` says what became of it. Whose it is says the key, not the text:
IAM lets people write below their own id alone. Times are seconds since 1970.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final, Self

from workload.contract import Tag

ENDED: Final = frozenset({"SUCCEEDED", "FAILED"})
# Who has claimed and not finished by then is dead: more than the function may run, less than Lambda waits until it runs
# one that failed again (a minute).
LEASE_S: Final = 45.0
CLOCKS_S: Final = 60.0  # by so much the clock of who claimed and Batch's may differ
_FORMAT: Final = 1


class Folder(StrEnum):
    WAITING = "waiting"
    SUBMITTED = "submitted"
    REFUSED = "refused"


class Next(StrEnum):
    """What is to be done with a waiting submission now."""

    WAIT = "wait"  # a job that it waits for has not ended
    LEAVE = "leave"  # somebody submits it at this moment
    SUBMIT = "submit"
    FIND = "find"  # who claimed it died: submit it unless there is a job of it already


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What lies at a key that says whose it is and its name."""

    name: str
    user: str
    after: tuple[str, ...]

    def to_text(self) -> str:
        in_the_key = {"name", "user"}
        return json.dumps({"format": _FORMAT, **{k: v for k, v in asdict(self).items() if k not in in_the_key}})

    @classmethod
    def from_text(cls, text: str, *, user: str, name: str) -> Self:
        """What lies at the key of `user` and `name`.

        Raises
        ------
        ValueError
            It is none of this format.
        """
        data = json.loads(text)
        if not isinstance(data, dict) or data.pop("format", None) != _FORMAT:
            raise ValueError(f"its format is not {_FORMAT}")
        try:
            after = data.pop("after")
            return cls(name=name, user=user, after=tuple(map(str, after)), **data)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"it is not complete: {error}") from error


@dataclass(frozen=True, kw_only=True)
class Waiting(Kept):
    """`request`: SubmitJob's, but for the tags of whose it is and of its name. `runs`: where capsules lie.

    `capsule`: what the desk knew of the run, without the job's id; None where that could not be had.
    """

    request: Mapping[str, Any]
    runs: str
    capsule: Mapping[str, Any] | None
    created: float
    claimed: float | None = None

    def __post_init__(self) -> None:
        good = isinstance(self.request, dict) and isinstance(self.request.get("tags", {}), dict)
        if not good or not {"jobName", "jobQueue"} <= self.request.keys():
            raise TypeError("its request is none")
        if not isinstance(self.capsule, dict | None):
            raise TypeError("its capsule is none")

    def next(self, states: Mapping[str, str], now: float) -> Next:
        """`states`: of the jobs that it waits for, as Batch tells them; one that Batch has forgotten has ended."""
        if self.claimed is not None:
            return Next.FIND if now - self.claimed > LEASE_S else Next.LEAVE
        return Next.WAIT if self.unfinished(states) else Next.SUBMIT

    def unfinished(self, states: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(job for job in self.after if states.get(job, "FAILED") not in ENDED)

    def submission(self) -> dict[str, Any]:
        """The keyword arguments of SubmitJob."""
        tags = {**self.request.get("tags", {}), Tag.USER.value: self.user, Tag.WAITED.value: self.name}
        return {**self.request, "tags": tags}

    def capsule_of(self, job: str, now: float) -> dict[str, Any] | None:
        if self.capsule is None:
            return None
        return {**self.capsule, "job": job, "submitted": now, "request": self.submission()}


@dataclass(frozen=True, kw_only=True)
class Done(Kept):
    """What became of one: `id` of the job, or the `reason` why it was refused. `job`: the job's name."""

    job: str
    at: float
    id: str = ""
    reason: str = ""

    @property
    def folder(self) -> Folder:
        return Folder.REFUSED if self.reason else Folder.SUBMITTED


def key(place: str, folder: Folder, user: str, name: str) -> str:
    """Where one lies in the bucket. `place` ends in "/"."""
    return f"{place}{folder}/{user}/{name}.json"


def owner(place: str, folder: Folder, found: str) -> tuple[str, str] | None:
    """User and name of a key; None for what is no such key: with more parts, another could have written it."""
    parts = found.removeprefix(f"{place}{folder}/").split("/")
    if not found.startswith(f"{place}{folder}/") or len(parts) != 2 or not all(parts):
        return None
    user, file = parts
    return (user, file.removesuffix(".json")) if file.endswith(".json") else None


def capsule_key(runs: str, job: str) -> str:
    """Where the capsule of a job lies. `runs`: where all do, ends in "/"."""
    return f"{runs}{job}.json"
