"""Whatever happens, and in whatever order: what must hold of all jobs (hypothesis makes the histories)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tutti.twin.effects import NodeKey, StartNode
from tutti.twin.jobs import ON_NODES, TERMINAL, Job, JobSpec, Kind, Status

World = Any
INDEX = st.integers(0, 1 << 16)


def machine(new_world: Callable[..., World]) -> type[RuleBasedStateMachine]:
    class Histories(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.world = new_world(7)
            self.started: set[NodeKey] = set()

        def pick(self, items: list[Any], index: int) -> Any:
            return items[index % len(items)]

        @rule(nodes=st.integers(0, 5), low=st.booleans(), attempts=st.integers(1, 3), timeout=st.sampled_from([0, 60]))
        def submit(self, nodes: int, low: bool, attempts: int, timeout: int) -> None:
            queue = "low" if low else "high"
            retry = {"attempts": attempts, "evaluateOnExit": []}
            self.world.submit(nodes, queue=queue, retry=retry, timeout_s=timeout, main=max(0, nodes - 1))

        @rule(size=st.integers(2, 4), sequential=st.booleans())
        def submit_array(self, size: int, sequential: bool) -> None:
            depends_on = ({"type": "SEQUENTIAL"},) if sequential else ()
            self.world.submit(kind=Kind.ARRAY, array_size=size, depends_on=depends_on)

        @precondition(lambda self: self.world.engine.jobs)
        @rule(index=INDEX, nodes=st.integers(0, 3))
        def submit_dependent(self, index: int, nodes: int) -> None:
            before = self.pick([j for j in self.world.engine.jobs.values() if not j.parent], index)
            self.world.submit(nodes, depends_on=({"jobId": before.id},))

        @precondition(lambda self: self.world.running - self.started)
        @rule(index=INDEX)
        def node_starts(self, index: int) -> None:
            key = self.pick(sorted(self.world.running - self.started), index)
            self.started.add(key)
            self.world.act(lambda engine, now: engine.node_started(key, now))

        @precondition(lambda self: self.world.running)
        @rule(index=INDEX, code=st.sampled_from([0, 0, 1, 221, None]), lost=st.booleans())
        def node_ends(self, index: int, code: int | None, lost: bool) -> None:
            key = self.pick(sorted(self.world.running), index)
            self.world.running.discard(key)
            code = code if key in self.started else None  # the node host reports no exit code of what never ran
            self.world.act(lambda engine, now: engine.node_ended(key, now, exit_code=code, lost=lost and code is None))

        @precondition(lambda self: self.world.engine.jobs)
        @rule(index=INDEX)
        def cancel(self, index: int) -> None:
            job = self.pick(list(self.world.engine.jobs.values()), index)
            self.world.act(lambda engine, now: engine.cancel(job.id, "cancelled", now))

        @precondition(lambda self: self.world.engine.jobs)
        @rule(index=INDEX)
        def terminate(self, index: int) -> None:
            job = self.pick(list(self.world.engine.jobs.values()), index)
            self.world.act(lambda engine, now: engine.terminate(job.id, "terminated", now))

        @rule(seconds=st.floats(0, 50))
        def time_passes(self, seconds: float) -> None:
            self.world.pass_time(seconds)

        @rule(which=st.integers(0, 1), shortage=st.booleans())
        def shortage(self, which: int, shortage: bool) -> None:
            self.world.environments[which] = replace(self.world.environments[which], shortage=shortage)
            self.world.configure()

        @invariant()
        def no_environment_holds_more_than_it_may(self) -> None:
            for name, vcpus in self.world.engine.used_vcpus().items():
                assert vcpus <= self.world.engine.environments[name].max_vcpus

        @invariant()
        def no_job_has_nodes_of_two_attempts(self) -> None:
            attempts: dict[str, set[int]] = {}
            for key in self.world.running:
                attempts.setdefault(key.job, set()).add(key.attempt)
            assert all(len(found) == 1 for found in attempts.values())

        @invariant()
        def no_child_was_asked_for_before_its_main_ran(self) -> None:
            for effect in self.world.of(StartNode):
                main = self.world.engine.jobs[effect.node.job].spec.main
                if effect.node.index != main:
                    assert NodeKey(effect.node.job, effect.node.attempt, main) in self.started

        @invariant()
        def what_is_kept_is_what_is(self) -> None:
            for job in self.world.engine.jobs.values():
                copy = Job.from_json(job.to_json(), JobSpec.from_json(job.spec.to_json()))
                copy.verdict = job.verdict
                assert copy == job

        @invariant()
        def counts_of_arrays_are_right(self) -> None:
            for job in self.world.engine.jobs.values():
                if job.kind is Kind.ARRAY:
                    children = [self.world.engine.jobs[f"{job.id}:{k}"] for k in range(job.spec.array_size)]
                    counts = self.world.engine.children[job.id]
                    assert {s: n for s, n in counts.items() if n} == {
                        s: sum(c.status is s for c in children) for s in {c.status for c in children}
                    }

        def teardown(self) -> None:
            """Terminated, and with every node ended, nothing is left that does not end."""
            for environment in range(2):
                self.world.environments[environment] = replace(self.world.environments[environment], shortage=False)
            self.world.configure()
            for job in list(self.world.engine.jobs.values()):
                self.world.act(lambda engine, now, job=job: engine.terminate(job.id, "over", now))
            for _ in range(3):
                self.world.pass_time(60)
                for key in sorted(self.world.running):
                    self.world.running.discard(key)
                    self.world.act(lambda engine, now, key=key: engine.node_ended(key, now, exit_code=137))
            self.world.pass_time(60)
            assert {j.status for j in self.world.engine.jobs.values()} <= TERMINAL
            assert not self.world.engine.used_vcpus()
            assert all(j.status is not Status.RUNNING or j.status in ON_NODES for j in self.world.engine.jobs.values())

    return Histories


def test_invariants_hold_in_every_history(new_world: Callable[..., World]) -> None:
    run_state_machine_as_test(
        machine(new_world),
        settings=settings(
            max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
