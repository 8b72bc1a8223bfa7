"""A checkpoint's manifest: what it holds, where, and the checksum of every piece. Needs the standard library alone.

A target (a folder or an S3 prefix) holds:

    lock.json                          who writes here (`workload.vault.lock`)
    control.json  answer.json          a request to the running program, and its answer (`workload.vault.control`)
    step-000000001200-1a2b3c4d/        one checkpoint: the pieces of its arrays, one file or object each ...
        u.r00003.000
        manifest.json                  ... and, written last, this: without it the folder is no checkpoint

A piece is the plain bytes of a part of an array in C order: `numpy.fromfile` reads one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

try:  # what the programs come with: the processor's own instructions, ten times as fast as zlib's tables
    from zlib_ng.zlib_ng import crc32
except ImportError:
    from zlib import crc32

FORMAT: Final = "tutti-checkpoint"
VERSION: Final = 1
MANIFEST_NAME: Final = "manifest.json"
LOCK_KEY: Final = "lock.json"
CONTROL_KEY: Final = "control.json"
ANSWER_KEY: Final = "answer.json"
ARRAY_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_FOLDER: Final = re.compile(r"step-(?P<step>\d{12})-(?P<token>[0-9a-f]{8})")

Json = Any  # what json.loads gives


class ManifestError(ValueError):
    """A manifest that must not be believed: cut, changed, or of a version that this program does not know."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A box of an array in one file or object of the checkpoint's folder.

    name: the file's, in the folder. offset, shape: the box, in elements of the global array. size: bytes.
    crc32: CRC-32 of those bytes as eight hex digits.
    """

    name: str
    offset: tuple[int, ...]
    shape: tuple[int, ...]
    size: int
    crc32: str


@dataclass(frozen=True, kw_only=True)
class Array:
    """A global array: `dtype` as numpy's `dtype.str` ("<f8"), `shape` in elements, and disjoint pieces that fill it."""

    dtype: str
    shape: tuple[int, ...]
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """One committed checkpoint.

    written: Unix time. seconds: what the save took. job, attempt: who saved it. case: what another run must agree on
    to go on from here. notes: the program's own small values.
    """

    folder: str
    step: int
    written: float
    seconds: float
    ranks: int
    job: str
    attempt: int
    arrays: Mapping[str, Array]
    case: Mapping[str, Json] = field(default_factory=dict)
    notes: Mapping[str, Json] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all pieces."""
        return sum(piece.size for array in self.arrays.values() for piece in array.pieces)

    def keys(self) -> list[str]:
        """The keys of all pieces, below the target."""
        return [f"{self.folder}/{piece.name}" for array in self.arrays.values() for piece in array.pieces]

    def to_bytes(self) -> bytes:
        body = asdict(self)
        return canonical({"format": FORMAT, "version": VERSION, "crc32": checksum(canonical(body)), "checkpoint": body})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The manifest in `data`.

        Raises
        ------
        ManifestError
            It is cut, or changed since it was written, or of another format or version.
        """
        try:
            outer = json.loads(data)
            written = outer["format"], outer["version"]
            body = outer["checkpoint"]
            found, expected = checksum(canonical(body)), outer["crc32"]
        except (ValueError, KeyError, TypeError) as error:
            raise ManifestError(f"the manifest cannot be read ({type(error).__name__}: {error})") from error
        if written != (FORMAT, VERSION):
            raise ManifestError(f"format and version are {written}; this program reads {(FORMAT, VERSION)}")
        if found != expected:
            raise ManifestError(f"the manifest's checksum is {found}, it should be {expected}")
        return cls(**{**body, "arrays": {name: _array(array) for name, array in body["arrays"].items()}})


def canonical(body: Json) -> bytes:
    """`body` as JSON, always in the same bytes: sorted keys, no spaces, ASCII."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def checksum(data: bytes | memoryview, before: str = "00000000") -> str:
    """CRC-32 of `data` (after bytes whose CRC-32 is `before`), as eight hex digits.

    CRC-32, because every Python has it, S3 checks the same one itself at each upload, and it finds every
    error burst of up to 32 bits; it is against accidents, not against an attacker.
    """
    return f"{crc32(data, int(before, 16)):08x}"


def folder_name(step: int, token: str) -> str:
    """The folder of the checkpoint of `step`; `token` (8 hex digits) keeps two attempts at one step apart."""
    name = f"step-{step:012d}-{token}"
    if step < 0 or not _FOLDER.fullmatch(name):
        raise ValueError(f"no folder name for step {step}, token {token!r}; allowed: 0 to 10^12 - 1, 8 hex digits")
    return name


def is_folder_name(name: str) -> bool:
    return _FOLDER.fullmatch(name) is not None


def manifest_key(folder: str) -> str:
    return f"{folder}/{MANIFEST_NAME}"


def folders_in(keys: Sequence[str]) -> dict[str, bool]:
    """The checkpoint folders that `keys` lie in, newest step first: folder -> whether it has a manifest."""
    found: dict[str, bool] = {}
    for key in keys:
        folder, _, name = key.partition("/")
        if is_folder_name(folder):
            found[folder] = found.get(folder, False) or name == MANIFEST_NAME
    return dict(sorted(found.items(), reverse=True))


def step_of(folder: str) -> int:
    match = _FOLDER.fullmatch(folder)
    if not match:
        raise ValueError(f"{folder!r} is not a checkpoint's folder; allowed: step-<12 digits>-<8 hex digits>")
    return int(match["step"])


def _array(data: Mapping[str, Json]) -> Array:
    return Array(
        dtype=data["dtype"],
        shape=tuple(data["shape"]),
        pieces=tuple(
            Piece(**{**piece, "offset": tuple(piece["offset"]), "shape": tuple(piece["shape"])})
            for piece in data["pieces"]
        ),
    )
