"""What can go wrong at the desk, as exceptions; each knows the exit code with which the command line ends.

TuttiError
|-- InputError         2  what the user gave is wrong: every problem at once, nothing was sent
|-- NotFoundError      3  no such job, cluster or file
|-- NotAllowedError    4  credentials missing, expired or without the permission
|-- UnreachableError   5  the endpoint does not answer
`-- ServiceError       6  AWS refused for another reason
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import IntEnum
from typing import ClassVar


class Exit(IntEnum):
    """Exit codes of the command line itself. `tutti wait` and `submit --wait` end with the job's own."""

    DONE = 0
    FAILED = 1
    INPUT = 2
    NOT_FOUND = 3
    NOT_ALLOWED = 4
    UNREACHABLE = 5
    SERVICE = 6
    INTERRUPTED = 130
    PIPE = 141


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing wrong with what the user gave: where it stands, what is wrong, and what to do."""

    where: str
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        end = "" if head.endswith(("?", ".")) else "."
        return f"{head}{end} {self.remedy}" if self.remedy else head


class TuttiError(Exception):
    """Base of all errors that are told to the user in words, without a traceback."""

    exit_code: ClassVar[Exit] = Exit.FAILED


class InputError(TuttiError):
    """Input that is refused before anything is sent. `problems` holds all of them."""

    exit_code = Exit.INPUT

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(p) for p in problems))
        self.problems = tuple(problems)


class NotFoundError(TuttiError):
    exit_code = Exit.NOT_FOUND


class NotAllowedError(TuttiError):
    exit_code = Exit.NOT_ALLOWED


class UnreachableError(TuttiError):
    exit_code = Exit.UNREACHABLE


class ServiceError(TuttiError):
    exit_code = Exit.SERVICE


def likely(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` where a known word is near, else nothing."""
    near = get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
