"""Where files are, as a user says it: `s3://BUCKET/KEY`, `shared:PATH`, or `PATH` below the group's prefix."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tutti.errors import InputError, Problem
from workload.contract import SHARED_FOLDERS, SHARED_SCHEME

if TYPE_CHECKING:
    from workload.contract import Card

S3_SCHEME: Final = "s3://"
Tell = Callable[[str], None]


def silent(_: str) -> None:
    """Tells nobody."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where files are: `bucket` and `key`, or `shared`, a path below the shared folder."""

    bucket: str = ""
    key: str = ""
    shared: str | None = None

    def __str__(self) -> str:
        return f"{SHARED_SCHEME}{self.shared}" if self.shared is not None else f"{S3_SCHEME}{self.bucket}/{self.key}"

    @property
    def prefix(self) -> str:
        """The key as that of a folder."""
        return self.key if self.key.endswith("/") or not self.key else f"{self.key}/"

    def is_all(self, card: Card) -> bool:
        """Whether all that the group has is below it, or what every job relies on."""
        if self.shared is not None:
            return self.shared.strip("/") in {"", *SHARED_FOLDERS}
        return self.bucket == card.bucket and card.prefix.startswith(self.key)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file, or a folder (`size` is None)."""

    name: str
    size: int | None
    modified: float | None = None


def is_far(text: str) -> bool:
    """Whether these words say that they mean a place, and no path here."""
    return text.startswith((S3_SCHEME, SHARED_SCHEME))


def place_of(card: Card, text: str) -> Place:
    """The place that a user's words mean.

    Raises
    ------
    InputError
        A path that leaves the group's own.
    """
    if ".." in text.removeprefix(SHARED_SCHEME).split("/"):
        raise InputError([Problem(where=text, what="leaves the group's own place; allowed are paths without '..'")])
    if text.startswith(SHARED_SCHEME):
        return Place(shared=_plain(text.removeprefix(SHARED_SCHEME)))
    if text.startswith(S3_SCHEME):
        bucket, _, key = text.removeprefix(S3_SCHEME).partition("/")
        return Place(bucket=bucket, key=key)
    return Place(bucket=card.bucket, key=card.prefix + text.lstrip("/"))


def _plain(path: str) -> str:
    """A path below the shared folder by its one spelling: `./input//.` is `input/`. Its last slash says: a folder."""
    normal = posixpath.normpath(path.lstrip("/"))
    if normal == ".":
        return ""
    return normal + "/" * path.endswith(("/", "/."))
