"""Checkpoints in S3. An object is there whole or not at all, and S3 checks each upload against our own checksum."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from workload.manifest import checksum
from workload.vault.store import S3_SCHEME, Entry, LostError, StoreError

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 20.0  # without a byte; then the request is tried again
ATTEMPTS = 6  # of a request, with botocore's back-off between them
PARALLEL = 8  # requests a process has under way: one connection to S3 carries about 90 MB/s, says AWS
DELETE_AT_ONCE = 1000  # keys a DeleteObjects request may name
_SLICE = 1 << 20
_NOT_THERE = frozenset({"NoSuchKey", "404", "NotFound"})
# 409: two conditional writes met; S3 says to look again. 412: the condition does not hold.
_CONDITION_FAILED = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "409"})


class S3Store:
    """A `Store` below a prefix of a bucket."""

    def __init__(self, client: S3Client, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix

    @classmethod
    def open(cls, target: str, *, client: S3Client | None = None, read_timeout: float = READ_TIMEOUT_S) -> Self:
        """The store at `s3://BUCKET/PREFIX`; without a `client`, boto3 finds credentials, region and endpoint itself.

        Raises
        ------
        ValueError
            `target` names no bucket or no prefix.
        """
        bucket, _, prefix = target.removeprefix(S3_SCHEME).partition("/")
        prefix = prefix.strip("/")
        if not bucket or not prefix:
            raise ValueError(f"checkpoints need a bucket and a prefix: got {target!r}; allowed: s3://BUCKET/PREFIX")
        if client is not None:
            return cls(client, bucket, f"{prefix}/")
        config = Config(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=read_timeout,
            max_pool_connections=PARALLEL + 1,
            response_checksum_validation="when_required",  # we sum every byte ourselves
        )
        if "AWS_MAX_ATTEMPTS" not in os.environ:  # botocore's own variable, for those who want more or less
            config = config.merge(Config(retries={"mode": "standard", "total_max_attempts": ATTEMPTS}))
        return cls(boto3.client("s3", config=config), bucket, f"{prefix}/")

    @property
    def target(self) -> str:
        return f"{S3_SCHEME}{self._bucket}/{self._prefix.rstrip('/')}"

    @property
    def writers(self) -> int:
        return PARALLEL

    @property
    def readers(self) -> int:
        return PARALLEL

    @contextmanager
    def writing(self, folder: str) -> Iterator[Callable[[str, memoryview], str]]:
        yield lambda name, data: self._write_piece(f"{folder}/{name}", data)  # an answered PUT is durable

    def _write_piece(self, key: str, data: memoryview) -> str:
        crc = checksum(data)
        with self._explained("write", key):
            # S3 refuses the object where what arrived does not have this checksum.
            self._client.put_object(
                Bucket=self._bucket,
                Key=self._prefix + key,
                Body=io.BufferedReader(_View(data), _SLICE),
                ContentLength=data.nbytes,
                ChecksumAlgorithm="CRC32",
                ChecksumCRC32=base64.b64encode(bytes.fromhex(crc)).decode(),
            )
        return crc

    def read_piece(self, key: str, into: memoryview) -> str:
        crc, position, etag = checksum(b""), 0, ""
        for attempt in range(ATTEMPTS):
            with self._explained("read", key):
                extra: dict[str, str] = {"Range": f"bytes={position}-", "IfMatch": etag} if position else {}
                try:
                    answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key, **extra)  # type: ignore[arg-type]  # types-boto3 has no room for **
                except ClientError as error:
                    if _code(error) in _NOT_THERE:
                        raise LostError(f"{self._name(key)} is not there") from error
                    raise
                etag = answer["ETag"]
                if (size := position + answer["ContentLength"]) != into.nbytes:
                    raise LostError(f"{self._name(key)} has {size} bytes, it should have {into.nbytes}")
                try:
                    while part := answer["Body"].read(_SLICE):
                        into[position : position + len(part)] = part
                        crc = checksum(part, crc)
                        position += len(part)
                except (HTTPClientError, BotoCoreError):
                    # The connection broke in the middle: botocore tries again only until the headers are there.
                    if attempt == ATTEMPTS - 1:
                        raise
                    continue
                if position == into.nbytes:
                    return crc
        raise StoreError(f"cannot read {self._name(key)}: the connection broke {ATTEMPTS} times")

    def make_folder(self, folder: str) -> None:
        """Nothing: S3 has no folders."""

    def put(self, key: str, data: bytes) -> None:
        with self._explained("write", key):
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=data)

    def put_new(self, key: str, data: bytes) -> bool:
        with self._explained("create", key):
            try:
                self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=data, IfNoneMatch="*")
            except ClientError as error:
                if _code(error) not in _CONDITION_FAILED:
                    raise
                return self._is_ours(key, data)
        return True

    def take_over(self, key: str, seen: Entry, data: bytes) -> bool:
        with self._explained("take over", key):
            try:
                self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=data, IfMatch=seen.tag)
            except ClientError as error:
                if _code(error) not in _CONDITION_FAILED | _NOT_THERE:
                    raise
                return self._is_ours(key, data)
        return True

    def touch(self, key: str, seen: Entry) -> bool:
        return self.take_over(key, seen, seen.data)

    def get(self, key: str) -> Entry | None:
        with self._explained("read", key):
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)
            except ClientError as error:
                if _code(error) in _NOT_THERE:
                    return None
                raise
            age = (datetime.now(UTC) - answer["LastModified"]).total_seconds()
            return Entry(data=answer["Body"].read(), age=max(0.0, age), tag=answer["ETag"])

    def list(self) -> Mapping[str, int]:
        found = {}
        with self._explained("list", ""):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
            for page in pages:
                for entry in page.get("Contents", []):
                    found[entry["Key"].removeprefix(self._prefix)] = entry["Size"]
        return found

    def delete(self, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), DELETE_AT_ONCE):
            some = keys[start : start + DELETE_AT_ONCE]
            with self._explained("delete", some[0]):
                answer = self._client.delete_objects(
                    Bucket=self._bucket,
                    Delete={"Objects": [{"Key": self._prefix + key} for key in some], "Quiet": True},
                )
            if errors := answer.get("Errors"):
                first = errors[0]
                raise StoreError(f"cannot delete s3://{self._bucket}/{first.get('Key')}: {first.get('Message')}")

    def _is_ours(self, key: str, data: bytes) -> bool:
        # A request that S3 carried out, and whose answer was lost, meets its own object when botocore tries again.
        entry = self.get(key)
        return entry is not None and entry.data == data

    def _name(self, key: str) -> str:
        return f"{S3_SCHEME}{self._bucket}/{self._prefix}{key}"

    @contextmanager
    def _explained(self, what: str, key: str) -> Iterator[None]:
        try:
            yield
        except (ClientError, BotoCoreError, HTTPClientError) as error:
            raise StoreError(f"cannot {what} {self._name(key)}: {error}") from error


class _View(io.RawIOBase):
    """A memoryview as a file that botocore can read and rewind: no copy of what may be most of a node's memory."""

    def __init__(self, data: memoryview) -> None:
        super().__init__()
        self._data = data
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # any writable buffer, always a memoryview
        part = self._data[self._position : self._position + len(buffer)]
        buffer[: part.nbytes] = part
        self._position += part.nbytes
        return part.nbytes

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._data.nbytes}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position


def _code(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "")
