"""What the main node does besides being a member: it leads the gang from the first hello to the exit code.

The phases of DESIGN section 4 in their order, each a method that ends by calling the next; what may happen at any time
(a lost node, SIGTERM, a stall) ends the gang from wherever it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Final

from workload.contract import Event, ExitCode
from workload.gang import preflight
from workload.gang.computation import QUIET_S, Computation
from workload.gang.installed import LaunchError
from workload.gang.log import Log
from workload.gang.loop import Loop, Timer
from workload.gang.member import LOG_S, Job, Member
from workload.gang.outcome import Verdict
from workload.gang.places import Host, Layout, placement, placement_map
from workload.gang.reception import Reception
from workload.gang.roster import Hello, ranges
from workload.gang.topology import places_of
from workload.gang.wire import Message
from workload.settings import InputTo

GOODBYE_S: Final = 4.0  # for the members to leave


class Phase(IntEnum):
    ASSEMBLE = 0
    PREFLIGHT = 1
    STAGE = 2
    COMPUTE = 3
    UPLOAD = 4
    END = 5


class Main:
    """The gang's lead. `on_end` gets the job's exit code when every node has been told and has left."""

    def __init__(
        self, loop: Loop, job: Job, log: Log, member: Member, reception: Reception, *, on_end: Callable[[int], None]
    ) -> None:
        self._loop = loop
        self._job = job
        self._log = log
        self._member = member
        self._reception = reception
        self._on_end = on_end
        self._phase = Phase.ASSEMBLE
        self._began = self._phase_began = time.monotonic()
        self._waiting: set[int] = set()
        self._answers: dict[int, Message] = {}
        self._computation: Computation | None = None
        self._code = 0
        self._member_left = False
        self._others_left = False
        self._over = False
        self._timers: list[Timer] = []
        self._mark = ""
        reception.listen(on_message=self._told, on_ready=self._assembled, on_end=self.end, on_stall=self._stalled)
        self._after(job.settings.join_deadline, self._deadline)

    def _after(self, seconds: float, call: Callable[[], None]) -> None:
        self._timers.append(self._loop.after(seconds, call))

    def _next(self, phase: Phase) -> float:
        """Enter `phase`; returns the seconds that the one before took."""
        now = time.monotonic()
        seconds, self._phase, self._phase_began = now - self._phase_began, phase, now
        return round(seconds, 3)

    def _ask(self, message: Message, *indices: int) -> None:
        """Say it to these members, and wait for an answer from each (`_answered`). Without indices: to all."""
        self._waiting = set(indices or self._reception.roster.members)
        for index in self._waiting:
            self._reception.send(index, message)

    def _answered(self, index: int, message: Message) -> bool:
        """Note an answer; True when it was the last."""
        self._waiting.discard(index)
        self._answers[index] = message
        return not self._waiting

    def _take(self) -> tuple[int, list[tuple[int, Message]]]:
        """The answers so far: the bytes that they moved, and those that tell of a problem, by index."""
        answers, self._answers = self._answers, {}
        moved = sum(int(answer.get("bytes", 0)) for answer in answers.values())
        return moved, sorted((i, a) for i, a in answers.items() if a.get("problem") or a.get("problems"))

    # ------------------------------------------------------------ 1. assemble

    def _deadline(self) -> None:
        if self._phase is Phase.ASSEMBLE:
            missing = self._reception.roster.missing
            self.end(
                ExitCode.MISSING,
                f"{self._named(missing)} of {self._job.node.count} did not join "
                f"within {self._job.settings.join_deadline:.0f} s",
            )

    def _assembled(self) -> None:
        seconds = self._next(Phase.PREFLIGHT)
        roster = self._reception.roster
        self._log.event(Event.ASSEMBLED, nodes=roster.count, seconds=seconds)
        if not self._job.settings.preflight:
            self._checked()
            return
        problems = [f"node {m.index} ({m.address}): {p}" for m in roster.in_order for p in m.problems]
        problems += preflight.differing({m.index: m.facts for m in roster.in_order})
        if problems:
            self._unfit(problems)
            return
        mark = None
        if self._job.node.shared and roster.count > 1:
            self._mark = f"{self._job.node.job_name}-{self._job.node.attempt}"
            try:
                mark = {"name": self._mark, "token": preflight.write_mark(self._job.node.shared, self._mark)}
            except OSError as error:
                self._unfit([f"node {self._job.node.index}: cannot write to the shared folder: {error}"])
                return
        self._waiting = set(roster.members)
        for index in roster.members:
            neighbour = roster.neighbour(index)
            self._reception.send(
                index, {"t": "check", "address": neighbour.address, "port": neighbour.probe_port, "mark": mark}
            )

    # ------------------------------------------------------------ 2. preflight

    def _unfit(self, problems: list[str]) -> None:
        self.end(ExitCode.PREFLIGHT, "preflight failed: " + "; ".join(problems))

    def _checked(self) -> None:
        if self._mark and self._job.node.shared:
            preflight.remove_mark(self._job.node.shared, self._mark)
        _, unfit = self._take()
        if unfit:
            members = self._reception.roster.members
            self._unfit([f"node {i} ({members[i].address}): {p}" for i, answer in unfit for p in answer["problems"]])
            return
        self._log.event(Event.PREFLIGHT, seconds=self._next(Phase.STAGE))
        if self._shared_inputs:
            self._ask({"t": "stage"}, self._job.node.index)  # main moves, then the others take what lies there
        else:
            self._ask({"t": "stage"})

    # ------------------------------------------------------------ 3. stage

    @property
    def _shared_inputs(self) -> bool:
        return bool(self._job.settings.inputs) and self._job.settings.input_to is InputTo.SHARED

    def _staged(self, index: int, message: Message) -> None:
        if not self._answered(index, message):
            return
        failed = [(i, answer) for i, answer in sorted(self._answers.items()) if answer.get("problem")]
        if failed:
            self._fail(*failed[0])
            return
        others = self._reception.roster.members.keys() - self._answers.keys()
        if others:
            self._ask({"t": "stage"}, *others)
            return
        moved, _ = self._take()
        self._log.event(Event.STAGED, seconds=self._next(Phase.COMPUTE), bytes=moved)
        self._prepare()

    def _fail(self, index: int, answer: Message) -> None:
        self.end(int(answer.get("code", ExitCode.STAGING)), f"node {index}: {answer['problem']}")

    # ------------------------------------------------------------ 4. launch

    def _prepare(self) -> None:
        job, members = self._job, self._reception.roster.in_order
        hosts = [_host(member) for member in members]
        if job.installation is None:
            layout = Layout(ranks_per_node=1, threads=job.settings.threads or min(host.slots for host in hosts))
        else:
            try:
                layout = placement(job.settings, hosts, min(member.gpus for member in members))
            except LaunchError as error:
                self.end(ExitCode.SETTINGS, str(error))
                return
            lines = placement_map(hosts, layout, places_of(job.node, layout), gpus=job.node.gpus)
            self._log.says("\n".join(lines))
        self._computation = Computation(
            self._loop, job, self._log, self._reception, hosts=hosts, layout=layout, on_end=self._computed
        )
        self._ask({"t": "prepare", "layout": layout.message()})

    def _prepared(self, index: int, message: Message) -> None:
        if self._computation is None or not self._answered(index, message):
            return
        _, failed = self._take()
        if failed:
            self._fail(*failed[0])
            return
        try:
            self._computation.start(self._member.environment, str(message["shim"]))
        except OSError as error:
            self.end(ExitCode.SETTINGS, f"cannot start the job: {error}")
            return
        settings = self._job.settings
        if settings.signal_before:
            left = settings.timeout - settings.signal_before - (time.monotonic() - self._began)
            self._after(max(0.0, left), self._computation.signal_ahead)

    # ------------------------------------------------------------ 5. watch, 6. signals

    def _told(self, index: int, message: Message) -> None:
        """A message of a member that is in."""
        match message:
            case {"t": "term"}:
                self._going_away(f"SIGTERM on node {index}, which nobody here asked for")
            case {"t": "checked"} if self._phase is Phase.PREFLIGHT:
                if self._answered(index, message):
                    self._checked()
            case {"t": "staged"} if self._phase is Phase.STAGE:
                self._staged(index, message)
            case {"t": "prepared"} if self._phase is Phase.COMPUTE:
                self._prepared(index, message)
            case {"t": "uploaded"} if self._phase is Phase.UPLOAD:
                if self._answered(index, message):
                    self._uploaded()
            case _ if self._computation is not None:
                self._computation.handle(index, message)

    def _going_away(self, reason: str) -> None:
        if self._phase is Phase.COMPUTE and self._computation is not None:
            self._computation.stop(ExitCode.GOING_AWAY, reason)
        elif self._phase < Phase.COMPUTE:
            self.end(ExitCode.GOING_AWAY, reason)
        # Later there is nobody left to tell: the outputs leave while there is time.

    def _stalled(self, idle_s: float) -> None:
        if self._phase is Phase.COMPUTE and self._computation is not None:
            self._computation.stalled(idle_s)

    # ------------------------------------------------------------ 7. end

    def _computed(self, verdict: Verdict) -> None:
        self._code = verdict.code
        self._log.event(Event.COMPUTED, seconds=self._next(Phase.UPLOAD), code=int(verdict.code))
        if verdict.code:
            self._log.says(verdict.why)
        if verdict.code == ExitCode.GOING_AWAY and self._computation is not None:
            # SIGKILL comes 30 s after SIGTERM and would make this a 137, which is not retried.
            left = self._computation.stopped_at + self._job.settings.grace + LOG_S - time.monotonic()
            self._after(max(LOG_S / 2, left), self._out_of_time)
        self._ask({"t": "upload"})

    def _out_of_time(self) -> None:
        if self._phase is Phase.UPLOAD:
            self.end(self._code, f"no more time: the outputs of {self._named(self._waiting)} are not all uploaded")

    def _named(self, indices: Iterable[int]) -> str:
        names = ranges(indices)
        return f"node {names}" if names.isdigit() else f"nodes {names}"

    def _uploaded(self) -> None:
        moved, failed = self._take()
        self._log.event(Event.UPLOADED, seconds=self._next(Phase.END), bytes=moved)
        reasons = "\n".join(f"node {index}: {answer['problem']}" for index, answer in failed)
        if reasons and not self._code:
            self._code = ExitCode.STAGING  # the program's own failure is the greater news
        self.end(self._code, reasons)

    def end(self, code: int, reason: str) -> None:
        """End the gang: every member is told, ends what runs on its node, and leaves; then main does."""
        if self._reception.roster.closed:
            return
        if code == ExitCode.LOST and self._computation is not None and self._computation.stop_code is not None:
            code = self._computation.stop_code  # it was ending anyway, and its nodes with it
        if reason:
            self._log.says(reason)
        self._phase = Phase.END
        self._code = code
        for timer in self._timers:
            timer.cancel()
        if self._computation is not None:
            self._computation.close()
        # This node clears up while the others do; not before mpiexec's daemons have been told to be quiet.
        self._loop.after(QUIET_S, lambda: self._member.end(self._code))
        self._reception.dismiss(reason, self._job.node.index, GOODBYE_S, self._alone)

    def _alone(self) -> None:
        """The others have left, or have had their time."""
        self._others_left = True
        self._member.end(self._code)
        self._maybe_over()

    def member_left(self, code: int) -> None:
        """Main's own member has ended: with the others, or because its node is going before it was in."""
        self._member_left = True
        if self._phase is not Phase.END:
            self.end(code, "main's own member has ended")
        self._maybe_over()

    def _maybe_over(self) -> None:
        if self._over or not (self._member_left and self._others_left):
            return
        self._over = True
        if late := self._reception.watch.late:
            self._log.says(f"{late} heartbeats came late")
        self._log.event(Event.ENDED, code=int(self._code), seconds=round(time.monotonic() - self._began, 3))
        self._on_end(self._code)


def _host(member: Hello) -> Host:
    return Host(
        index=member.index, address=member.address, slots=member.cores, bind=member.bind, network=member.network
    )
