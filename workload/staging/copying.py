"""One file to another on the same machine: between the shared folder and the node's scratch."""

import os
import shutil
import uuid
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from workload.staging.crew import Damaged, Failed, Meter
from workload.staging.disk import write_all
from workload.staging.places import MIB, spans

SPAN_BYTES: Final = 64 * MIB
"""Copied in one go: network file systems are faster with several streams of one big file."""


@dataclass(kw_only=True)
class Copy:
    """A `Transfer` from `source` to `target`, whose folder must exist. Keeps mode and time; read back and compared."""

    source: Path
    target: Path
    size: int
    durable: bool = False  # flushed to the disk before it has its name
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = str(self.source)
        self._half = self.target.with_name(f".{uuid.uuid4().hex}.part")
        self._from = self._to = -1

    def begin(self, meter: Meter) -> Sequence[Callable[[], None]]:
        self._meter = meter
        try:
            self._from = os.open(self.source, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise Failed(f"{self.source}: cannot be read: {error.strerror}") from error
        self._before = self._facts()
        if self._before[0] != self.size:
            raise Failed(f"{self.source}: its size changed from {self.size} to {self._before[0]}: is it still written?")
        self._to = os.open(self._half, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._to, self.size)
        return [partial(self._span, *span) for span in spans(self.size, SPAN_BYTES)]

    def finish(self) -> None:
        if self._facts() != self._before:
            raise Failed(f"{self.source}: it was written to while it was copied; it must be complete by then")
        if self.durable:
            os.fsync(self._to)
        self._close()
        shutil.copystat(self.source, self._half)
        self._half.replace(self.target)

    def abandon(self) -> None:
        self._close()
        self._half.unlink(missing_ok=True)

    def _close(self) -> None:
        for descriptor in (self._from, self._to):
            if descriptor >= 0:
                os.close(descriptor)
        self._from = self._to = -1

    def _facts(self) -> tuple[int, int]:
        facts = os.fstat(self._from)
        return facts.st_size, facts.st_mtime_ns

    def _span(self, offset: int, length: int) -> None:
        try:
            sent = self._pass(offset, length)
            if self.durable:
                os.fsync(self._to)  # part by part: see `Download`
            if sent != self._checksum(offset, length):
                raise Damaged(f"{self.source}: the copy at {self.target} is not the same")
        except OSError as error:
            raise Failed(f"{self.source}: cannot be copied to {self.target}: {error.strerror}") from error

    def _pass(self, offset: int, length: int) -> int:
        checksum, end = 0, offset + length
        while offset < end:
            chunk = os.pread(self._from, min(MIB, end - offset), offset)
            if not chunk:
                raise Failed(f"{self.source}: it became shorter while it was copied")
            write_all(self._to, chunk, offset)
            checksum = zlib.crc32(chunk, checksum)
            offset += len(chunk)
            self._meter.moved(len(chunk))
        return checksum

    def _checksum(self, offset: int, length: int) -> int:
        checksum, end = 0, offset + length
        while offset < end and (chunk := os.pread(self._to, min(MIB, end - offset), offset)):
            checksum = zlib.crc32(chunk, checksum)
            offset += len(chunk)
        return checksum
