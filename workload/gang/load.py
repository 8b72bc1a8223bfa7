"""What a node's ranks take of it: cores and memory, from /proc, for `tutti top` and the report."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

EVERY_S: Final = 10.0  # a line of 100 bytes each: 1,000 nodes write 0.9 GB a day
SOON_S: Final = 2.0  # after the ranks' start: who looks then wants to see them, and a short job is over soon
TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class LoadMeter:
    """Cores in use between two looks, and memory at the second, of each rank's own process."""

    def __init__(self) -> None:
        self._ticks: dict[int, int] = {}  # pid -> CPU time so far
        self._at = 0.0
        self._due = 0.0

    def measure(self, pids: Mapping[int, int], now: float) -> dict[str, Any] | None:
        """Fields of the event `load` for ranks (rank -> pid) at `now` (monotonic seconds).

        To be asked every SOON_S: None at the first look, then something after SOON_S, then every EVERY_S.
        """
        if not pids or now < self._due:
            return None
        ticks = {pid: used for pid in pids.values() if (used := cpu_ticks(pid)) is not None}
        passed, before = now - self._at, self._ticks
        first = not before
        self._due = now + (SOON_S if first else EVERY_S) - SOON_S / 2  # a look may come a little early
        self._ticks, self._at = ticks, now
        if first or passed <= 0 or not ticks:
            return None
        each = {
            rank: [round((ticks[pid] - before.get(pid, 0)) / TICKS_A_SECOND / passed, 2), resident_bytes(pid)]
            for rank, pid in sorted(pids.items())
            if pid in ticks
        }
        cores = sum(cpu for cpu, _ in each.values())
        return {"cores": round(cores, 2), "memory": sum(memory for _, memory in each.values()), "ranks": each}


def cpu_ticks(pid: int) -> int | None:
    """CPU time of a process, in clock ticks, all its threads and what it has waited for; None where it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # behind the program's name, which may hold anything: fields 14 to 17 of proc(5) are utime stime cutime cstime
    fields = stat[stat.rindex(")") + 2 :].split()
    return sum(int(field) for field in fields[11:15])


def resident_bytes(pid: int) -> int:
    """Memory that a process holds; 0 where it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1]) * PAGE_BYTES
    except (OSError, IndexError):
        return 0
