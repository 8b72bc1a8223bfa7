"""A process's own flags, and everything that descends from it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path
from typing import Final

# linux/prctl.h
PR_SET_DUMPABLE: Final = 4
PR_SET_CHILD_SUBREAPER: Final = 36
PROC: Final = Path("/proc")


def become_sub_reaper() -> None:
    """Daemonised descendants become children of this process, and not of init."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def become_unreadable() -> None:
    """No other process of this user may read this one's memory, environment or descriptors."""
    _prctl(PR_SET_DUMPABLE, 0)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}, {value}): {os.strerror(number)}")


def parents() -> dict[int, int]:
    """Every process's parent, as procfs shows them now. Zombies are left out."""
    found = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                # The second field, the name, may hold spaces and brackets: the rest begins after the last one.
                fields = (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
                if fields[0] != "Z":
                    found[int(entry.name)] = int(fields[1])
    return found


def descendants(of: int) -> list[int]:
    """All living descendants of a process."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents().items():
        children.setdefault(parent, []).append(pid)
    found: list[int] = []
    ask = [of]
    while ask:
        for child in children.get(ask.pop(), ()):
            found.append(child)
            ask.append(child)
    return found


def kill_descendants(of: int, *, within_s: float) -> list[int]:
    """SIGKILL to all descendants until none lives; returns those that would not go (in the kernel's hands)."""
    until = time.monotonic() + within_s
    while (alive := descendants(of)) and time.monotonic() < until:
        for pid in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)  # what was killed ends in its own time, and its children become ours
    return alive
