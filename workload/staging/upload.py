"""One file to one object of S3: parts side by side, each with its MD5, the whole checked against the ETag."""

import base64
import io
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from workload.staging.checksum import etag_of, file_digest, read_etag
from workload.staging.crew import Damaged, Failed, Limits, Meter
from workload.staging.places import EXECUTABLE, MAX_KEY_BYTES, MAX_OBJECT_BYTES, part_bytes, spans
from workload.staging.s3 import persist, status_of, whole

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import CompletedPartTypeDef


class _Span(io.RawIOBase):
    """A part of a file, read where it lies: no buffer of the part's size, and progress while it is sent.

    botocore may read it once to sign it and once to send it: bytes count from the last rewind on.
    """

    def __init__(self, descriptor: int, offset: int, length: int, meter: Meter) -> None:
        self._descriptor, self._offset, self._length, self._meter = descriptor, offset, length, meter
        self._at = 0
        self._counted = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        view = memoryview(buffer).cast("B")
        data = os.pread(self._descriptor, min(len(view), self._length - self._at), self._offset + self._at)
        view[: len(data)] = data
        self._at += len(data)
        self._counted += len(data)
        self._meter.moved(len(data))
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence]
        if self._at == 0:
            self.uncount()
        return self._at

    def tell(self) -> int:
        return self._at

    def uncount(self) -> None:
        """What was read was not sent after all."""
        counted, self._counted = self._counted, 0
        self._meter.moved(-counted)


@dataclass(kw_only=True)
class Upload:
    """A `Transfer` of the file `source` to `s3://bucket/key`. Raises nothing before it is begun."""

    source: Path
    size: int
    bucket: str
    key: str
    client: "S3Client"
    limits: Limits
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = f"s3://{self.bucket}/{self.key}"
        self._descriptor = -1
        self._upload_id: str | None = None
        self._metadata: dict[str, str] = {}
        self._digests: list[bytes] = []
        self._parts: list[CompletedPartTypeDef] = []

    def begin(self, meter: Meter) -> Sequence[Callable[[], None]]:
        self._meter = meter
        if self.size > MAX_OBJECT_BYTES:
            raise Failed(f"{self.source}: {self.size} bytes; one object holds {MAX_OBJECT_BYTES}: split it")
        if len(self.key.encode()) > MAX_KEY_BYTES:
            raise Failed(f"{self.name}: the key has {len(self.key.encode())} bytes; S3 allows {MAX_KEY_BYTES}")
        try:
            self._descriptor = os.open(self.source, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise Failed(f"{self.source}: cannot be read: {error.strerror}") from error
        self._before = self._facts()
        if self._before[0] != self.size:
            raise Failed(f"{self.source}: its size changed from {self.size} to {self._before[0]}: is it still written?")
        program = os.fstat(self._descriptor).st_mode & 0o100
        self._metadata = {EXECUTABLE: "1"} if program else {}
        parts = spans(self.size, part_bytes(self.size))
        self._digests = [b""] * len(parts)
        if len(parts) > 1:
            self._parts = [{} for _ in parts]
            created = persist(
                lambda: whole(
                    self.client.create_multipart_upload(Bucket=self.bucket, Key=self.key, Metadata=self._metadata),
                    "UploadId",
                ),
                self.name,
                self.limits,
                meter,
            )
            self._upload_id = created["UploadId"]
        return [partial(self._part, number, *span) for number, span in enumerate(parts)]

    def finish(self) -> None:
        if self._facts() != self._before:
            raise Failed(f"{self.source}: it was written to while it was uploaded: outputs must be complete by then")
        if self._upload_id is not None:
            persist(self._complete, self.name, self.limits, self._meter)
            self._upload_id = None
        self._close()

    def abandon(self) -> None:
        self._close()
        if self._upload_id is not None:
            # Best effort: what is left behind costs money until the bucket's lifecycle rule removes it.
            with suppress(Exception):
                self.client.abort_multipart_upload(Bucket=self.bucket, Key=self.key, UploadId=self._upload_id)
            self._upload_id = None

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _facts(self) -> tuple[int, int]:
        facts = os.fstat(self._descriptor)
        return facts.st_size, facts.st_mtime_ns

    def _part(self, number: int, offset: int, length: int) -> None:
        # `moved(0)`: leave early where the transfer is over.
        self._digests[number] = file_digest(self._descriptor, offset, length, self._meter.moved)
        persist(partial(self._send, number, offset, length), self.name, self.limits, self._meter)

    def _send(self, number: int, offset: int, length: int) -> None:
        body = _Span(self._descriptor, offset, length, self._meter)
        try:
            self._put(number, body, length, base64.b64encode(self._digests[number]).decode())
        except Exception:
            body.uncount()
            raise

    def _put(self, number: int, body: _Span, length: int, content_md5: str) -> None:
        file = cast("IO[bytes]", body)  # botocore needs read, seek and tell alone
        if self._upload_id is None:
            put = self.client.put_object(
                Bucket=self.bucket,
                Key=self.key,
                Body=file,
                ContentLength=length,
                ContentMD5=content_md5,
                Metadata=self._metadata,
            )
            etag, encryption = put["ETag"], put.get("ServerSideEncryption", "")
        else:
            part = self.client.upload_part(
                Bucket=self.bucket,
                Key=self.key,
                UploadId=self._upload_id,
                PartNumber=number + 1,
                Body=file,
                ContentLength=length,
                ContentMD5=content_md5,
            )
            etag, encryption = part["ETag"], part.get("ServerSideEncryption", "")
            self._parts[number] = {"ETag": etag, "PartNumber": number + 1}
        said = read_etag(etag, encryption)
        if said is not None and not said.matches([self._digests[number]]):
            raise Damaged(f"{self.name}: S3 has something else than was sent (its ETag: {etag})")

    def _complete(self) -> None:
        try:
            done = self.client.complete_multipart_upload(
                Bucket=self.bucket, Key=self.key, UploadId=self._upload_id or "", MultipartUpload={"Parts": self._parts}
            )
            etag, encryption = whole(done, "ETag")["ETag"], done.get("ServerSideEncryption", "")
        except self.client.exceptions.ClientError as error:
            if status_of(error) != HTTPStatus.NOT_FOUND:
                raise
            # An attempt whose answer was lost has completed it: then the object is there, and is ours.
            head = self.client.head_object(Bucket=self.bucket, Key=self.key)
            etag, encryption = head["ETag"], head.get("ServerSideEncryption", "")
            if head["ContentLength"] != self.size:
                raise
        said = read_etag(etag, encryption)
        if said is not None and said != etag_of(self._digests, multipart=True):
            raise Failed(f"{self.name}: S3 put the parts together wrongly (ETag {etag}); nothing was lost here")
