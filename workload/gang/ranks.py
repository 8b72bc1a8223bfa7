"""A member's side of its ranks: serves the shims, reads what the ranks write, knows how each ended, signals them.

No rank is a child of the member (the MPI's daemon is between them), so each shim tells it pid and exit status through
a pipe, and the kernel tells it by pidfd when a process has gone without a word.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from workload.contract import Progress, Variable
from workload.gang import limits, memory, processes, stacks
from workload.gang.fulllog import FullLog
from workload.gang.limiter import Limiter, Lines
from workload.gang.log import Log
from workload.gang.loop import Loop
from workload.gang.places import Place
from workload.gang.records import RankRecord

SHIM: Final = Path(__file__).with_name("shim.sh")
READ_BYTES: Final = 64 * 1024
DRAIN_S: Final = 0.05  # between looks at lines that wait for the limiter
ORPHAN_S: Final = 2.0  # for a program whose shim mpiexec has ended, until it is ended too
STACKS_S: Final = 5.0  # for the ranks to write their stacks, at most: a moment where the machine is not busy
STACKS_LOOK_S: Final = 0.05
HELD_S: Final = 0.3  # ranks are held, until those of the other nodes are
LAST_WORDS_CHARACTERS: Final = 500
KILLED: Final = 128 + signal.SIGKILL
SHELLS: Final = {"sh", "dash", "bash", "ash", "ksh", "zsh", "busybox"}
DAEMONS: Final = ("hydra_", "mpiexec", "mpirun", "prte", "orted", "pmi_proxy")


class _Local:
    """One local rank: its pipes and what is known of it."""

    def __init__(self, fds: dict[int, Lines]) -> None:
        self.fds = fds
        self.record: RankRecord | None = None
        self.shim = 0
        self.alive: set[int] = set()  # of its program and its shim
        self.watched: list[int] = []  # their pidfds
        self.last: deque[bytes] = deque(maxlen=5)


class Ranks:
    """The ranks of one job on this node. Made before any daemon starts: the shims find its pipes by `environment`.

    `on_record` gets each rank twice: when it runs and when it has ended; `on_output` hears of every piece of output,
    `on_progress` of every datagram.
    """

    def __init__(
        self,
        loop: Loop,
        *,
        log: Log,
        folder: Path,
        places: Sequence[Place],
        job_folder: Path,
        on_record: Callable[[RankRecord], None],
        on_progress: Callable[[Progress, Mapping[str, Any]], None],
        on_output: Callable[[], None],
        full: FullLog | None = None,
    ) -> None:
        limits.raise_for_ranks()
        self._loop = loop
        self._log = log
        self._folder = folder / "ranks"
        self._folder.mkdir(mode=0o700)
        self._on_record = on_record
        self._on_progress = on_progress
        self._on_output = on_output
        self._limiter = Limiter()
        self._memory_kills = memory.kills()
        self._draining = False
        self._closed = False
        self._full = full
        self._reports = Lines()
        self._report = self._pipe("report")
        loop.add(self._report, self._hear)
        self._locals = [self._make_local(local, place, job_folder) for local, place in enumerate(places)]
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(self._folder / "progress"))
        loop.add(self._socket.fileno(), self._progressed)

    @property
    def shim(self) -> str:
        """The shim's path: on every node of one image the same."""
        return str(SHIM)

    @property
    def environment(self) -> dict[str, str]:
        """What the daemons of this node, and so its ranks, must have in their environment."""
        return {Variable.RANKS: str(self._folder), Variable.PROGRESS: str(self._folder / "progress")}

    def run_alone(self, argv: Sequence[str], environ: Mapping[str, str], *, rank: int) -> None:
        """Run the program once on this node, without an MPI (`mpi: none`), as local rank 0."""
        self._loop.spawn(
            ["/bin/sh", self.shim, *argv],
            env={**environ, Variable.RANK: str(rank), Variable.LOCAL_RANK: "0"},
            on_exit=lambda _: None,  # the shim says it, and its record counts
            cwd="/",
        )

    def running(self) -> list[RankRecord]:
        """Ranks that have started and not ended."""
        return [one.record for one in self._locals if one.record and one.record.ended is None]

    def signal(self, number: int) -> int:
        """Send a signal to the ranks of this node by pid; returns to how many.

        A shell keeps a signal to itself and waits for its program: where the rank is a shell script, what it runs gets
        the signal too.
        """
        count = 0
        for record in self.running():
            told = [record.pid]
            if _name(record.pid) in SHELLS:
                told += processes.descendants(record.pid)
            for pid in told:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
                    count += pid == record.pid
        return count

    def drained(self) -> bool:
        """Whether the ranks that ended have nothing left to read, and nothing waits for the log."""
        for one in self._locals:
            if one.record is not None:
                self._drain(one)
        self._write(self._limiter.rest())
        return True

    def dump_stacks(self, done: Callable[[], None]) -> None:
        """Write where each rank is into the log, then call `done`. For a job that ends: Python dies of it.

        Python writes its own stacks on SIGABRT (faulthandler); of any other program the log gets what the kernel shows.
        MPI's daemons are stopped first: they would end the other ranks as soon as one has died. So are the ranks of all
        nodes, before one of them dies: its neighbours' MPI libraries would end them without a word.
        """
        running = self.running()
        for pid in processes.descendants(os.getpid()):
            if _name(pid).startswith(DAEMONS):
                _kill(pid, signal.SIGSTOP)
        held = set()
        for record in running:
            tree = [record.pid, *processes.descendants(record.pid)]
            for pid in tree:
                for line in stacks.kernel_stack(pid):
                    self._log.line(record.rank, line.encode())
            for pid in tree:
                if stacks.is_python(pid):
                    held.add(pid)
                    _kill(pid, signal.SIGSTOP)
        latest = time.monotonic() + HELD_S + STACKS_S

        def abort() -> None:
            for pid in held:
                _kill(pid, signal.SIGABRT)
                _kill(pid, signal.SIGCONT)
            look()

        def look() -> None:
            if held & processes.parents().keys() and time.monotonic() < latest:
                self._loop.after(STACKS_LOOK_S, look)
                return
            self.drained()
            done()

        self._loop.after(HELD_S if held else 0.0, abort)

    def close(self, *, kill: bool = False) -> None:
        """Stop listening; with `kill`, end every process that descends from this one. The log gets what is left."""
        if self._closed:
            return
        self._closed = True
        if kill:
            processes.kill_descendants(os.getpid(), within_s=ORPHAN_S)
        self.drained()
        for one in self._locals:
            for fd in [*one.fds, *one.watched]:
                self._loop.remove(fd)
                os.close(fd)
        self._loop.remove(self._report)
        os.close(self._report)
        self._loop.remove(self._socket.fileno())
        self._socket.close()
        if self._full:
            self._full.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    # ------------------------------------------------------------ pipes

    def _pipe(self, name: str) -> int:
        path = self._folder / name
        os.mkfifo(path, 0o600)
        # For reading and writing: it never ends, and a shim that opens it waits for nobody.
        return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def _make_local(self, local: int, place: Place, job_folder: Path) -> _Local:
        gpu = "" if place.gpu is None else str(place.gpu)
        cpus = ",".join(str(cpu) for cpu in place.cpus) if shutil.which("taskset") else ""
        lines = (cpus, gpu, str(job_folder), str(Path.cwd()))
        (self._folder / f"place.{local}").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        one = _Local({self._pipe(f"out.{local}"): Lines(), self._pipe(f"err.{local}"): Lines()})
        for fd in one.fds:
            self._loop.add(fd, partial(self._readable, one, fd))
        return one

    def _readable(self, one: _Local, fd: int) -> None:
        self._read(one, fd)

    def _read(self, one: _Local, fd: int) -> bool:
        """Read once; False: there was nothing."""
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return False
        self._on_output()
        self._lines(one, one.fds[fd].feed(data))
        return True

    def _drain(self, one: _Local) -> None:
        """Read what is there, and take an unfinished line for whole."""
        until = time.monotonic() + DRAIN_S  # a child of the rank's may write for ever
        for fd, lines in one.fds.items():
            while self._read(one, fd) and time.monotonic() < until:
                pass
            self._lines(one, lines.end())

    def _lines(self, one: _Local, lines: list[bytes]) -> None:
        now = time.monotonic()
        rank = one.record.rank if one.record else None
        for line in lines:
            if line.strip():
                one.last.append(line)
            if self._full:
                self._full.write(rank, line)
            self._limiter.put(rank, line)
        self._write(self._limiter.due(now))
        if self._limiter.waiting() and not self._draining:
            self._draining = True
            self._loop.after(DRAIN_S, self._more)

    def _more(self) -> None:
        self._draining = False
        if not self._closed:
            self._write(self._limiter.due(time.monotonic()))
            if self._limiter.waiting():
                self._draining = True
                self._loop.after(DRAIN_S, self._more)

    def _write(self, lines: list[tuple[int | None, bytes]]) -> None:
        for rank, line in lines:
            if rank is None and line:
                self._log.says(line.decode("utf-8", "replace"))
            else:
                self._log.line(rank, line)

    # ------------------------------------------------------------ what the shims and the kernel say

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for line in self._reports.feed(os.read(self._report, READ_BYTES)):
                word, *numbers = line.decode("ascii", "replace").split()
                if len(numbers) == 4 and all(n.isdigit() for n in numbers):
                    rank, local, value, shim = map(int, numbers)
                    if local < len(self._locals) and word == "start":
                        record = RankRecord(rank=rank, local=local, pid=value, started=time.time())
                        self._started(self._locals[local], record, shim)
                    elif local < len(self._locals) and word == "end":
                        self._ended(self._locals[local], shim, value)

    def _started(self, one: _Local, record: RankRecord, shim: int) -> None:
        one.record, one.shim = record, shim
        one.alive = {record.pid, shim}
        self._watch(one, record, record.pid)
        self._watch(one, record, shim)
        self._on_record(record)

    def _ended(self, one: _Local, shim: int, code: int, *, reported: bool = True) -> None:
        if one.record is None or one.record.ended is not None or one.shim != shim:
            return
        now = time.time()  # before what takes time: the first rank to fail gives the job its code
        self._drain(one)
        words = b"\n".join(one.last).decode("utf-8", "replace")[-LAST_WORDS_CHARACTERS:]
        one.record = one.record.but(
            ended=now,
            code=code,
            reported=reported,
            last_words=words,
            out_of_memory=code == KILLED and self._out_of_memory(),
        )
        # Before the record: its arrival may start the upload.
        if self._full and self._limiter.dropped and not self.running() and (kept := self._full.keep()):
            self._log.says(f"all that the ranks wrote is in output/{kept.name}")
        self._on_record(one.record)

    def _out_of_memory(self) -> bool:
        """Whether it was for memory that the kernel has killed a rank just now: one for each kill that it counts."""
        known, self._memory_kills = self._memory_kills, min(memory.kills(), self._memory_kills + 1)
        return self._memory_kills > known

    def _watch(self, one: _Local, record: RankRecord, pid: int) -> None:
        try:
            fd = os.pidfd_open(pid)
        except OSError:
            self._gone(one, record, pid)
            return
        one.watched.append(fd)

        def ended() -> None:
            self._loop.remove(fd)
            one.watched.remove(fd)
            os.close(fd)
            self._gone(one, record, pid)

        self._loop.add(fd, ended)

    def _gone(self, one: _Local, record: RankRecord, pid: int) -> None:
        """The kernel says that the program or its shim has gone."""
        if self._closed or one.record is not record:
            return
        one.alive.discard(pid)
        if not one.alive:
            self._loop.after(0.0, lambda: self._vanished(one, record))  # after what the shim said last
        elif pid == one.shim:
            self._loop.after(ORPHAN_S, lambda: self._orphan(one, record))

    def _vanished(self, one: _Local, record: RankRecord) -> None:
        if not self._closed and one.record is record:
            self._hear()
            self._ended(one, one.shim, KILLED, reported=False)

    def _orphan(self, one: _Local, record: RankRecord) -> None:
        """The shim has gone without a word: mpiexec wants this rank to end."""
        if not self._closed and one.record is record:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(record.pid, signal.SIGKILL)

    def _progressed(self) -> None:
        # Whatever a rank sends, it must not harm its member.
        with contextlib.suppress(BlockingIOError, ValueError, TypeError, KeyError):
            datagram = dict(json.loads(self._socket.recv(READ_BYTES)))
            known = {k: datagram[k] for k in ("total", "rate", "unit") if datagram.get(k) is not None}
            progress = Progress(rank=int(datagram["rank"]), step=int(datagram.get("step", 0)), **known)
            self._on_progress(progress, datagram)


def _kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    return ""
