"""Where checkpoints lie: a folder (local or shared) or an S3 prefix, behind one small interface.

No MPI and no numpy here: the client lists and verifies with it. boto3 is imported only for an `s3://` target.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from workload.contract import SHARED_SCHEME, resolve_shared

S3_SCHEME = "s3://"


class StoreError(Exception):
    """The store could not do what was asked: disk full, no permission, S3 not answering. What lies there is unknown."""


class LostError(Exception):
    """A key is not there, or holds fewer bytes than it should."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What a key holds: `age` in seconds since it was last written or touched; `tag` changes with every write."""

    data: bytes
    age: float
    tag: str


class Store(Protocol):
    """Keys are relative, with `/`. All methods raise StoreError where the store fails; none of them is collective."""

    @property
    def target(self) -> str:
        """How people write it: a path or s3://BUCKET/PREFIX."""
        ...

    @property
    def writers(self) -> int:
        """How many pieces one process should write at a time."""
        ...

    @property
    def readers(self) -> int:
        """How many pieces one process should read at a time."""
        ...

    def writing(self, folder: str) -> AbstractContextManager[Callable[[str, memoryview], str]]:
        """Gives `write(name, data)`, which writes a piece into `folder` and returns its checksum; threads may call it.

        When the context is left without an exception, all pieces and their names survive a power cut.
        """
        ...

    def read_piece(self, key: str, into: memoryview) -> str:
        """Fill `into` from `key` and return its checksum.

        Raises
        ------
        LostError
            The key is not there or its size is not that of `into`.
        """
        ...

    def make_folder(self, folder: str) -> None: ...

    def put(self, key: str, data: bytes) -> None:
        """Write `data` whole or not at all: a reader sees the old bytes or the new ones."""
        ...

    def put_new(self, key: str, data: bytes) -> bool:
        """As `put`, only where `key` is not there yet; False where it is. Of several writers, one gets True."""
        ...

    def take_over(self, key: str, seen: Entry, data: bytes) -> bool:
        """As `put`, only where `key` still is as `seen`; False where somebody else was quicker."""
        ...

    def touch(self, key: str, seen: Entry) -> bool:
        """Set the age of `key` to 0 where it is still as `seen`; False where it is not."""
        ...

    def get(self, key: str) -> Entry | None: ...

    def list(self) -> Mapping[str, int]:
        """Every key in checkpoint folders and at the top -> its size in bytes."""
        ...

    def delete(self, keys: Sequence[str]) -> None:
        """Remove `keys` and folders that this leaves empty. A key that is not there is no error."""
        ...


def open_store(target: str, environ: Mapping[str, str] | None = None) -> Store:
    """The store at `target`: `s3://BUCKET/PREFIX`, `shared:PATH`, or a folder's path. Creates and reads nothing.

    Raises
    ------
    ValueError
        No such place can be.
    """
    if not target:
        raise ValueError("no place for checkpoints: got ''; allowed: s3://BUCKET/PREFIX, shared:PATH, or a folder")
    if target.startswith(S3_SCHEME):
        # Not at the top: boto3 takes half a second, and a folder needs none of it.
        from workload.vault.s3 import S3Store  # noqa: PLC0415

        return S3Store.open(target)
    from workload.vault.folder import FolderStore  # noqa: PLC0415  it imports this module

    if target.startswith(SHARED_SCHEME):
        target = resolve_shared(target, os.environ if environ is None else environ)
    return FolderStore(target)
