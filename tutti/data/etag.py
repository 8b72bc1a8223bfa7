"""Whether a file's content is an object's, by the ETag that S3 lists.

An object that was put whole has the MD5 of its content there; one of N parts the MD5 of its parts' MD5s, a dash and N.
With KMS or customer keys it says nothing (S3's API reference, Object); then no content equals it.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final

MIB: Final = 1 << 20
PART_MIB: Final = (8, 5, 16, 32, 64, 128, 256, 512, 10, 25, 50, 100, 1024)  # what clients take, ours first
_PARTS: Final = re.compile(r"[0-9a-f]{32}-([1-9][0-9]*)")


def is_content(file: Path, etag: str) -> bool:
    """Whether the ETag is certainly this content's. Reads the file once for each size that the parts can have had."""
    match = _PARTS.fullmatch(etag)
    if match is None:
        return len(etag) == 32 and _digests(file, None)[0].hex() == etag
    return any(etag_of_parts(_digests(file, part)) == etag for part in part_sizes(file.stat().st_size, int(match[1])))


def part_sizes(size: int, parts: int) -> list[int]:
    """The sizes in bytes that the parts of an object can have had."""
    return [mib * MIB for mib in PART_MIB if -(-size // (mib * MIB)) == parts]


def etag_of_parts(digests: list[bytes]) -> str:
    """The ETag of an object whose parts have these MD5 digests."""
    return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}"


def _digests(file: Path, part: int | None) -> list[bytes]:
    found: list[bytes] = []
    with file.open("rb") as data:
        while True:
            digest, left = hashlib.md5(usedforsecurity=False), part
            begun = data.tell()
            while chunk := data.read(MIB if left is None else min(MIB, left)):
                digest.update(chunk)
                left = None if left is None else left - len(chunk)
            if data.tell() == begun and found:
                return found
            found.append(digest.digest())
            if part is None:
                return found
