"""A terminal of our own: a program behind a pseudo-terminal, and what stands on its screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

SEQUENCE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\r|\n|[^\x1b\r\n]+|\x1b")


class Terminal:
    """`tutti ARGS...` in a terminal of some size, Ctrl-C and all."""

    def __init__(self, *args: str, environ: Mapping[str, str], columns: int = 80, lines: int = 24) -> None:
        self._ours, theirs = pty.openpty()
        self._theirs = os.dup(theirs)
        self.resize(columns, lines)
        self.modes = termios.tcgetattr(self._theirs)
        self.shown = ""
        self.process = subprocess.Popen(
            ["setsid", "--ctty", sys.executable, "-m", "tutti", *args],  # its own terminal: Ctrl-C reaches it
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=dict(environ),
        )
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def press(self, keys: str, seconds: float = 60) -> None:
        """Once the program waits: Python sees an interrupt just before it reads its input only after the next key."""
        end = time.monotonic() + seconds
        stat = Path(f"/proc/{self.process.pid}/stat")
        while stat.read_text().rpartition(") ")[2][0] != "S":
            assert time.monotonic() < end, f"it never waits; the screen:\n{self.screen}"
            time.sleep(0.01)
        os.write(self._ours, keys.encode())

    def until(self, pattern: str, seconds: float = 60) -> str:
        """Read until the pattern has come since the last call; what has come."""
        end, new = time.monotonic() + seconds, ""
        while not re.search(pattern, new):
            left = end - time.monotonic()
            ready, _, _ = select.select([self._ours], [], [], max(0.0, left))
            if not ready:
                self.shown += new
                raise AssertionError(f"{pattern!r} did not come; the screen:\n{self.screen}")
            new += os.read(self._ours, 65536).decode()
        self.shown += new
        return new

    def ended(self, seconds: float = 60) -> int:
        """The exit code, and the rest of what it wrote."""
        code = self.process.wait(timeout=seconds)
        while select.select([self._ours], [], [], 0)[0]:
            self.shown += os.read(self._ours, 65536).decode()
        return code

    @property
    def screen(self) -> str:
        """What a reader sees: the program's own sequences are followed, colours left out."""
        lines: list[str] = [""]
        row = column = 0
        for found in SEQUENCE.finditer(self.shown):
            piece, argument, kind = found[0], found[1], found[2]
            if piece == "\r":
                column = 0
            elif piece == "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
            elif kind == "H" and not argument:
                row = column = 0
            elif kind == "K":
                lines[row] = lines[row][:column]
            elif kind == "J" and not argument:
                lines[row:] = [lines[row][:column]]
            elif kind is None:
                lines[row] = lines[row][:column].ljust(column) + piece + lines[row][column + len(piece) :]
                column += len(piece)
            elif kind != "m":
                raise AssertionError(f"a sequence that a terminal may not know: {piece!r}")
        return "\n".join(lines)

    @property
    def whole(self) -> bool:
        """Whether the terminal's modes are what they were."""
        now: list[Any] = termios.tcgetattr(self._theirs)
        return now == self.modes
