"""Where things are and what they are called: URIs, names, parts. Pure."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from workload.contract import SHARED_SCHEME, resolve_shared

S3_SCHEME: Final = "s3://"
MIB: Final = 1 << 20
PART_BYTES: Final = 8 * MIB
"""The least part of a multipart upload that we make (S3 demands 5 MiB)."""
EXECUTABLE: Final = "tutti-executable"
"""User metadata of an object that is a program ("1"), for S3 keeps no modes; `tutti submit --upload` sets it too."""
MAX_PARTS: Final = 10_000  # S3's limit of one multipart upload
MAX_OBJECT_BYTES: Final = 5 << 40  # S3's limit of one object: 5 TiB
MAX_KEY_BYTES: Final = 1024  # S3's limit of one key, in UTF-8


class StagingError(Exception):
    """An input or output could not be moved (exit code 212). `problems` has them all, one a line in `str()`."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, kw_only=True)
class S3Place:
    """An object, or all that is below a prefix (`key` is empty or ends in a slash)."""

    bucket: str
    key: str

    @property
    def is_prefix(self) -> bool:
        return self.key == "" or self.key.endswith("/")

    def __str__(self) -> str:
        return f"{S3_SCHEME}{self.bucket}/{self.key}"


@dataclass(frozen=True, kw_only=True)
class SharedPlace:
    """A path on the shared folder. With a slash at the end, what is in the folder and not the folder itself."""

    uri: str
    path: str

    @property
    def is_contents(self) -> bool:
        return self.path.endswith("/")

    def __str__(self) -> str:
        return self.uri


Place = S3Place | SharedPlace


def read_place(uri: str, shared: str | None) -> Place:
    """The place that `uri` names; `shared` is the folder that `shared:` stands for, None where there is none.

    Raises
    ------
    ValueError
        Another scheme, no bucket, a path that leaves the shared folder, or no shared folder.
    """
    if uri.startswith(S3_SCHEME):
        bucket, _, key = uri.removeprefix(S3_SCHEME).partition("/")
        if not bucket:
            raise ValueError(f"{uri}: names no bucket; write s3://BUCKET/KEY or s3://BUCKET/PREFIX/")
        return S3Place(bucket=bucket, key=key)
    if uri.startswith(SHARED_SCHEME):
        path = resolve_shared(uri, {} if shared is None else {"TUTTI_SHARED": shared})
        return SharedPlace(uri=uri, path=path)
    raise ValueError(f"{uri}: got neither s3://BUCKET/KEY nor {SHARED_SCHEME}PATH, and nothing else is allowed")


def name_below(key: str, prefix: str) -> str:
    """The name that the object `key` gets as a file, `prefix` taken off.

    Raises
    ------
    ValueError
        A name that is no path below a folder: it would be lost or land elsewhere.
    """
    name = key.removeprefix(prefix)
    parts = name.removesuffix("/").split("/")
    if not name or any(part in {"", ".", ".."} for part in parts) or "\0" in name:
        raise ValueError(f"the key {key!r} is no file name: empty, '.', '..' and NUL are not allowed in it")
    return name


def clashes(names: Iterable[tuple[str, str]]) -> list[str]:
    """What cannot lie in one folder: `(name, where it comes from)` twice, or a file where another needs a folder.

    A name that ends in a slash is a folder: it clashes with a file of that name alone.
    """
    problems: list[str] = []
    files: dict[str, str] = {}
    folders: dict[str, str] = {}
    for name, origin in names:
        if not name.endswith("/"):
            if name in files and files[name] != origin:
                problems.append(f"{files[name]} and {origin} would both be {name!r}: rename one, or use a prefix")
            files.setdefault(name, origin)
        for parent in PurePosixPath(name + "x" if name.endswith("/") else name).parents:
            folders.setdefault(str(parent), origin)
    problems += [
        f"{files[name]} would be the file {name!r}, but {folders[name]} needs a folder there"
        for name in files
        if name in folders
    ]
    return problems


def part_bytes(size: int) -> int:
    """The size of the parts in which an object of `size` bytes is uploaded: whole MiB, at most `MAX_PARTS` of them."""
    return max(PART_BYTES, math.ceil(math.ceil(size / MAX_PARTS) / MIB) * MIB)


def spans(size: int, part: int) -> list[tuple[int, int]]:
    """The parts of `size` bytes as (offset, length); one empty part where there is nothing."""
    return [(offset, min(part, size - offset)) for offset in range(0, size, part)] or [(0, 0)]


def for_people(size: float) -> str:
    """`size` bytes for people, decimal: "1.5 GB"."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
