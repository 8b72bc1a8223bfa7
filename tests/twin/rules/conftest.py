"""An engine in a world of the test's own: it has a clock, and nodes that start and end when the test says so."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from tutti.twin.effects import Changed, Effect, NodeKey, StartNode
from tutti.twin.engine import Engine
from tutti.twin.jobs import Job, JobSpec, Kind, NodeRange
from tutti.twin.placement import Environment, Queue


def spec(nodes: int = 0, *, vcpus: int = 1, **fields: Any) -> JobSpec:
    """`nodes` of 0: a container job."""
    container = {"command": ["x"], "resourceRequirements": [{"type": "VCPU", "value": str(vcpus)}]}
    kind = Kind.MULTINODE if nodes else Kind.CONTAINER
    defaults: dict[str, Any] = {"name": "job", "queue": "high", "definition": "arn:x/definition:1", "kind": kind}
    ranges = (NodeRange(first=0, last=max(0, nodes - 1), container=container),)
    return JobSpec(**{**defaults, "ranges": ranges, "nodes": max(1, nodes), **fields})


class World:
    """`now` is in seconds; what the engine asked for is in `effects`, in order."""

    def __init__(self, seed: int = 1, *, max_vcpus: int = 8, child_spread_s: float = 1.0) -> None:
        self.engine = Engine(random=Random(seed), child_spread_s=child_spread_s)
        self.now = 1_000.0
        self.effects: list[Effect] = []
        self.running: set[NodeKey] = set()
        self._serial = 0
        self.queues = [
            Queue(name="high", priority=10, environments=("one", "two")),
            Queue(name="low", priority=1, environments=("one", "two")),
        ]
        self.environments = [
            Environment(name="one", capacity="EC2", max_vcpus=max_vcpus),
            Environment(name="two", capacity="EC2", max_vcpus=max_vcpus),
        ]
        self.configure()

    def configure(self) -> None:
        self.engine.configure(self.queues, self.environments, self.now)
        self._take()

    def submit(self, nodes: int = 0, **fields: Any) -> Job:
        self._serial += 1
        job = self.engine.submit(f"j{self._serial}", spec(nodes, **fields), self.now)
        self._take()
        return job

    def start(self, job: Job, index: int = 0) -> NodeKey:
        """The node's command runs now."""
        key = NodeKey(job.id, job.attempt, index)
        assert key in self.running, f"{key} was not asked for"
        self.engine.node_started(key, self.now, address=f"10.0.0.{index}", stream=f"s/{key}", task=f"task{index}")
        self._take()
        return key

    def start_all(self, job: Job) -> None:
        self.start(job, job.spec.main)
        self.pass_time(2)
        for index in range(job.spec.nodes):
            if index != job.spec.main:
                self.start(job, index)

    def end(self, job: Job, index: int = 0, code: int | None = 0, *, attempt: int = 0, **how: Any) -> None:
        key = NodeKey(job.id, attempt or job.attempt, index)
        self.running.discard(key)
        self.engine.node_ended(key, self.now, exit_code=code, **how)
        self._take()

    def end_all(self, job: Job, code: int | None = 0, *, main_last: bool = False, **how: Any) -> None:
        order = sorted(range(job.spec.nodes), key=lambda n: (n == job.spec.main) == main_last)
        attempt = job.attempt
        for index in order:
            if NodeKey(job.id, attempt, index) in self.running:
                self.end(job, index, code, attempt=attempt, **how)

    def act(self, do: Callable[[Engine, float], object]) -> None:
        do(self.engine, self.now)
        self._take()

    def pass_time(self, seconds: float) -> None:
        """Let time pass, each timer at its own moment."""
        until = self.now + seconds
        while (due := self.engine.due()) is not None and due <= until:
            self.now = max(self.now, due)
            self.engine.tick(self.now)
            self._take()
        self.now = until

    def of(self, *kinds: type) -> list[Any]:
        return [e for e in self.effects if isinstance(e, kinds)]

    def statuses(self, job: Job) -> list[str]:
        """Every status that the job has had, in order."""
        return [e.status for e in self.of(Changed) if e.job == job.id and e.status]

    def _take(self) -> None:
        for effect in self.engine.take_effects():
            self.effects.append(effect)
            if isinstance(effect, StartNode):
                assert effect.node not in self.running
                self.running.add(effect.node)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def new_world() -> Callable[..., World]:
    return World
