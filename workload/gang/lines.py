"""Lines from a pipe, in the loop."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from workload.contract import MAX_LINE_BYTES
from workload.gang.loop import Loop

CHUNK: Final = 64 * 1024


def split(rest: bytes, chunk: bytes, longest: int = MAX_LINE_BYTES) -> tuple[list[bytes], bytes]:
    """The whole lines in `rest + chunk`, without their ends, and what is left; lines over `longest` come in pieces."""
    *lines, rest = (rest + chunk).split(b"\n")
    pieces = [line[at : at + longest] for line in lines for at in range(0, max(len(line), 1), longest)]
    while len(rest) > longest:
        pieces.append(rest[:longest])
        rest = rest[longest:]
    return pieces, rest


class LineReader:
    """Gives each line of the pipe `fd` to `on_line`; owns the descriptor and closes it at the pipe's end."""

    def __init__(self, loop: Loop, fd: int, on_line: Callable[[bytes], None]) -> None:
        self._loop = loop
        self._fd = fd
        self._on_line = on_line
        self._rest = b""
        loop.add(fd, self._read)

    def _read(self) -> None:
        chunk = os.read(self._fd, CHUNK)
        lines, self._rest = split(self._rest, chunk)
        if not chunk:
            self._loop.remove(self._fd)
            os.close(self._fd)
            lines += [self._rest] if self._rest else []
        for line in lines:
            self._on_line(line)
