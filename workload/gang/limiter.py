"""What of the ranks' output reaches a node's log: whole lines, cut, limited, in order. Pure: time is an argument.

CloudWatch drops lines silently once the log driver's buffer is full, and a driver that waits instead stops MPI
(traps 24). So a node writes 2,000 lines a second; what comes faster waits, the last 10,000 lines of it, and a line says
how many did not fit.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from workload.contract import MAX_LINE_BYTES

LINES_A_SECOND: Final = 2_000
KEPT_LINES: Final = 10_000
CUT_MARK: Final = b" [cut]"


class Lines:
    """One pipe's bytes as lines. A line longer than `longest` bytes is given as pieces, each but the last marked."""

    def __init__(self, longest: int = MAX_LINE_BYTES - 64) -> None:
        # 64 bytes are the tag's: the whole line stays within the limit.
        self._longest = longest
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes, without their newlines."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        lines = [piece for line in whole for piece in self._pieces(line)]
        if len(self._rest) > self._longest:
            *full, self._rest = self._pieces(self._rest)
            lines += full
        return lines

    def end(self) -> list[bytes]:
        """What is left at the end of the pipe."""
        rest, self._rest = self._rest, b""
        return self._pieces(rest) if rest else []

    def _pieces(self, line: bytes) -> list[bytes]:
        line = line.removesuffix(b"\r")
        if len(line) <= self._longest:
            return [line]
        width = self._longest - len(CUT_MARK)
        pieces = [line[i : i + width] for i in range(0, len(line), width)]
        return [p + CUT_MARK for p in pieces[:-1]] + pieces[-1:]


class Limiter:
    """Lets lines through at a rate; keeps the newest of those that must wait.

    `put` and `due` give what may be written now, as (rank, line); a line with rank None is the limiter's own.
    """

    def __init__(self, rate: int = LINES_A_SECOND, kept: int = KEPT_LINES) -> None:
        self._rate = rate
        self._waiting: deque[tuple[int | None, bytes]] = deque()
        self._kept = kept
        self._budget = float(rate)
        self._last = float("inf")  # the first look earns nothing
        self._dropped = 0
        self.dropped = 0  # in all

    def put(self, rank: int | None, line: bytes) -> None:
        """One more line."""
        if len(self._waiting) >= self._kept:
            self._waiting.popleft()
            self._dropped += 1
            self.dropped += 1
        self._waiting.append((rank, line))

    def due(self, now: float) -> list[tuple[int | None, bytes]]:
        """What may be written at `now` seconds."""
        self._budget = min(float(self._rate), self._budget + max(0.0, now - self._last) * self._rate)
        self._last = now
        count = min(int(self._budget), len(self._waiting))
        self._budget -= count
        return self._take(count)

    def rest(self) -> list[tuple[int | None, bytes]]:
        """All that waits: the ranks have ended."""
        return self._take(len(self._waiting))

    def waiting(self) -> bool:
        return bool(self._waiting)

    def _take(self, count: int) -> list[tuple[int | None, bytes]]:
        taken = [self._waiting.popleft() for _ in range(count)]
        if taken and self._dropped:
            # What was dropped was older than all that waits.
            taken.insert(0, (None, self._says()))
            self._dropped = 0
        return taken

    def _says(self) -> bytes:
        return (
            f"{self._dropped:,} lines of the ranks' output left out here: more than {self._rate:,} lines a second"
        ).encode()
