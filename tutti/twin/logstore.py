"""Log groups and streams as folders and files (see `nodes.logfile` for a file's lines), read from any byte on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

_CHUNK: Final = 1 << 20


class LogEvent(NamedTuple):
    """One line. `offset` is where it starts in its file, `end` where the next one does. A tuple: there are millions."""

    timestamp: int
    message: str
    offset: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Stream:
    name: str
    path: Path
    created: int  # milliseconds
    size: int
    modified: int


class LogStore:
    """A folder of groups. Streams are written by the nodes' minders; this reads them, and makes places for them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def groups(self) -> list[str]:
        return sorted(unquote(p.name) for p in self._folder.iterdir())

    def has(self, group: str) -> bool:
        return self._group(group).is_dir()

    def make(self, group: str) -> None:
        self._group(group).mkdir(parents=True, exist_ok=True)

    def created(self, group: str) -> int:
        return int(self._group(group).stat().st_mtime * 1000)

    def file(self, group: str, stream: str) -> Path:
        """Where a stream's events are; the group is made if it is not there."""
        self.make(group)
        return self._group(group) / quote(stream, safe="")

    def streams(self, group: str, prefix: str = "") -> list[Stream]:
        """By name."""
        found: list[Stream] = []
        for path in self._group(group).iterdir():
            name, status = unquote(path.name), path.stat()
            if name.startswith(prefix):
                modified = int(status.st_mtime * 1000)
                created = _first_stamp(path) or modified
                found.append(Stream(name=name, path=path, created=created, size=status.st_size, modified=modified))
        return sorted(found, key=lambda s: s.name)

    def append(self, group: str, stream: str, events: list[tuple[int, str]]) -> None:
        """Events of a client's own. A line break inside one becomes a carriage return: a file has one event a line."""
        lines = "".join(f"{stamp}\t{message.rstrip(chr(10)).replace(chr(10), chr(13))}\n" for stamp, message in events)
        with self.file(group, stream).open("ab", buffering=0) as file:
            file.write(lines.encode())

    def _group(self, group: str) -> Path:
        return self._folder / quote(group, safe="")


def read_forward(path: Path, offset: int, *, lines: int, limit: int) -> tuple[list[LogEvent], bool]:
    """Events from byte `offset` on: at most so many lines and bytes, and whether more follow."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(limit)
            more = file.read(1) != b""
    except FileNotFoundError:
        return [], False
    whole = data[: data.rfind(b"\n") + 1]
    found: list[LogEvent] = []
    rows = whole.split(b"\n", lines)  # no further than is asked for: pages are much smaller than `limit`
    rest = rows.pop()
    for line in rows:
        end = offset + len(line) + 1
        stamp, _, message = line.partition(b"\t")
        found.append(LogEvent(int(stamp), message.decode(errors="replace"), offset, end))
        offset = end
    return found, more or rest != b""


def read_backward(path: Path, offset: int, *, lines: int, limit: int) -> list[LogEvent]:
    """The last events before byte `offset`, in order of time."""
    start = max(0, offset - limit)
    try:
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(offset - start)
    except FileNotFoundError:
        return []
    if start:
        cut = data.find(b"\n") + 1
        start, data = start + cut, data[cut:]
    rows = data[: data.rfind(b"\n") + 1].split(b"\n")[:-1]
    skipped = max(0, len(rows) - lines)
    at = start + sum(len(row) + 1 for row in rows[:skipped])
    found = []
    for row in rows[skipped:]:
        stamp, _, message = row.partition(b"\t")
        end = at + len(row) + 1
        found.append(LogEvent(int(stamp), message.decode(errors="replace"), at, end))
        at = end
    return found


def offset_at(path: Path, timestamp: int) -> int:
    """The byte at which the first event of `timestamp` or later starts. Lines are in order of time."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            low, high = 0, size
            while low < high:
                middle = (low + high) // 2
                file.seek(middle)
                if middle:
                    file.readline()
                line = file.readline()
                if not line or int(line.partition(b"\t")[0]) >= timestamp:
                    high = middle
                else:
                    low = middle + 1
            file.seek(low)
            if low:
                file.readline()
            return file.tell()
    except FileNotFoundError:
        return 0


def last_stamp(path: Path, size: int) -> int | None:
    events = read_backward(path, size, lines=1, limit=64 * 1024)
    return events[-1].timestamp if events else None


def _first_stamp(path: Path) -> int | None:
    with path.open("rb") as file:
        stamp = file.read(32).partition(b"\t")[0]
    return int(stamp) if stamp.isdigit() else None


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def iterate(path: Path) -> Iterator[LogEvent]:
    """All events of a stream."""
    offset, more = 0, True
    while more:
        events, more = read_forward(path, offset, lines=1 << 30, limit=_CHUNK)
        if not events:
            return
        yield from events
        offset = events[-1].end
