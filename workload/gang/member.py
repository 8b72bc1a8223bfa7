"""A node's own part in the gang: it joins, checks, stages, hosts its ranks, and ends when main says so or is gone.

Main's process has one too, which connects over TCP like every other.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from workload.contract import Event, ExitCode, Progress
from workload.gang import origin, preflight, processes, workdir
from workload.gang.chores import Chores
from workload.gang.daemons import Daemons
from workload.gang.fulllog import FullLog
from workload.gang.installed import Installation
from workload.gang.keys import GangKeys
from workload.gang.launch import daemon_environment
from workload.gang.load import SOON_S, LoadMeter
from workload.gang.log import Log
from workload.gang.loop import Loop, Timer
from workload.gang.places import Layout
from workload.gang.ranks import Ranks
from workload.gang.records import RankRecord
from workload.gang.roster import Hello
from workload.gang.topology import places_of
from workload.gang.watch import BEAT_S, LOOK_S, PAUSED_S
from workload.gang.wire import MemberWire, Message
from workload.node import Node
from workload.record import Record
from workload.settings import Settings

DOOR_CLOSED_S: Final = 60.0  # handshakes that fail for so long are no accident
LOG_S: Final = 2.0  # for the ranks' last lines, once they have ended
LEAVE_S: Final = 3.0  # for killed processes to go
PROGRESS_EVERY_S: Final = 0.5  # to main, at most
WELCOME_S: Final = 0.5  # a welcome may be under way when SIGTERM comes
WORDS_S: Final = 0.2  # after new output, main gets its last line: a node that dies has said something
WORDS_A_SECOND: Final = 500.0  # of all nodes together
PROBE_S: Final = 5.0


class Job(Record):
    """What a node runs: the same on every node, but for `node`."""

    node: Node
    settings: Settings
    argv: tuple[str, ...]
    environ: Mapping[str, str]  # the container's, clean
    keys: GangKeys
    installation: Installation | None
    versions: Mapping[str, str]
    run_folder: Path  # for pipes and sockets, 0700
    port: int


class Member:
    """One node. `on_end` gets this node's exit code when everything of the job is gone from it."""

    def __init__(self, loop: Loop, job: Job, log: Log, *, on_end: Callable[[int], None]) -> None:
        self._loop = loop
        self._job = job
        self._log = log
        self._on_end = on_end
        self._joined = False
        self._going = False  # SIGTERM came before the welcome
        self._ended = False
        self._heard = time.monotonic()
        self._looked = self._heard
        self._knocking: float | None = None
        self._active = False
        self._telling: Timer | None = None
        self._signalled: int | None = None  # what main had every rank sent last
        self._progress_sent: dict[int, float] = {}
        self._ranks: Ranks | None = None
        self._environment: dict[str, str] = {}
        self._daemons = Daemons(loop, log, job.node.address, on_end=self._daemon_ended)
        self._chores = Chores(loop, job, log)
        self._load = LoadMeter()
        node = job.node
        self._problems, self._facts = preflight.local_checks(node, job.settings) if job.settings.preflight else ([], {})
        self._neighbour = preflight.Neighbour(loop, node.address)
        self._wire = MemberWire(
            loop,
            address=node.main_address,
            port=job.port,
            keys=job.keys.member(node.index),
            roster=job.keys.roster().public,
            on_up=self._hello,
            on_message=self._told,
            on_gone=lambda: self._main_gone("its connection is closed"),
            on_refused=self._door_closed,
        )
        loop.on_signal(signal.SIGTERM, self.terminate)
        loop.on_signal(signal.SIGINT, self.terminate)
        self._timers = [
            loop.after(job.settings.join_deadline, self._not_in),
            loop.every(BEAT_S, self._beat),
            loop.every(LOOK_S, self._look),
            loop.every(SOON_S, self._measure),
        ]

    def terminate(self) -> None:
        """SIGTERM that nobody of ours sent: main opens one stop for the whole gang; this node goes on until then."""
        if self._joined:
            self._log.says("SIGTERM: this node is going away; main is told")
            self._wire.send({"t": "term"})
        elif not self._going:
            self._going = True
            self._log.says("SIGTERM before this node had joined")
            self._loop.after(WELCOME_S, self._go)

    def _go(self) -> None:
        if not self._joined:
            self.end(ExitCode.GOING_AWAY)

    def end(self, code: int) -> None:
        """Kill what is left of the job on this node, and give the node's exit code."""
        if self._ended:
            return
        self._ended = True
        for timer in self._timers:
            timer.cancel()
        if code:
            self._daemons.noise.drop()
        self._chores.cancel()
        until = time.monotonic() + LOG_S
        if self._ranks is not None and not self._ranks.running():
            self._drain(until, code)
        else:
            self._leave(code)

    def close(self) -> None:
        self._wire.close()

    def _drain(self, until: float, code: int) -> None:
        """Read what the ended ranks wrote last; a daemon of theirs may hold a pipe open for ever."""
        if self._ranks is None or self._ranks.drained() or time.monotonic() > until:
            self._leave(code)
        else:
            self._loop.after(0.01, lambda: self._drain(until, code))

    def _leave(self, code: int) -> None:
        if self._ranks is not None:
            self._ranks.close(kill=True)
        if left := processes.kill_descendants(os.getpid(), within_s=LEAVE_S):
            self._log.says(f"these processes do not end, the kernel holds them: {left}")
        self._daemons.noise.flush()
        self._neighbour.close()
        self._chores.clean_up()
        self._on_end(code)

    # ------------------------------------------------------------ joining

    def _hello(self) -> None:
        node = self._job.node
        hello = Hello(
            index=node.index,
            address=node.address,
            network=node.interface.network,
            cores=len(node.cores),
            bind=node.bind,
            memory_mib=node.memory_mib,
            gpus=node.gpus,
            probe_port=self._neighbour.port,
            clock=time.time(),
            versions=self._job.versions,
            facts=self._facts,
            problems=tuple(self._problems),
        )
        self._wire.send(hello.message())

    def _door_closed(self, for_good: bool) -> None:
        if self._joined or self._ended:
            return
        now = time.monotonic()
        self._knocking = self._knocking or now
        if for_good or now - self._knocking > DOOR_CLOSED_S:
            self._refused()

    def _not_in(self) -> None:
        if self._joined:
            return
        if self._knocking is not None:
            self._refused()
            return
        main = f"{self._job.node.main_address}:{self._job.port}"
        self._log.says(f"no roster answered at {main} within {self._job.settings.join_deadline:.0f} s")
        self.end(ExitCode.MISSING)

    def _refused(self) -> None:
        self._log.says(
            f"refused: the roster at {self._job.node.main_address} does not take this node's key. "
            "It is another job's, another attempt's, or another stack's"
        )
        self.end(ExitCode.REFUSED)

    # ------------------------------------------------------------ signs of life

    def _beat(self) -> None:
        if self._joined:
            beat = {"t": "beat", "clock": time.time(), "last": self._log.last_words, "active": self._active}
            self._active = False
            self._wire.send(beat)

    def _look(self) -> None:
        now = time.monotonic()
        if (pause := now - self._looked) > PAUSED_S:
            self._heard += pause  # we were stopped: main's silence in that time proves nothing
        self._looked = now
        if self._joined and (silence := now - self._heard) > self._job.node.silence_s:
            self._main_gone(f"it has been silent for {silence:.0f} s")

    def _main_gone(self, why: str) -> None:
        if not self._ended:
            self._log.says(f"main at {self._job.node.main_address} is gone: {why}. This node ends")
            self.end(ExitCode.LOST)

    # ------------------------------------------------------------ what main says

    def _told(self, message: Message) -> None:
        self._heard = time.monotonic()
        if self._ended:
            return
        match message:
            case {"t": "beat"}:
                pass
            case {"t": "welcome"}:
                self._joined = True
                self._wire.joined()
                self._beat()
                if self._going:
                    self.terminate()
            case {"t": "refused", "reason": reason}:
                self._log.says(f"refused: {reason}")
                self.end(ExitCode.REFUSED)
            case {"t": "check", "address": address, "port": port, "mark": mark}:
                self._check(str(address), int(port), mark)
            case {"t": "stage"}:
                self._chores.stage(lambda reply: self._wire.send({"t": "staged", **reply}))
            case {"t": "prepare", "layout": layout}:
                self._prepare(layout)
            case {"t": "daemon", "id": number, "command": command}:
                self._daemons.start(int(number), str(command), self._environment)
            case {"t": "daemon-end", "id": number}:
                self._daemons.end(int(number))
            case {"t": "alone"} if self._ranks is not None:
                self._ranks.run_alone(self._job.argv, self._environment, rank=self._job.node.index)
            case {"t": "signal", "number": number} if self._ranks is not None:
                self._signalled = int(number)
                self._ranks.signal(self._signalled)
            case {"t": "quiet"}:
                self._daemons.noise.drop()
            case {"t": "dump"}:
                self._dump()
            case {"t": "upload"}:
                self._chores.upload(lambda reply: self._wire.send({"t": "uploaded", **reply}))
            case {"t": "end", "reason": reason}:
                if not self._job.node.is_main:
                    if reason:
                        self._log.says(f"the gang ends: {reason}")
                    self.end(ExitCode.DONE)

    def _check(self, address: str, port: int, mark: Mapping[str, str] | None) -> None:
        """The part of the preflight that takes two: the next node in the ring, and the folder that all must see."""
        shared = self._job.node.shared
        open_checks = {"reach", "mark"} if mark and shared else {"reach"}
        problems: list[str] = []

        def checked(what: str, problem: str | None) -> None:
            open_checks.discard(what)
            problems.extend([problem] if problem else [])
            if not open_checks:
                self._wire.send({"t": "checked", "problems": problems})

        preflight.reach(self._loop, address, port, lambda problem, _: checked("reach", problem), timeout=PROBE_S)
        if mark and shared:
            self._chores.read_mark(shared, mark, lambda reply: checked("mark", reply["problem"]))

    # ------------------------------------------------------------ ranks and MPI's daemons

    @property
    def environment(self) -> Mapping[str, str]:
        """What this node's daemons and ranks run with; main's mpiexec too."""
        return self._environment

    def _prepare(self, told: Mapping[str, Any]) -> None:
        node, layout = self._job.node, Layout.from_message(told)
        try:
            where, made = workdir.ready(self._job.settings.workdir, node, self._job.environ)
        except ValueError as error:
            self._wire.send({"t": "prepared", "problem": str(error), "code": ExitCode.SETTINGS})
            return
        if made:
            self._log.says(f"workdir {where} was not there: it is made")
        self._ranks = Ranks(
            self._loop,
            log=self._log,
            folder=self._job.run_folder,
            places=places_of(node, layout),
            job_folder=where,
            on_record=self._record,
            on_progress=self._progress,
            on_output=self._output,
            full=FullLog(node.job_folder) if self._job.settings.outputs else None,
        )
        clean = {**self._job.environ, **self._chores.secrets}
        self._environment = {
            **daemon_environment(node, layout, self._job.installation, clean),
            **self._ranks.environment,
        }
        if node.shared_host:
            # Open MPI's daemons meet in $TMPDIR, and those of several nodes must not.
            own = self._job.run_folder / "tmp"
            own.mkdir(mode=0o700)
            self._environment["TMPDIR"] = str(own)
        self._wire.send({"t": "prepared", "shim": str(self._ranks.shim)})
        origin.tell(
            self._loop.soon, self._log, self._job.environ
        )  # now, for main and MPI are busy, and this node waits

    def _measure(self) -> None:
        if self._ranks is None or not self._job.settings.metrics:
            return
        pids = {record.rank: record.pid for record in self._ranks.running()}
        if load := self._load.measure(pids, time.monotonic()):
            self._log.event(Event.LOAD, **load)

    def _daemon_ended(self, number: int, code: int) -> None:
        self._wire.send({"t": "daemon-ended", "id": number, "code": code})

    def _record(self, record: RankRecord) -> None:
        self._daemons.noise.hold()
        if record.ended is None and self._signalled is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(record.pid, self._signalled)  # it started after the others had been told
        self._wire.send({"t": "record", **record.to_json()})

    def _output(self) -> None:
        self._active = True
        if self._telling is None:

            def tell() -> None:
                self._telling = None
                self._beat()

            self._telling = self._loop.after(max(WORDS_S, self._job.node.count / WORDS_A_SECOND), tell)

    def _progress(self, progress: Progress, datagram: Mapping[str, Any]) -> None:
        self._active = True
        if datagram.get("stopped"):
            self._wire.send({"t": "asked-stop", "rank": progress.rank})
            return
        now = time.monotonic()
        done = progress.total is not None and progress.step >= progress.total
        if done or now - self._progress_sent.get(progress.rank, 0.0) >= PROGRESS_EVERY_S:
            self._progress_sent[progress.rank] = now
            self._wire.send({"t": "progress", **vars(progress)})

    def _dump(self) -> None:
        def done() -> None:
            self._wire.send({"t": "dumped"})

        if self._ranks is None:
            done()
        else:
            self._ranks.dump_stacks(done)


def started(node: Node, log: Log, versions: Mapping[str, str]) -> None:
    """The first lines of a node's log."""
    log.event(Event.STARTED, node=node.index, address=node.address)
    cores = f"{len(node.cores)} {'core' if len(node.cores) == 1 else 'cores'}"
    has = ", ".join(f"{name} {version}" for name, version in versions.items())
    log.says(
        f"node {node.index} of {node.count}{' (main)' if node.is_main else ''} at {node.address} on "
        f"{node.interface.name}, {cores}, {node.memory_mib} MiB, job {node.job_id} attempt {node.attempt}; {has}"
    )
