"""Bytes on their way, as one line at the foot of the terminal; where there is none, a line now and then."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Final, Self, TextIO

from tutti.cli.gauge import CLEAR
from tutti.cli.screen import bar, say, width
from tutti.core.events import size

EVERY_S: Final = 0.2
SELDOM_S: Final = 10.0  # in a file or a pipe


class Moving:
    """Called with each count of bytes, from any thread. `of`: how many there will be, 0 where nobody knows."""

    def __init__(self, out: TextIO, *, files: int = 0, of: int = 0) -> None:
        self._out = out
        self._live = out.isatty()
        self._lock = threading.Lock()
        self._files, self._of = files, of
        self._moved = 0
        self._begun = time.monotonic()
        self._drawn = self._begun - (EVERY_S if self._live else 0)  # at a terminal the first bytes are seen at once

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._lock:
            self._clear()

    def __call__(self, count: int) -> None:
        with self._lock:
            self._moved += count
            now = time.monotonic()
            if now - self._drawn < (EVERY_S if self._live else SELDOM_S):
                return
            self._drawn = now
            text = in_words(self._moved, of=self._of, files=self._files, seconds=now - self._begun)
            if self._live:
                self._out.write(f"{CLEAR}{text[: width() - 1]}")
                self._out.flush()
            else:
                say(text)

    def say(self, text: str) -> None:
        """A line above it."""
        with self._lock:
            self._clear()
            say(text)

    def _clear(self) -> None:
        if self._live:
            self._out.write(CLEAR)
            self._out.flush()


def in_words(moved: int, *, of: int, files: int, seconds: float) -> str:
    """How far it is, and how fast."""
    speed = f"{size(moved / max(seconds, EVERY_S))}/s"
    if not of:
        return f"{size(moved)} moved, {speed}"
    return f"{bar(min(1.0, moved / of))}  {size(moved)} of {size(of)}, {files} file{'s' * (files != 1)}, {speed}"
