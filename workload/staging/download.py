"""One object of S3 to one file: ranges side by side, checked against the ETag, published by a rename.

Not boto3's own transfer: that checks no content of ranged reads, tries again at once after a cut body, and its threads
keep a process from ending.
"""

import os
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from workload.staging.checksum import Etag, file_digest, md5, read_etag
from workload.staging.crew import Damaged, Failed, Limits, Meter
from workload.staging.disk import write_all
from workload.staging.places import EXECUTABLE, MIB, spans
from workload.staging.s3 import S3Object, persist

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

RANGE_BYTES: Final = 32 * MIB
"""What one request reads of an object that was put whole."""
READ_BYTES: Final = 64 * 1024
"""Read at a time: a drip of less than this in `Limits.stall_s` is a stall."""


@dataclass(kw_only=True)
class Download:
    """A `Transfer` of `source` to `target`, whose folder must exist."""

    source: S3Object
    target: Path
    client: "S3Client"
    limits: Limits
    durable: bool = False  # flushed to the disk before it has its name
    published: Callable[[], None] | None = None  # called once `target` is there
    notes: list[str] = field(default_factory=list)
    name: str = field(init=False)
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.name = str(self.source)
        self.size = self.source.size
        self._half = self.target.with_name(f".{uuid.uuid4().hex}.part")
        self._descriptor = -1
        self._encryption = ""
        self._executable = False
        self._digests: list[bytes] = []

    def begin(self, meter: Meter) -> Sequence[Callable[[], None]]:
        self._meter = meter
        parts = spans(self.size, self._part_size())
        self._digests = [b""] * len(parts)
        self._descriptor = os.open(self._half, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        os.ftruncate(self._descriptor, self.size)
        return [partial(self._part, number, *span) for number, span in enumerate(parts)]

    def finish(self) -> None:
        etag = read_etag(self.source.etag, self._encryption)
        if etag is None:
            self.notes.append(f"{self.name}: its ETag is no checksum ({self._encryption}): checked by size alone")
        elif not self._matches(etag):
            raise Damaged(f"{self.name}: what arrived does not match the ETag {self.source.etag}, {self.size} bytes")
        if self._executable:
            os.fchmod(self._descriptor, 0o755)
        os.utime(self._descriptor, ns=(self.source.modified_ns, self.source.modified_ns))
        if self.durable:
            os.fsync(self._descriptor)
        self._close()
        self._half.replace(self.target)
        if self.published:
            self.published()

    def abandon(self) -> None:
        self._close()
        self._half.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _part_size(self) -> int:
        """The parts in which it was uploaded, so that the ETag can be computed while they arrive."""
        etag = read_etag(self.source.etag)
        if etag is None or etag.parts is None:
            return RANGE_BYTES
        head = persist(
            lambda: self.client.head_object(Bucket=self.source.bucket, Key=self.source.key, PartNumber=1),
            self.name,
            self.limits,
            self._meter,
        )
        return max(1, head["ContentLength"])

    def _matches(self, etag: Etag) -> bool:
        if etag.parts is None and len(self._digests) > 1:
            return etag.matches([file_digest(self._descriptor, 0, self.size)])
        if etag.parts is not None and etag.parts != len(self._digests):
            # Parts of different sizes: S3 alone knows where they began.
            self.notes.append(f"{self.name}: uploaded in parts of different sizes: checked by size alone")
            return True
        return etag.matches(self._digests)

    def _part(self, number: int, offset: int, length: int) -> None:
        self._digests[number] = persist(
            lambda: self._fetch(offset, length), f"{self.name}, bytes from {offset}", self.limits, self._meter
        )
        if self.durable:
            # Part by part: at the end a network file system could need longer for all of it than a stall may last.
            os.fsync(self._descriptor)

    def _fetch(self, offset: int, length: int) -> bytes:
        got = [0]
        try:
            return self._receive(offset, length, got)
        except Exception as error:
            self._meter.moved(-got[0])
            if isinstance(error, OSError) and not isinstance(error, TimeoutError | ConnectionError):
                raise Failed(f"{self.name}: cannot write {self.target}: {error.strerror}") from error
            raise

    def _receive(self, offset: int, length: int, got: list[int]) -> bytes:
        """Write one range to the file; `got` counts its bytes, also where it raises. Returns their MD5."""
        what = {"Bucket": self.source.bucket, "Key": self.source.key, "IfMatch": self.source.etag}
        if self.size:  # an empty object has no range
            what["Range"] = f"bytes={offset}-{offset + length - 1}"
        answer = self.client.get_object(**what)  # type: ignore[arg-type]  # all of these are strings
        self._encryption = "customer" if answer.get("SSECustomerAlgorithm") else answer.get("ServerSideEncryption", "")
        self._executable = answer.get("Metadata", {}).get(EXECUTABLE) == "1"
        digest = md5()
        with closing(answer["Body"]) as body:
            while chunk := body.read(min(READ_BYTES, length - got[0] + 1)):
                if got[0] + len(chunk) > length:
                    raise Damaged(f"{self.name}: S3 sent more than the {length} bytes from {offset} asked for")
                write_all(self._descriptor, chunk, offset + got[0])
                digest.update(chunk)
                got[0] += len(chunk)
                self._meter.moved(len(chunk))
        if got[0] < length:
            raise Damaged(f"{self.name}: the answer ended after {got[0]} of {length} bytes from {offset}")
        return digest.digest()
