"""Where a twin keeps its things, and what of them is left by one that was killed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import shutil
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tutti.twin.nodes import cgroups, processes


@dataclass(frozen=True, kw_only=True)
class TwinPlace:
    """Below the twin's home, but for scratch: sockets' paths are limited to 107 bytes, and a home may be long."""

    home: Path

    @property
    def name(self) -> str:
        """Its own among all twins of this machine: names its control groups, marks its nodes."""
        return f"tutti-{hashlib.sha256(str(self.home.resolve()).encode()).hexdigest()[:10]}"

    @property
    def database(self) -> Path:
        return self.home / "twin.db"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def objects(self) -> Path:
        return self.home / "objects"

    @property
    def shared(self) -> Path:
        return self.home / "shared"

    @property
    def own_log(self) -> Path:
        return self.home / "twin.log"

    @property
    def lock(self) -> Path:
        return self.home / "lock"

    @property
    def scratch(self) -> Path:
        return Path(tempfile.gettempdir()) / f"{self.name}-{os.getuid()}"

    def make(self) -> None:
        """Make the folders.

        Raises
        ------
        PermissionError
            Somebody else owns the scratch folder.

        """
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileExistsError):
            self.scratch.mkdir(mode=0o700)
        if self.scratch.is_symlink() or self.scratch.stat().st_uid != os.getuid():
            raise PermissionError(f"{self.scratch} belongs to somebody else; remove it, or set TMPDIR")

    def sweep(self) -> int:
        """End and remove what an earlier twin of this home left behind; how many processes that were."""

        def left() -> set[int]:
            return processes.marked(self.name) - {os.getpid()}

        ended = processes.end_all(left, reap=lambda: None) if left() else 0
        if groups := cgroups.find(self.name):
            groups.remove()
        shutil.rmtree(self.scratch, ignore_errors=True)
        return ended


def wait_gone(pid: int, seconds: float) -> bool:
    """Whether process `pid` is gone within so many seconds."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(seconds * 1000))
    finally:
        os.close(descriptor)


def end_process(pid: int, seconds: float) -> None:
    """SIGTERM, and SIGKILL where that did not help."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        if wait_gone(pid, seconds):
            return
