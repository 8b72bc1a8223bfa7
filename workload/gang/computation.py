"""The ranks' life as main sees it: mpiexec, the records, a stop, a stall, the end (DESIGN section 4, points 4 to 7)."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from workload.contract import Event, ExitCode, Progress, Variable
from workload.gang.agents import AgentCall, AgentServer
from workload.gang.launch import Launch, mpiexec_command
from workload.gang.lines import LineReader
from workload.gang.log import Log
from workload.gang.loop import Loop, Timer
from workload.gang.member import Job
from workload.gang.metrics import ProgressMetrics
from workload.gang.noise import Noise
from workload.gang.outcome import Outcome, Verdict, ended_early
from workload.gang.places import Host, Layout
from workload.gang.reception import Reception
from workload.gang.records import RankRecord
from workload.gang.roster import ranges
from workload.gang.wire import Message

STRAGGLERS_S: Final = 4.5  # after a rank failed: then the job ends, within the 5 s that are promised, mpiexec or not
MPIEXEC_S: Final = 5.0  # for mpiexec to end after the last rank
RECORDS_S: Final = 2.0  # for the last records to come after mpiexec has ended
QUIET_S: Final = 0.02  # for that word to reach the members
DUMP_S: Final = 6.0  # for the stacks of all ranks
EARLY_END_S: Final = 60.0  # a rank that ended with 0 so long before the others is named


class Computation:
    """One launch of the program on all nodes. `on_end` gets the verdict, once, when no rank runs any more."""

    def __init__(
        self,
        loop: Loop,
        job: Job,
        log: Log,
        reception: Reception,
        *,
        hosts: Sequence[Host],
        layout: Layout,
        on_end: Callable[[Verdict], None],
    ) -> None:
        self._loop = loop
        self._job = job
        self._log = log
        self._reception = reception
        self._hosts = tuple(hosts)
        self._layout = layout
        self._on_end = on_end
        self._outcome = Outcome(ranks=len(hosts) * layout.ranks_per_node)
        self._agents: AgentServer | None = None
        self._calls: dict[int, AgentCall] = {}
        self._mpiexec: int | None = None
        self._mpiexec_code: int | None = None
        self._mpiexec_says = Noise(loop, log, "mpiexec")
        self._cut = False  # mpiexec, by us: its code says nothing
        self._began = time.monotonic()
        self._launched = False
        self._stop_code: int | None = None
        self._stop_begun = False
        self.stopped_at = 0.0  # monotonic
        self._undumped: set[int] = set()
        self._failing = False
        self._ended = False
        self._timers: list[Timer] = []
        stack = job.environ.get(Variable.STACK, "")
        self._metrics = ProgressMetrics(stack, job.node.job_id) if stack and job.settings.metrics else None
        self._speaker: int | None = None  # the lowest rank that reports progress speaks for all

    def start(self, environment: Mapping[str, str], shim: str) -> None:
        """Start the program: by mpiexec with the `environment` of this node's ranks, or (`mpi: none`) by each member.

        Raises
        ------
        OSError
            mpiexec cannot be started.

        """
        self._began = time.monotonic()
        if installation := self._job.installation:
            self._agents = AgentServer(
                self._loop,
                self._job.run_folder,
                [host.address for host in self._hosts],
                on_call=self._agent_called,
                on_gone=self._agent_gone,
                refused=lambda why: self._log.says(f"refused: {why}"),
            )
            launch = Launch(
                installation=installation,
                hosts=self._hosts,
                layout=self._layout,
                argv=self._job.argv,
                address=self._job.node.address,
                interface=self._job.node.interface.name,
                agent=self._agents.agent,
                shim=shim,
            )
            self._run_mpiexec(mpiexec_command(launch), environment)
        else:
            self._reception.broadcast({"t": "alone"})

    def handle(self, index: int, message: Message) -> None:
        """A message of a member's, of those that tell of ranks and daemons."""
        match message:
            case {"t": "record"}:
                self._recorded(index, RankRecord.from_json({k: v for k, v in message.items() if k != "t"}))
            case {"t": "beat", "clock": clock}:
                self._outcome.clock(index, float(clock), time.time())
            case {"t": "progress"}:
                self._progressed(Progress(**{k: v for k, v in message.items() if k != "t"}))
            case {"t": "daemon-ended", "id": number, "code": code} if number in self._calls:
                self._calls[int(number)].finish(int(code))
            case {"t": "dumped"}:
                self._undumped.discard(index)
                if not self._undumped:
                    self._dumped()
            case {"t": "asked-stop"}:
                self._outcome.asked = True

    def close(self) -> None:
        """Whatever runs of it on this node is no longer wanted."""
        self._ended = True
        for timer in self._timers:
            timer.cancel()
        if self._agents:
            self._agents.close()
            self._agents = None
        self._cut_mpiexec()

    # ------------------------------------------------------------ mpiexec and its daemons

    def _run_mpiexec(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        reading, writing = os.pipe2(os.O_CLOEXEC)
        try:
            self._mpiexec = self._loop.spawn(
                command,
                env=environment,
                on_exit=self._mpiexec_ended,
                cwd="/",
                stdout=writing,
                stderr=subprocess.STDOUT,
            )
        except OSError:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        LineReader(self._loop, reading, self._mpiexec_says.line)

    def _agent_called(self, call: AgentCall) -> None:
        index = next(host.index for host in self._hosts if host.address == call.host)
        self._calls[index] = call
        self._reception.send(index, {"t": "daemon", "id": index, "command": call.command})

    def _agent_gone(self, call: AgentCall) -> None:
        for index, known in self._calls.items():
            if known is call:
                self._reception.send(index, {"t": "daemon-end", "id": index})

    def _mpiexec_ended(self, code: int) -> None:
        self._mpiexec_code = code
        self._look()
        if not self._stop_begun:  # else ranks may still use their grace
            self._after(RECORDS_S, self._cut_all)

    def _cut_mpiexec(self) -> None:
        if self._mpiexec is not None and self._mpiexec_code is None and not self._cut:
            self._cut = True
            # Its daemons complain about that, and it is no news.
            self._mpiexec_says.drop()
            self._reception.broadcast({"t": "quiet"})
            self._loop.after(QUIET_S, self._kill_mpiexec)

    def _kill_mpiexec(self) -> None:
        if self._mpiexec is not None and self._mpiexec_code is None:
            os.killpg(self._mpiexec, signal.SIGKILL)

    # ------------------------------------------------------------ the ranks

    def _recorded(self, index: int, record: RankRecord) -> None:
        self._outcome.add(index, record)
        self._mpiexec_says.hold()
        self._reception.watch.active(time.monotonic())
        if not self._launched and self._outcome.started == self._outcome.ranks:
            self._launched = True
            seconds = round(time.monotonic() - self._began, 3)
            mpi = str(self._job.installation or "none")
            self._log.event(Event.LAUNCHED, seconds=seconds, mpi=mpi, ranks=self._outcome.ranks)
        if record.ended is None or self._ended:
            return
        if record.code and not self._failing:
            self._failing = True
            self._log.says(f"node {index}: {record}")
            if not self._stop_begun:
                self._after(STRAGGLERS_S, self._cut_all)
        elif not record.code:
            self._after(EARLY_END_S, self._name_early)
        self._look()

    def _name_early(self) -> None:
        early = ended_early(self._outcome.records, time.time(), EARLY_END_S - 1)
        if (running := self._outcome.running()) and early:
            self._log.says(
                f"{'rank' if len(early) == 1 else 'ranks'} {ranges(early)} ended with 0 more than {EARLY_END_S:.0f} s "
                f"ago, and {len(running)} others run on"
            )

    def _progressed(self, progress: Progress) -> None:
        self._reception.watch.progressed(time.monotonic(), progress.step, progress.total)
        if self._speaker is None or progress.rank <= self._speaker:
            self._speaker = progress.rank
            self._log.event(
                Event.PROGRESS, step=progress.step, total=progress.total, rate=progress.rate, unit=progress.unit
            )
            if self._metrics is not None and (line := self._metrics.line(progress, time.time())):
                self._log.metric(line)

    # ------------------------------------------------------------ stop and stall

    def signal_ahead(self) -> None:
        """Ask the ranks ahead of the timeout; what they make of it is theirs."""
        if not self._stop_begun and not self._ended:
            self._log.says(f"SIGTERM to every rank: the job's timeout is {self._job.settings.signal_before} s away")
            self._reception.broadcast({"t": "signal", "number": signal.SIGTERM})

    def stalled(self, idle_s: float) -> None:
        """No progress for too long: a stack of every rank, then the end."""
        if self._stop_code is None and not self._ended:
            self._stop_code = ExitCode.STALLED
            self._log.says(f"no progress for {idle_s:.0f} s: every rank shows its stack, then the job ends")
            self._undumped = set(self._reception.roster.members)
            self._reception.broadcast({"t": "dump"})
            self._after(DUMP_S, self._dumped)

    def _dumped(self) -> None:
        if not self._stop_begun:
            self._undumped = set()
            self.stop(ExitCode.STALLED, "stalled: the stacks above show where every rank was", grace=0)

    def stop(self, code: int, reason: str, grace: int | None = None) -> None:
        """One stop for the whole gang: SIGTERM to every rank, the grace, SIGKILL. A second one changes nothing."""
        if self._stop_begun or self._ended:
            return
        self._stop_begun = True
        self.stopped_at = time.monotonic()
        self._stop_code = code
        grace = self._job.settings.grace if grace is None else grace
        self._log.event(Event.STOPPING, reason=reason, code=int(code))
        self._log.says(f"{reason}. SIGTERM to every rank, SIGKILL in {grace} s")
        self._reception.broadcast({"t": "signal", "number": signal.SIGTERM})
        self._after(grace, self._cut_all)
        self._look()

    @property
    def stop_code(self) -> int | None:
        """The code of the stop under way."""
        return self._stop_code

    def _cut_all(self) -> None:
        """Ranks that still run have had their time; so has mpiexec."""
        if self._ended:
            return
        if running := self._outcome.running():
            still = f"{'rank' if len(running) == 1 else 'ranks'} {ranges(r.rank for r in running)}"
            self._log.says(f"SIGKILL to what still runs: {still}")
        self._reception.broadcast({"t": "signal", "number": signal.SIGKILL})
        self._cut_mpiexec()
        self._look()
        self._after(RECORDS_S, self._end)

    def _look(self) -> None:
        """Is it over? When no rank runs and mpiexec, where there is one, has ended too."""
        if self._ended or self._outcome.running():
            return
        all_ended = self._outcome.ended == self._outcome.ranks
        if self._mpiexec is None:
            if all_ended or (self._stop_begun and self._outcome.ended):
                self._end()
        elif self._mpiexec_code is not None:
            if all_ended or self._outcome.started or self._stop_begun:
                self._end()
        elif all_ended or self._stop_begun:
            self._after(MPIEXEC_S, self._cut_all)

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        for timer in self._timers:
            timer.cancel()
        self._mpiexec_says.flush()
        verdict = self._outcome.verdict(None if self._cut else self._mpiexec_code)
        if self._stop_code is not None and verdict.code != ExitCode.STOPPED:
            verdict = Verdict(code=self._stop_code, why=ExitCode(self._stop_code).meaning)
        self._on_end(verdict)

    def _after(self, seconds: float, call: Callable[[], None]) -> None:
        self._timers.append(self._loop.after(seconds, call))
