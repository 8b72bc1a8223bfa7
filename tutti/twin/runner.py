"""The engine in the world: one lock round it, a clock, a thread for its timers, one for its effects, one for keeping.

Effects are done outside the lock: a node host that is slow to take a message must not stop the API.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any, Final, Protocol, TypeVar

from tutti.twin.api.details import job_detail
from tutti.twin.effects import AttemptOver, Blocked, Changed, Effect, KillNode, NodeKey, StartNode, TermNode
from tutti.twin.engine import Engine
from tutti.twin.jobs import Job, Kind
from tutti.twin.registry import Registry
from tutti.twin.store import Store
from workload.notices import QUEUE_BLOCKED, STATE_CHANGE

T = TypeVar("T")
_SAVE_EVERY_S: Final = 0.05
_LOG = logging.getLogger(__name__)


class Hands(Protocol):
    """Who starts and ends nodes."""

    def start(self, node: NodeKey, job: Job) -> None: ...

    def term(self, node: NodeKey) -> None: ...

    def kill(self, node: NodeKey) -> None: ...

    def over(self, job: str, attempt: int) -> None: ...


class Events(Protocol):
    """Who hears what happens to jobs, where anybody listens."""

    listening: bool

    def tell(self, detail_type: str, detail: Mapping[str, Any]) -> None: ...


class Runner:
    """Everything that touches the engine goes through `call`."""

    def __init__(self, engine: Engine, store: Store, registry: Registry, events: Events) -> None:
        self._engine = engine
        self._store = store
        self._registry = registry
        self._told = events
        self._hands: Hands | None = None
        self._lock = threading.Condition(threading.RLock())
        self._effects: SimpleQueue[Effect | None] = SimpleQueue()
        self._dirty: dict[str, Job] = {}
        self._closing = False
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for name, target in (("effects", self._do_effects), ("timers", self._tick), ("keeper", self._keep))
        ]

    def start(self, hands: Hands) -> None:
        self._hands = hands
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop the threads and keep what is not kept yet."""
        with self._lock:
            self._closing = True
            self._lock.notify_all()
        self._effects.put(None)
        for thread in self._threads:
            if thread.ident:
                thread.join(5)
        self._save()

    def call(self, act: Callable[[Engine, float], T], *, keep: bool = False) -> T:
        """Do `act(engine, now)` alone. With `keep` what changed is on disk before this returns."""
        with self._lock:
            try:
                return act(self._engine, time.time())
            finally:
                for effect in self._engine.take_effects():
                    self._note(effect)
                if keep:
                    self._save()
                self._lock.notify_all()

    def rewrite_spec(self, job: Job) -> None:
        self._store.replace_spec(job)

    def refresh(self) -> None:
        """Queues or environments changed."""
        queues, environments = self._registry.placement_queues(), self._registry.placement_environments()
        limits = {name: d.get("jobStateTimeLimitActions", []) for name, d in self._registry.queues.items()}

        def configure(engine: Engine, now: float) -> None:
            engine.time_limits = limits
            engine.configure(queues, environments, now)

        self.call(configure)

    def terminate_queue(self, name: str) -> None:
        """End all jobs of a queue that is being deleted."""

        def end(engine: Engine, now: float) -> None:
            for job in list(engine.jobs.values()):
                if job.spec.queue == name and not job.parent:
                    engine.terminate(job.id, "Job queue deleted", now)

        self.call(end, keep=True)

    # ------------------------------------------------------------ threads

    def _note(self, effect: Effect) -> None:
        match effect:
            case Changed(job_id, status):
                self._dirty[job_id] = self._engine.jobs[job_id]
                if status:
                    self._tell(STATE_CHANGE, job_id, status=status)
            case Blocked(_, job_id, reason):
                self._tell(QUEUE_BLOCKED, job_id, statusReason=reason)
            case _:
                self._effects.put(effect)

    def _tell(self, detail_type: str, job_id: str, **of_now: str) -> None:
        """An event of a job, or of a child of an array, as it is at this moment."""
        if self._told.listening:
            job = self._engine.jobs[job_id]
            children = self._engine.children[job_id] if job.kind is Kind.ARRAY else {}
            self._told.tell(detail_type, {**job_detail(job, self._registry.place, children), **of_now})

    def _do_effects(self) -> None:
        while (effect := self._effects.get()) is not None:
            try:
                self._do(effect)
            except Exception:  # noqa: BLE001  one bad effect must not end the thread that does all others
                _LOG.exception("an effect failed: %s", effect)

    def _do(self, effect: Effect) -> None:
        if self._hands is None:
            raise RuntimeError("the runner has not been started")
        match effect:
            case StartNode(node):
                self._hands.start(node, self._engine.jobs[node.job])
            case TermNode(node):
                self._hands.term(node)
            case KillNode(node):
                self._hands.kill(node)
            case AttemptOver(job, attempt):
                self._hands.over(job, attempt)

    def _tick(self) -> None:
        with self._lock:
            while not self._closing:
                due = self._engine.due()
                wait = None if due is None else due - time.time()
                if wait is None or wait > 0:
                    self._lock.wait(wait)
                else:
                    self.call(lambda engine, now: engine.tick(now))

    def _keep(self) -> None:
        while not self._closing:
            with self._lock:
                if not self._dirty:
                    self._lock.wait()
            time.sleep(_SAVE_EVERY_S)
            self._save()

    def _save(self) -> None:
        with self._lock:
            dirty, self._dirty = self._dirty, {}
            if dirty:
                self._store.save_jobs(dirty.values())
