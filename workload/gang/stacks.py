"""Where a process is, for a job that has stalled: best effort, from outside."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
MOST_THREADS: Final = 8  # a stalled OpenMP program has as many alike as it has cores
STACK_LINES: Final = 12


def is_python(pid: int) -> bool:
    """Whether the process is a Python that can write its stack (PYTHONFAULTHANDLER) on SIGABRT."""
    with contextlib.suppress(OSError):
        if "python" not in (PROC / str(pid) / "exe").readlink().name:
            return False
        return catches(pid, signal.SIGABRT)
    return False


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether the process has a handler for the signal."""
    with contextlib.suppress(OSError, ValueError):
        for line in (PROC / str(pid) / "status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False


def kernel_stack(pid: int) -> list[str]:
    """Lines on each thread: its state, in which kernel function it waits and, where root may ask, through which."""
    folder = PROC / str(pid)
    name = _read(folder / "comm") or "?"
    try:
        threads = sorted((task.name for task in (folder / "task").iterdir()), key=int)
    except OSError:
        return [f"process {pid}: gone"]
    lines = []
    for tid in threads[:MOST_THREADS]:
        task = folder / "task" / tid
        state = _read(task / "stat").rpartition(")")[2].split()[:1] or ["?"]
        where = _read(task / "wchan")
        call = _read(task / "syscall").split()[:1]
        lines.append(
            f"process {pid} ({name}) thread {tid}: state {state[0]}, "
            + (f"waits in {where}" if where not in {"", "0"} else "on a CPU or in user code")
            + (f", system call {call[0]}" if call and call[0].isdigit() else "")
        )
        lines += [f"    {line}" for line in _read(task / "stack").splitlines()[:STACK_LINES]]
    if len(threads) > MOST_THREADS:
        lines.append(f"process {pid}: and {len(threads) - MOST_THREADS} threads more")
    return lines


def _read(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace").strip()
    return ""
