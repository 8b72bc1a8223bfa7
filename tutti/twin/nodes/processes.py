"""Finding processes through /proc: what descends from a minder, and what carries a twin's marker."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

MARKER: Final = "TUTTI_TWIN"  # in the environment of each node: whose it is


def parents() -> dict[int, int]:
    """Process -> its parent, for all that can be seen; zombies are left out."""
    found = {}
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The name may hold blanks and brackets: what follows its last bracket is "state ppid ...".
            state, parent = Path(entry.path, "stat").read_bytes().rpartition(b") ")[2].split(b" ", 2)[:2]
            if state not in {b"Z", b"X"}:
                found[int(entry.name)] = int(parent)
    return found


def descendants(root: int) -> set[int]:
    """All processes below `root`. Complete where `root` is a sub-reaper: whatever daemonises stays below it."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents().items():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    stack = [root]
    while stack:
        for child in children.get(stack.pop(), ()):
            if child not in found:
                found.add(child)
                stack.append(child)
    return found


def marked(marker: str) -> set[int]:
    """Processes whose environment has the marker with this value (those of other users cannot be read)."""
    wanted = f"{MARKER}={marker}".encode()
    found = set()
    for pid in parents():
        with contextlib.suppress(OSError):
            if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found.add(pid)
    return found


def send(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def end_all(find: Callable[[], set[int]], *, reap: Callable[[], None], seconds: float = 10.0) -> int:
    """Kill what `find` finds until it finds nothing, and say how many there were.

    Stopped first, killed then: what is stopped cannot fork while the rest is looked for.
    """
    seen: set[int] = set()
    deadline = time.monotonic() + seconds
    while (found := find()) and time.monotonic() < deadline:
        send(found, signal.SIGSTOP)
        seen |= found
        if not find() - found:
            send(found, signal.SIGKILL)
            while find() & found and time.monotonic() < deadline:
                reap()
                time.sleep(0.002)
        reap()
    return len(seen)
