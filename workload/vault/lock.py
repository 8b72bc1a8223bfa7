"""The lock on a checkpoint target: one program writes there. Standard library only.

The lock says who holds it: job and attempt, host, process. A second job is refused. Let in are: a later attempt at the
same job, whoever finds that the holder's process on this very host is gone, and whoever finds a lock that its holder
has not touched for `STALE_S`. Each commit checks that the lock is still the committer's own, so a late attempt that
comes back from a long sleep cannot commit any more.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from workload.contract import BatchVariable, Variable
from workload.manifest import LOCK_KEY
from workload.vault.store import Entry, Store

STALE_S: Final = 900.0
TOUCH_S: Final = 60.0  # how often a running program touches its lock
_TRIES: Final = 5  # of acquire, when others change the lock at the same time


class LockedError(Exception):
    """Somebody else holds the lock."""


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Who holds a lock. job: "" outside Batch. line: see Variable.LINE. process: pid and start, unique on `host`."""

    job: str
    line: str
    resubmission: int
    attempt: int  # of this job: from 1 in each resubmission
    host: str
    process: str
    token: str
    since: float

    @classmethod
    def of_this_process(cls, environ: Mapping[str, str]) -> Self:
        job = environ.get(BatchVariable.JOB_ID, "").partition("#")[0]
        line, _, resubmission = environ.get(Variable.LINE, job).partition("/")
        return cls(
            job=job,
            line=line,
            resubmission=int(resubmission or 0),
            attempt=int(environ.get(BatchVariable.ATTEMPT, "1")),
            host=_host(),
            process=_process(os.getpid()) or str(os.getpid()),
            token=secrets.token_hex(16),
            since=time.time(),
        )

    @property
    def order(self) -> tuple[int, int]:
        """Which of two owners in one line is the later one."""
        return self.resubmission, self.attempt

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self), indent=1).encode()

    def __str__(self) -> str:
        who = f"job {self.job}, attempt {self.attempt}" if self.job else f"process {self.process.split('@')[0]}"
        return f"{who} on {self.host.split('/')[0]}"


@dataclass(frozen=True, kw_only=True)
class Held:
    """A lock that we hold."""

    store: Store
    owner: Owner
    taken_from: str = ""  # why the lock of somebody else was taken, for the log

    def check(self) -> None:
        """See that the lock is still ours.

        Raises
        ------
        LockedError
            It is not.
        StoreError
            Nobody can tell.
        """
        entry = self.store.get(LOCK_KEY)
        if entry is None or entry.data != self.owner.to_bytes():
            raise LockedError(f"{self.store.target}: {_lost(entry)}. Nothing was committed here by this program since")

    def touch(self) -> None:
        """Say that we are alive. Raises as `check`."""
        entry = self.store.get(LOCK_KEY)
        if entry is None or entry.data != self.owner.to_bytes() or not self.store.touch(LOCK_KEY, entry):
            raise LockedError(f"{self.store.target}: {_lost(entry)}")

    def release(self) -> None:
        """Remove the lock if it is still ours."""
        entry = self.store.get(LOCK_KEY)
        if entry is not None and entry.data == self.owner.to_bytes():
            self.store.delete([LOCK_KEY])


def next_line(environ: Mapping[str, str], job: str) -> str:
    """Variable.LINE for the successor of `job` with environment `environ`: the lock then lets it in."""
    line, _, resubmission = environ.get(Variable.LINE, job).partition("/")
    return f"{line}/{int(resubmission or 0) + 1}"


def holder(entry: Entry) -> Owner | None:
    """Who wrote the lock; None where it cannot be read."""
    try:
        return Owner(**json.loads(entry.data))
    except (ValueError, TypeError):
        return None


def acquire(store: Store, me: Owner, *, stale: float = STALE_S) -> Held:
    """Take the lock of `store`.

    Raises
    ------
    LockedError
        Another job holds it; the message says who, for how long, and what to do.
    StoreError
        The store failed.
    """
    for _ in range(_TRIES):
        if store.put_new(LOCK_KEY, me.to_bytes()):
            return Held(store=store, owner=me)
        entry = store.get(LOCK_KEY)
        if entry is None:
            continue
        reason = may_take(holder(entry), entry.age, me, stale)
        if not reason:
            raise LockedError(_refusal(store, entry, stale))
        if store.take_over(LOCK_KEY, entry, me.to_bytes()):
            return Held(
                store=store, owner=me, taken_from=f"took the lock of {holder(entry) or 'nobody known'}: {reason}"
            )
    raise LockedError(f"{store.target}: several programs want this place for checkpoints at once. Start one of them")


def may_take(other: Owner | None, age: float, me: Owner, stale: float = STALE_S) -> str:
    """Why `me` may take a lock of `other` that was last touched `age` seconds ago; "" where it may not."""
    if other is not None:
        if me.line and me.line == other.line and me.order > other.order:
            return "an earlier attempt at this job"
        if me.host == other.host and not _alive(other.process):
            return "its process is gone"
    if age > stale:
        return f"not touched for {age:.0f} s (limit {stale:.0f} s)"
    return ""


def _refusal(store: Store, entry: Entry, stale: float) -> str:
    other = holder(entry)
    held = f", held for {max(0.0, time.time() - other.since):.0f} s" if other else ""
    return (
        f"{store.target}: checkpoints are being written here by {other or 'a program that left no name'}{held}, "
        f"last sign of life {entry.age:.0f} s ago. Give this program a place of its own. If that one is gone, its lock "
        f"falls after {stale:.0f} s without a sign of life, or at once with: tutti checkpoints unlock {store.target}"
    )


def _lost(entry: Entry | None) -> str:
    if entry is None:
        return "our lock was removed"
    return f"our lock was taken by {holder(entry) or 'a program that left no name'}"


def _host() -> str:
    """The host, and this start of it: a container's name may come again on another machine."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        # A process number means something only in its own namespace.
        boot += "/" + str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        boot = ""
    return f"{socket.gethostname()}/{boot}"


def _process(pid: int) -> str:
    """`PID@START`, START in the kernel's ticks since boot, or "" where there is no such process."""
    try:
        # The name in parentheses may hold anything; field 22 of proc(5) is the 20th after it.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else f"{pid}@{fields[19]}"


def _alive(process: str) -> bool:
    pid, _, start = process.partition("@")
    if start and Path("/proc/self/stat").exists():
        return _process(int(pid)) == process
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
