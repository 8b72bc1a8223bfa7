"""What an object's ETag says of its content. Pure.

S3: "The ETag may or may not be an MD5 digest of the object data" (API reference, Object). It is one for an object that
was put whole and is encrypted by S3's own keys or not at all; a multipart upload has the MD5 of its parts' MD5s, a dash
and the number of parts; with KMS or customer keys it says nothing.
"""

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

CHUNK: Final = 1 << 20
ETAG: Final = re.compile(r"(?P<digest>[0-9a-f]{32})(?:-(?P<parts>[1-9][0-9]*))?")
OPAQUE: Final = ("aws:kms", "aws:kms:dsse", "customer")


@dataclass(frozen=True, kw_only=True)
class Etag:
    """A digest that content can be checked against: of all of it (`parts` is None), or of its parts' digests."""

    digest: str
    parts: int | None

    def matches(self, digests: Sequence[bytes]) -> bool:
        """Whether content whose parts have these MD5 digests, in order, is the object's."""
        return self == etag_of(digests, multipart=self.parts is not None)


def read_etag(etag: str, encryption: str = "") -> Etag | None:
    """The checkable part of an ETag; None where it says nothing of the content. `encryption` as S3 names it."""
    match = ETAG.fullmatch(etag.strip('"'))
    if match is None or encryption in OPAQUE:
        return None
    return Etag(digest=match["digest"], parts=int(match["parts"]) if match["parts"] else None)


def etag_of(digests: Sequence[bytes], *, multipart: bool) -> Etag:
    """The ETag that S3 gives to content whose parts have these MD5 digests.

    Raises
    ------
    ValueError
        An object that is not multipart has exactly one digest.
    """
    if multipart:
        return Etag(digest=md5(b"".join(digests)).hexdigest(), parts=len(digests))
    (digest,) = digests
    return Etag(digest=digest.hex(), parts=None)


def md5(data: bytes = b"") -> "hashlib._Hash":
    # Against accidents, not attackers; so also where a FIPS mode forbids MD5 for security.
    return hashlib.md5(data, usedforsecurity=False)


def file_digest(descriptor: int, offset: int, length: int, seen: Callable[[int], None] | None = None) -> bytes:
    """MD5 of `length` bytes of a file from `offset`; `seen` is called after each chunk.

    Raises
    ------
    EOFError
        If the file ends before.
    """
    digest = md5()
    end = offset + length
    while offset < end:
        chunk = os.pread(descriptor, min(CHUNK, end - offset), offset)
        if not chunk:
            raise EOFError(f"the file ends at {offset}, {end - offset} bytes early")
        digest.update(chunk)
        offset += len(chunk)
        if seen:
            seen(0)
    return digest.digest()
