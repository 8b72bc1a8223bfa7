r"""A log stream's file: one event a line, `<milliseconds since 1970>\t<text>\n`, appended by the node's minder alone.

What a program writes is cut into lines (a line longer than 16 KiB into several, as the awslogs driver does). A flood is
cut at a limit: what follows is dropped and counted, and the last lines are kept, since they tell why a job died.
"""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import Final

MAX_LINE: Final = 16 * 1024
KEPT_AT_END: Final = 500  # lines of a flood that are written when it is over


class LogWriter:
    """Appends to one stream's file. Its owner closes it, which writes what is still due."""

    def __init__(self, path: Path, limit: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        self._room = limit
        self._limit = limit
        self._tail = b""
        self._dropped = 0
        self._last: deque[bytes] = deque(maxlen=KEPT_AT_END)

    def feed(self, data: bytes) -> None:
        """Take what the program wrote; an unfinished line waits for its end."""
        lines = (self._tail + data).split(b"\n")
        self._tail = lines.pop()
        if len(self._tail) > MAX_LINE:
            lines.append(self._tail)
            self._tail = b""
        self._write(lines)

    def say(self, text: str) -> None:
        """A line of the twin's own, which no limit drops."""
        self._file.write(_stamp() + b"tutti-twin: " + text.encode() + b"\n")

    def close(self) -> None:
        if self._tail:
            self._write([self._tail])
            self._tail = b""
        if self._dropped:
            missing = self._dropped - len(self._last)
            self.say(
                f"{missing} lines were dropped after the limit of {self._limit} bytes; the last {len(self._last)}:"
            )
            stamp = _stamp()
            self._file.write(b"".join(stamp + line + b"\n" for line in self._last))
        self._file.close()

    def _write(self, lines: list[bytes]) -> None:
        if any(len(line) > MAX_LINE for line in lines):
            lines = [line[i : i + MAX_LINE] for line in lines for i in range(0, max(1, len(line)), MAX_LINE)]
        if not lines:
            return
        if self._room > 0:
            stamp = _stamp()
            block = b"".join(stamp + line + b"\n" for line in lines)
            self._file.write(block)
            self._room -= len(block)
            if self._room <= 0:
                self.say(f"this log is cut here: it has reached the limit of {self._limit} bytes")
            return
        self._dropped += len(lines)
        self._last.extend(lines)


def _stamp() -> bytes:
    return b"%d\t" % (time.time_ns() // 1_000_000)
