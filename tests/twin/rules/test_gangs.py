"""How a multi-node job starts and ends (B2, B3, B5, B7), on an engine with a clock of the test's own."""

from collections.abc import Callable
from typing import Any

import pytest

from tutti.twin.effects import AttemptOver, KillNode, StartNode, TermNode
from tutti.twin.jobs import Reason, Status

World = Any


def test_main_starts_first_and_children_only_after_it_runs(world: World) -> None:
    job = world.submit(4)
    assert [e.node.index for e in world.of(StartNode)] == [0]
    world.pass_time(100)
    assert len(world.of(StartNode)) == 1, "no child before main is RUNNING, however long that takes"
    assert job.status == Status.STARTING.value
    world.start(job, 0)
    assert job.status == Status.RUNNING.value
    world.pass_time(2)
    assert sorted(e.node.index for e in world.of(StartNode)) == [0, 1, 2, 3]


def test_children_start_in_an_order_that_differs_from_job_to_job(new_world: Callable[..., World]) -> None:
    orders = set()
    for seed in range(8):
        world = new_world(seed)
        world.start(world.submit(5))
        world.pass_time(2)
        orders.add(tuple(e.node.index for e in world.of(StartNode)))
    assert len(orders) > 3


def test_a_main_node_that_is_not_node_0_is_main_all_the_same(world: World) -> None:
    job = world.submit(3, main=2)
    assert [e.node.index for e in world.of(StartNode)] == [2]
    world.start_all(job)
    world.end(job, 0, 9)
    world.end_all(job, 0)
    assert job.status == Status.SUCCEEDED.value


def test_a_job_passes_through_every_status(world: World) -> None:
    job = world.submit(2)
    world.start_all(job)
    world.end_all(job)
    assert world.statuses(job) == ["RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED"]


def test_a_job_is_pending_only_while_it_waits_for_others(world: World) -> None:
    """User Guide, "Job states": the scheduler moves what has no outstanding dependency from SUBMITTED to RUNNABLE."""
    first = world.submit(1)
    second = world.submit(1, depends_on=({"jobId": first.id},))
    world.start_all(first)
    world.end_all(first)
    assert world.statuses(second) == ["PENDING", "RUNNABLE", "STARTING"]
    third = world.submit(1, depends_on=({"jobId": first.id},))
    assert world.statuses(third)[0] == "RUNNABLE", "what it depends on had succeeded"


def test_mains_exit_code_is_the_jobs_and_a_childs_is_not(world: World) -> None:
    job = world.submit(3)
    world.start_all(job)
    world.end(job, 1, 7)
    world.pass_time(60)
    assert job.status == Status.RUNNING.value, "a child that dies changes nothing for the others"
    assert not world.of(TermNode, KillNode)
    assert job.nodes[1].exit_code == 7
    assert job.nodes[1].status == Status.FAILED.value
    world.end(job, 0, 5)
    world.end(job, 2, 0)
    assert job.status == Status.FAILED.value
    assert job.attempts[-1].exit_code == 5


def test_when_main_ends_the_children_are_stopped_and_killed_half_a_minute_later(world: World) -> None:
    job = world.submit(3)
    world.start_all(job)
    world.end(job, 0, 0)
    assert job.status == Status.RUNNING.value, "children may end by themselves first"
    world.pass_time(1)
    assert sorted(e.node.index for e in world.of(TermNode)) == [1, 2]
    world.pass_time(2)
    assert job.status == Status.SUCCEEDED.value, "a child that will not end does not hold up the job"
    world.end(job, 1, 143)
    world.pass_time(40)
    assert [e.node.index for e in world.of(KillNode)] == [2]
    world.end(job, 2, 137)
    assert [e.job for e in world.of(AttemptOver)] == [job.id]
    assert job.nodes[2].exit_code == 137
    assert job.status == Status.SUCCEEDED.value


def test_children_that_main_leaves_unstarted_never_start(world: World) -> None:
    job = world.submit(4)
    world.start(job, 0)
    world.end(job, 0, 1)
    world.pass_time(60)
    assert [e.node.index for e in world.of(StartNode)] == [0]
    assert job.status == Status.FAILED.value


def test_the_timeout_counts_from_mains_start_and_is_never_retried(world: World) -> None:
    job = world.submit(4, timeout_s=60, retry={"attempts": 5, "evaluateOnExit": []})
    world.pass_time(500)
    world.start_all(job)
    began = world.now - 2
    world.pass_time(57.9)
    assert not world.of(TermNode)
    world.pass_time(2.2)
    assert world.now - began < 63
    assert sorted(e.node.index for e in world.of(TermNode)) == [0, 1, 2, 3]
    world.pass_time(31)
    assert len(world.of(KillNode)) == 4
    world.end_all(job, 137)
    assert job.status == Status.FAILED.value
    assert job.status_reason == Reason.TIMEOUT
    assert len(job.attempts) == 1


def test_sigterm_reaches_the_nodes_in_random_order_within_two_seconds(new_world: Callable[..., World]) -> None:
    orders = set()
    for seed in range(8):
        world = new_world(seed)
        job = world.submit(4)
        world.start_all(job)
        world.act(lambda engine, now, job=job: engine.terminate(job.id, "enough", now))
        world.pass_time(2)
        order = tuple(e.node.index for e in world.of(TermNode))
        assert sorted(order) == [0, 1, 2, 3]
        orders.add(order)
    assert len(orders) > 3


def test_a_program_that_answers_the_timeout_with_0_has_failed_all_the_same(world: World) -> None:
    job = world.submit(1, timeout_s=60)
    world.start(job)
    world.pass_time(63)
    world.end(job, 0, 0)
    assert (job.status, job.status_reason) == (Status.FAILED, Reason.TIMEOUT)


def test_terminate_stops_what_runs_with_the_given_reason_and_is_never_retried(world: World) -> None:
    job = world.submit(2, retry={"attempts": 3, "evaluateOnExit": []})
    world.start_all(job)
    world.act(lambda engine, now: engine.terminate(job.id, "wrong input", now))
    assert job.status == Status.RUNNING.value
    world.pass_time(2)
    world.end_all(job, 143)
    assert (job.status, job.status_reason, job.terminated) == (Status.FAILED, "wrong input", True)


def test_a_job_that_is_terminated_while_it_starts_keeps_the_given_reason(world: World) -> None:
    job = world.submit(1)
    assert job.status == Status.STARTING.value
    world.act(lambda engine, now: engine.terminate(job.id, "seen enough", now))
    world.start_all(job)
    assert (job.status, job.status_reason) == (Status.RUNNING, "seen enough")
    world.pass_time(2)
    world.end_all(job, 143)
    assert (job.status, job.status_reason) == (Status.FAILED, "seen enough")


def test_cancel_leaves_what_runs_alone(world: World) -> None:
    job = world.submit(2)
    world.act(lambda engine, now: engine.cancel(job.id, "x", now))
    assert job.status == Status.STARTING.value
    world.start_all(job)
    world.act(lambda engine, now: engine.cancel(job.id, "x", now))
    world.pass_time(60)
    assert job.status == Status.RUNNING.value


def test_a_node_that_cannot_start_fails_the_attempt_without_an_exit_code(world: World) -> None:
    job = world.submit(2)
    world.end(job, 0, None, reason="CannotPullContainerError: no such image")
    assert job.status == Status.FAILED.value
    assert job.attempts[-1].exit_code is None
    assert job.attempts[-1].reason.startswith("CannotPullContainerError")


def test_the_end_of_a_lost_instance_is_told_as_batch_tells_it(world: World) -> None:
    job = world.submit(
        2,
        retry={
            "attempts": 2,
            "evaluateOnExit": [{"onStatusReason": "Host EC2*", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}],
        },
    )
    world.start_all(job)
    world.end(job, 0, None, lost=True)
    world.end(job, 1, 221)
    assert job.attempts[0].status_reason.startswith("Host EC2 (instance i-")
    assert job.attempt == 2, "retried"


def test_a_delayed_node_starts_so_much_later_once(world: World) -> None:
    job = world.submit(2, retry={"attempts": 2, "evaluateOnExit": []})
    world.engine.delays[job.id, 1] = 100.0
    world.start(job, 0)
    world.pass_time(99)
    assert [e.node.index for e in world.of(StartNode)] == [0]
    world.pass_time(2)
    assert [e.node.index for e in world.of(StartNode)] == [0, 1]


@pytest.mark.parametrize("status", [Status.STARTING, Status.RUNNING])
def test_after_a_restart_what_ran_has_failed_and_what_waited_waits_on(
    new_world: Callable[..., World], status: Status
) -> None:
    world = new_world(max_vcpus=2)
    ran, waits = world.submit(2), world.submit(2)
    if status is Status.RUNNING:
        world.start_all(ran)
    later = new_world(max_vcpus=2)
    jobs = [type(j).from_json(j.to_json(), j.spec) for j in world.engine.jobs.values()]
    later.act(lambda engine, now: engine.restore(jobs, now, "the twin was killed"))
    assert later.engine.jobs[ran.id].status == Status.FAILED.value
    assert later.engine.jobs[ran.id].status_reason == "the twin was killed"
    assert later.engine.jobs[waits.id].status == Status.STARTING.value, "there is room for it now"
