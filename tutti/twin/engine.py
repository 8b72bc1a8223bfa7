"""The state machine of all jobs (B2, B3, B5-B7, B11, B12). It has no clock, no threads, no processes: time and what
happens to nodes come in by calls, and what is to be done goes out as effects.

An attempt: main is asked for; when it runs, the job is RUNNING and the children are asked for in random order at random
times; when main ends, the children are stopped, and the attempt is settled once they are gone or three seconds later.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Final

from tutti.twin import attempts, placement
from tutti.twin.effects import AttemptOver, Blocked, Changed, Effect, KillNode, NodeKey, StartNode, TermNode
from tutti.twin.jobs import NEXT, ON_NODES, TERMINAL, WAITING, Attempt, Job, JobSpec, Kind, Reason, Status, Stuck
from tutti.twin.placement import Environment, Queue
from tutti.twin.timers import Timer, Timers
from tutti.twin.waiting import WaitingJobs
from workload.contract import Limits

TERM_SPREAD_S: Final = 2.0  # SIGTERM reaches the nodes of a job within this time, in random order (B7)
STOP_CHILDREN_S: Final = 1.0  # Batch takes its time to notice that main has ended: children may end by themselves
SETTLE_S: Final = 3.0  # how long a job that is over waits for its children to end


class Engine:
    """All jobs and what may happen to them. Not thread-safe: its owner calls it from one thread, or under a lock."""

    def __init__(self, *, random: Random, child_spread_s: float) -> None:
        self.jobs: dict[str, Job] = {}
        self.queues: dict[str, Queue] = {}
        self.environments: dict[str, Environment] = {}
        self.time_limits: dict[str, Sequence[Mapping[str, Any]]] = {}  # queue -> jobStateTimeLimitActions
        self.delays: dict[tuple[str, int], float] = {}  # a drill: node -> seconds added to its start
        self.children: defaultdict[str, Counter[Status]] = defaultdict(Counter)  # of arrays
        self._random = random
        self._child_spread_s = child_spread_s
        self._effects: list[Effect] = []
        self._timers = Timers()
        self._numbers = itertools.count(1)
        self._waiting = WaitingJobs()
        self._dependents: defaultdict[str, set[str]] = defaultdict(set)
        self._over: deque[str] = deque()
        self._on_host: defaultdict[str, set[NodeKey]] = defaultdict(set)  # job -> its nodes that are not gone yet
        self._heads: dict[str, str] = {}  # queue -> the job that blocks it
        self._active: set[str] = set()  # jobs that are STARTING or RUNNING

    # ------------------------------------------------------------ what may happen

    def submit(self, job_id: str, spec: JobSpec, now: float) -> Job:
        """Take a job that has been found good; its dependencies are known jobs."""
        number = next(self._numbers)
        job = Job(id=job_id, spec=spec, created_at=_ms(now), number=number, kind=spec.kind)
        self._take(job)
        if spec.kind is Kind.ARRAY:
            self._move(job, Status.PENDING, now)
            for index in range(spec.array_size):
                child = Job(
                    id=f"{job_id}:{index}",
                    spec=spec,
                    created_at=_ms(now),
                    number=next(self._numbers),
                    kind=Kind.CONTAINER,
                    parent=job_id,
                    array_index=index,
                )
                self._take(child)
                self._wait_for_dependencies(child, now)
        else:
            self._wait_for_dependencies(job, now)
        self._advance(now)
        return job

    def node_started(
        self, node: NodeKey, now: float, *, address: str = "", stream: str = "", task: str = "", instance: str = ""
    ) -> None:
        """The node's command runs."""
        job = self.jobs[node.job]
        if not self._is_current(job, node):
            return
        record = job.nodes[node.index]
        record.status, record.started_at = Status.RUNNING, _ms(now)
        record.address, record.stream, record.task, record.instance = address, stream, task, instance
        if node.index == job.spec.main and job.status is Status.STARTING:
            job.started_at = _ms(now)
            self._move(job, Status.RUNNING, now, job.status_reason)  # it may have been terminated while it started
            if job.spec.timeout_s:
                self._timers.after(job.spec.timeout_s, now, "timeout", node)
            self._start_children(job, now)
        self._changed(job)

    def node_ended(
        self, node: NodeKey, now: float, *, exit_code: int | None, reason: str = "", lost: bool = False
    ) -> None:
        """The node is gone, with all its processes. `lost`: its instance went, so nobody knows an exit code."""
        job = self.jobs[node.job]
        self._on_host[job.id].discard(node)
        if self._is_current(job, node):
            record = job.nodes[node.index]
            record.exit_code, record.reason, record.lost = exit_code, reason, lost
            if record.on_host:
                record.stopped_at = _ms(now)
                record.status = Status.SUCCEEDED if exit_code == 0 else Status.FAILED
            if node.index == job.spec.main and job.status in ON_NODES and job.verdict is None:
                job.verdict = attempts.verdict_of(job, record)
                self._timers.after(STOP_CHILDREN_S, now, "stop", node)
                self._timers.after(SETTLE_S, now, "settle", node)
        if not self._on_host[job.id]:
            del self._on_host[job.id]
            self._effects.append(AttemptOver(job.id, node.attempt))
            if job.verdict is not None:
                self._settle(job, now)
        self._changed(job)
        self._advance(now)

    def cancel(self, job_id: str, reason: str, now: float) -> None:
        """CancelJob: what has not started is FAILED, what waits for others as soon as they end; the rest goes on."""
        for job in self._with_children(job_id):
            if job.status is Status.PENDING and job.kind is not Kind.ARRAY:
                job.cancelled, job.status_reason = True, reason
                self._changed(job)
            elif job.status in WAITING and job.kind is not Kind.ARRAY:
                job.cancelled = True
                self._move(job, Status.FAILED, now, reason)
        self._advance(now)

    def terminate(self, job_id: str, reason: str, now: float) -> None:
        """TerminateJob: what has not started is FAILED at once, what runs is stopped and then FAILED."""
        for job in self._with_children(job_id):
            if job.status in TERMINAL or job.retry_forbidden:
                continue
            if job.status in WAITING and job.kind is not Kind.ARRAY:
                job.cancelled = True
                self._move(job, Status.FAILED, now, reason)
                continue
            job.terminated, job.status_reason, job.retry_forbidden = True, reason, True
            self._changed(job)
            if job.status in ON_NODES:
                self._stop_nodes(job, now, spread=TERM_SPREAD_S)
        # Not before all are ended: the room that one leaves must not start its sibling.
        self._advance(now)

    def configure(self, queues: Sequence[Queue], environments: Sequence[Environment], now: float) -> None:
        """Queues and environments as they now are."""
        self.queues = {q.name: q for q in queues}
        self.environments = {e.name: e for e in environments}
        self._advance(now)

    def restore(self, jobs: Sequence[Job], now: float, reason: str) -> None:
        """Take jobs of an earlier life: what waited waits on, what ran has FAILED with `reason`."""
        for job in sorted(jobs, key=lambda j: j.number):
            self._take(job)
        self._numbers = itertools.count(max((j.number for j in jobs), default=0) + 1)
        for job in self.jobs.values():
            for dependency in job.waits_for:
                self._dependents[dependency].add(job.id)
            if job.status in ON_NODES:
                self._fail_lost(job, now, reason)
            elif job.status is Status.RUNNABLE:
                self._waiting.add(job)
        self._advance(now)

    def tick(self, now: float) -> None:
        """Do what is due."""
        self._run_due(now)
        self._advance(now)

    def due(self) -> float | None:
        """When `tick` has something to do next."""
        return self._timers.due()

    def take_effects(self) -> list[Effect]:
        """What is to be done now, in order; each effect is given once."""
        effects, self._effects = self._effects, []
        return effects

    def used_vcpus(self) -> Counter[str]:
        """Environment -> vCPUs of jobs that hold nodes there."""
        used: Counter[str] = Counter()
        holding = {j for j, nodes in self._on_host.items() if nodes}
        for job_id in holding | self._active:
            used[self.jobs[job_id].environment] += self.jobs[job_id].vcpus
        return used

    def runnable(self, queue: str) -> list[Job]:
        """In the order in which they will start."""
        return [self.jobs[job_id] for job_id in self._waiting.in_order(queue)]

    # ------------------------------------------------------------ one attempt

    def _begin(self, job: Job, environment: str, now: float) -> None:
        attempts.begin(job, environment, _ms(now))
        self._move(job, Status.STARTING, now)
        main = NodeKey(job.id, job.attempt, job.spec.main)
        self._ask_for(job, main, now)

    def _start_children(self, job: Job, now: float) -> None:
        children = [n for n in range(job.spec.nodes) if n != job.spec.main]
        self._random.shuffle(children)
        moments = sorted(self._random.uniform(0, self._child_spread_s) for _ in children)
        for moment, index in zip(moments, children, strict=True):
            self._timers.after(moment, now, "start", NodeKey(job.id, job.attempt, index))

    def _ask_for(self, job: Job, node: NodeKey, now: float) -> None:
        delay = self.delays.pop((job.id, node.index), 0.0)
        if delay:
            self._timers.after(delay, now, "start", node)
            return
        job.nodes[node.index].status = Status.STARTING
        self._on_host[job.id].add(node)
        self._effects.append(StartNode(node))

    def _stop_nodes(self, job: Job, now: float, *, spread: float) -> None:
        """SIGTERM to each node in random order, SIGKILL half a minute after it; what has not started, will not."""
        nodes = sorted(self._on_host.get(job.id, ()))
        self._random.shuffle(nodes)
        for node in nodes:
            moment = self._random.uniform(0, spread)
            self._timers.after(moment, now, "term", node)
            self._timers.after(moment + Limits.KILL_AFTER_TERM_S, now, "kill", node)
        self._run_due(now)
        if not nodes and job.status in ON_NODES and job.verdict is None:
            # The main node was never asked for (a drill delays it): nothing will report its end.
            job.verdict = Attempt(status_reason=job.status_reason)
            self._settle(job, now)

    def _settle(self, job: Job, now: float) -> None:
        """The attempt is over: success, failure, or another attempt."""
        verdict = job.verdict
        if verdict is None or job.status not in ON_NODES:
            return
        job.verdict = None
        if attempts.close(job, verdict, _ms(now)):
            self._move(job, Status.SUCCEEDED, now, verdict.status_reason)
        elif attempts.is_followed(job, verdict):
            self._make_runnable(job, now)
        else:
            self._move(job, Status.FAILED, now, verdict.status_reason)

    def _fail_lost(self, job: Job, now: float, reason: str) -> None:
        job.verdict = job.nodes[job.spec.main].as_attempt(reason)
        job.retry_forbidden = True
        self._settle(job, now)

    # ------------------------------------------------------------ waiting

    def _wait_for_dependencies(self, job: Job, now: float) -> None:
        for dependency in job.spec.depends_on:
            kind, other = dependency.get("type", ""), dependency.get("jobId", "")
            if kind == "SEQUENTIAL" and not other:
                other = f"{job.parent}:{job.array_index - 1}" if job.array_index else ""
            elif kind == "N_TO_N" and job.array_index is not None:
                other = f"{other}:{job.array_index}"
            if not other:
                continue
            status = self.jobs[other].status
            if status is Status.FAILED:
                self._move(job, Status.FAILED, now, Reason.DEPENDENCY)
                return
            if status is not Status.SUCCEEDED:
                job.waits_for.add(other)
                self._dependents[other].add(job.id)
        if job.waits_for:
            self._move(job, Status.PENDING, now)
        else:
            self._make_runnable(job, now)

    def _make_runnable(self, job: Job, now: float) -> None:
        job.runnable_at = _ms(now)
        self._waiting.add(job)
        self._move(job, Status.RUNNABLE, now)

    def _advance(self, now: float) -> None:
        """Everything that follows by itself from what has happened."""
        while self._over:
            self._resolve(self.jobs[self._over.popleft()], now)
        self._place(now)

    def _resolve(self, job: Job, now: float) -> None:
        """Jobs that waited for `job`, and the array that it belongs to."""
        for waiting in sorted(self._dependents.pop(job.id, ()), key=lambda i: self.jobs[i].number):
            other = self.jobs[waiting]
            other.waits_for.discard(job.id)
            if other.status is not Status.PENDING:
                continue
            if other.cancelled and not other.waits_for:
                self._move(other, Status.FAILED, now, other.status_reason)
            elif job.status is Status.FAILED and not other.cancelled:
                self._move(other, Status.FAILED, now, Reason.DEPENDENCY)
            elif not other.waits_for and not other.cancelled:
                self._make_runnable(other, now)
        if job.parent:
            parent = self.jobs[job.parent]
            counts = self.children[job.parent]
            done = counts[Status.SUCCEEDED] + counts[Status.FAILED]
            if done == parent.spec.array_size and parent.status is Status.PENDING:
                failed = counts[Status.FAILED] > 0
                reason = parent.status_reason or (Reason.CHILD_FAILED if failed else "")
                self._move(parent, Status.FAILED if failed else Status.SUCCEEDED, now, reason)

    def _place(self, now: float) -> None:
        # A job whose last attempt still has nodes somewhere does not start again before they are gone.
        waiting = {q: [self.jobs[i] for i in ids] for q, ids in self._waiting.all(but=self._on_host).items()}
        placed = placement.place(list(self.queues.values()), self.environments, waiting, self.used_vcpus())
        for job_id, environment in placed.start.items():
            self._begin(self.jobs[job_id], environment, now)
        self._note_heads(placed.blocked, now)

    def _note_heads(self, blocked: Mapping[str, str], now: float) -> None:
        heads = {self.jobs[job_id].spec.queue: job_id for job_id in blocked}
        for queue, job_id in self._heads.items():
            job = self.jobs[job_id]
            if heads.get(queue) != job_id and job.status is Status.RUNNABLE:
                job.status_reason, job.reason_since = "", None
        self._heads = heads
        for job_id, reason in blocked.items():
            job = self.jobs[job_id]
            if job.reason_since is not None and job.status_reason == reason:
                continue
            job.status_reason, job.reason_since = reason, _ms(now)
            if not reason:
                continue
            self._effects.append(Blocked(job.spec.queue, job.id, reason))
            self._changed(job)
            for action in self.time_limits.get(job.spec.queue, ()):
                if action["reason"] == Stuck.of(reason):
                    node = NodeKey(job.id, job.attempt, job.reason_since)
                    self._timers.after(float(action["maxTimeSeconds"]), now, "limit", node)

    # ------------------------------------------------------------ timers

    def _run_due(self, now: float) -> None:
        while timer := self._timers.pop(now):
            self._due(timer, now)

    def _due(self, timer: Timer, now: float) -> None:
        node, job = timer.node, self.jobs[timer.node.job]
        match timer.what:
            case "start" if self._is_on(job, node) and not job.retry_forbidden:
                self._ask_for(job, node, now)
            case "term" if node in self._on_host.get(job.id, ()):
                self._effects.append(TermNode(node))
            case "kill" if node in self._on_host.get(job.id, ()):
                self._effects.append(KillNode(node))
            case "timeout" if self._is_on(job, node) and not job.retry_forbidden:
                job.status_reason, job.retry_forbidden = Reason.TIMEOUT, True
                self._stop_nodes(job, now, spread=TERM_SPREAD_S)
            case "stop" if self._is_current(job, node):
                self._stop_nodes(job, now, spread=0.0)
            case "settle" if self._is_current(job, node):
                self._settle(job, now)
            case "limit" if job.status is Status.RUNNABLE and job.reason_since == node.index:
                job.cancelled = True
                reason = f"Canceled by JobStateTimeLimit action due to reason: {Stuck.of(job.status_reason)}"
                self._move(job, Status.FAILED, now, reason)

    # ------------------------------------------------------------ small parts

    def _take(self, job: Job) -> None:
        self.jobs[job.id] = job
        if job.parent:
            self.children[job.parent][job.status] += 1

    def _move(self, job: Job, status: Status, now: float, reason: str = "") -> None:
        if status not in NEXT[job.status]:
            raise RuntimeError(f"job {job.id}: {status} cannot follow {job.status}")
        if job.status is Status.RUNNABLE:
            self._waiting.remove(job)
        if job.parent:
            self.children[job.parent][job.status] -= 1
            self.children[job.parent][status] += 1
        job.status, job.status_reason, job.reason_since = status, reason, None
        (self._active.add if status in ON_NODES else self._active.discard)(job.id)
        if status in TERMINAL:
            job.stopped_at = _ms(now)
            self._over.append(job.id)
        self._effects.append(Changed(job.id, status))

    def _is_current(self, job: Job, node: NodeKey) -> bool:
        return node.attempt == job.attempt and bool(job.nodes) and job.status is not Status.RUNNABLE

    def _is_on(self, job: Job, node: NodeKey) -> bool:
        """Whether that attempt goes on: its main node has not ended."""
        return node.attempt == job.attempt and job.status in ON_NODES and job.verdict is None

    def _with_children(self, job_id: str) -> list[Job]:
        job = self.jobs[job_id]
        return [job, *(self.jobs[f"{job_id}:{k}"] for k in range(job.spec.array_size if job.kind is Kind.ARRAY else 0))]

    def _changed(self, job: Job) -> None:
        self._effects.append(Changed(job.id))


def _ms(now: float) -> int:
    return int(now * 1000)
