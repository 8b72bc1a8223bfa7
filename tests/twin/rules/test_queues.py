"""Who starts when (B1, B2, B12, B15), on an engine with a clock of the test's own."""

from dataclasses import replace
from typing import Any

import pytest

from tutti.twin.effects import Blocked, KillNode, TermNode
from tutti.twin.jobs import Status, Stuck

World = Any


def statuses(*jobs: Any) -> list[str]:
    return [job.status for job in jobs]


def test_a_gang_waits_until_all_of_its_nodes_fit(world: World) -> None:
    first, second = world.submit(5), world.submit(4)
    assert statuses(first, second) == ["STARTING", "RUNNABLE"]
    world.start_all(first)
    world.end_all(first)
    assert second.status == Status.STARTING.value


def test_the_head_of_a_queue_blocks_what_is_behind_it_though_that_would_fit(world: World) -> None:
    _, head, small = world.submit(5), world.submit(6), world.submit(1)
    assert statuses(head, small) == ["RUNNABLE", "RUNNABLE"]


def test_a_blocked_head_blocks_queues_of_lower_priority_too(world: World) -> None:
    _, head = world.submit(5), world.submit(6)
    low = world.submit(1, queue="low")
    assert statuses(head, low) == ["RUNNABLE", "RUNNABLE"]


def test_a_blocked_low_queue_does_not_block_a_higher_one(world: World) -> None:
    world.submit(5)
    low = world.submit(6, queue="low")
    high = world.submit(3)
    assert statuses(low, high) == ["RUNNABLE", "STARTING"]


def test_higher_priority_starts_first_when_there_is_room_again(world: World) -> None:
    running = world.submit(8)
    low, high = world.submit(8, queue="low"), world.submit(8)
    world.start_all(running)
    world.end_all(running)
    assert statuses(low, high) == ["RUNNABLE", "STARTING"]


def test_an_attempt_that_is_retried_keeps_its_place_in_the_queue(world: World) -> None:
    job = world.submit(8, retry={"attempts": 2, "evaluateOnExit": []})
    other = world.submit(8)
    world.start_all(job)
    world.end_all(job, 1)
    assert (job.attempt, job.status, other.status) == (2, "STARTING", "RUNNABLE")


def test_the_next_attempt_waits_until_the_last_one_has_left_every_node(world: World) -> None:
    job = world.submit(2, retry={"attempts": 2, "evaluateOnExit": []})
    world.start_all(job)
    world.end(job, 0, 221)
    world.pass_time(10)
    assert (job.status, job.attempt) == (Status.RUNNABLE, 1), "node 1 is still there"
    assert world.of(TermNode)
    world.pass_time(30)
    assert world.of(KillNode)
    world.end(job, 1, 137, attempt=1)
    assert (job.status, job.attempt) == (Status.STARTING, 2)


def test_a_multi_node_job_stays_runnable_for_ever_where_it_cannot_run(world: World) -> None:
    for capacity in ("SPOT", "FARGATE", "FARGATE_SPOT", ""):
        world.environments[0] = replace(world.environments[0], capacity=capacity)
        world.configure()
        job = world.submit(2)
        world.pass_time(100_000)
        assert (job.status, job.status_reason) == (Status.RUNNABLE, Stuck.REQUIREMENT.said()), capacity
        world.act(lambda engine, now, job=job: engine.terminate(job.id, "x", now))


def test_a_job_above_the_environments_max_vcpus_says_so(world: World) -> None:
    job = world.submit(9)
    assert (job.status, job.status_reason) == (Status.RUNNABLE, Stuck.MAX_RESOURCE.said())
    assert world.of(Blocked) == [Blocked("high", job.id, Stuck.MAX_RESOURCE.said())]


def test_a_node_above_what_an_instance_offers_says_so(world: World) -> None:
    world.environments = [replace(e, node_vcpus=2) for e in world.environments]
    world.configure()
    job = world.submit(1, vcpus=4)
    assert job.status_reason == Stuck.REQUIREMENT.said()


def test_a_shortage_in_the_first_environment_blocks_gangs_until_it_is_over(world: World) -> None:
    world.environments[0] = replace(world.environments[0], shortage=True)
    world.configure()
    job = world.submit(2)
    world.pass_time(10_000)
    assert (job.status, job.status_reason) == (Status.RUNNABLE, Stuck.CAPACITY.said())
    world.environments[0] = replace(world.environments[0], shortage=False)
    world.configure()
    assert (job.status, job.environment) == (Status.STARTING, "one")
    assert job.status_reason == ""


def test_a_shortage_sends_single_jobs_to_the_next_environment(world: World) -> None:
    world.environments[0] = replace(world.environments[0], shortage=True)
    world.configure()
    assert world.submit().environment == "two"


LIMIT = {"reason": Stuck.CAPACITY.value, "state": "RUNNABLE", "maxTimeSeconds": 600, "action": "CANCEL"}


def test_a_state_time_limit_cancels_the_head_of_the_queue_alone(world: World) -> None:
    world.engine.time_limits = {"high": [LIMIT]}
    world.environments[0] = replace(world.environments[0], shortage=True)
    world.configure()
    head, behind = world.submit(2), world.submit(2)
    world.pass_time(599)
    assert head.status == Status.RUNNABLE.value
    world.pass_time(2)
    assert head.status == Status.FAILED.value
    assert head.status_reason == f"Canceled by JobStateTimeLimit action due to reason: {Stuck.CAPACITY}"
    assert behind.status == Status.RUNNABLE.value
    world.pass_time(598)
    assert behind.status == Status.RUNNABLE.value, "its own time began when it came to the head"
    world.pass_time(3)
    assert behind.status == Status.FAILED.value


@pytest.mark.parametrize("reason", [Stuck.CAPACITY, Stuck.MAX_RESOURCE, Stuck.REQUIREMENT])
def test_each_of_the_three_reasons_can_have_a_time_limit(world: World, reason: Stuck) -> None:
    """B12: after it the job is FAILED with Batch's words, and the next one in the queue goes on."""
    world.engine.time_limits = {"high": [{**LIMIT, "reason": reason.value}]}
    world.environments[0] = replace(world.environments[0], shortage=reason is Stuck.CAPACITY, node_vcpus=2)
    world.configure()
    head = world.submit(9 if reason is Stuck.MAX_RESOURCE else 2, vcpus=4 if reason is Stuck.REQUIREMENT else 1)
    behind = world.submit(1, queue="high")
    assert Stuck.of(head.status_reason) is reason
    world.pass_time(601)
    assert (head.status, head.cancelled) == (Status.FAILED, True)
    assert head.status_reason == f"Canceled by JobStateTimeLimit action due to reason: {reason.value}"
    assert behind.status == (Status.RUNNABLE if reason is Stuck.CAPACITY else Status.STARTING)


def test_a_state_time_limit_for_another_reason_does_nothing(world: World) -> None:
    world.engine.time_limits = {"high": [LIMIT]}
    world.configure()
    job = world.submit(9)
    world.pass_time(10_000)
    assert job.status == Status.RUNNABLE.value


def test_time_at_the_head_counts_anew_when_the_shortage_was_over_in_between(world: World) -> None:
    world.engine.time_limits = {"high": [LIMIT]}
    short = replace(world.environments[0], shortage=True)
    enough = world.environments[0]
    world.environments[0] = short
    world.submit(8, queue="low")
    world.configure()
    job = world.submit(2)
    world.pass_time(500)
    world.environments[0] = enough
    world.configure()  # the low job runs there: the head waits for its turn, without a reason
    assert (job.status, job.status_reason) == (Status.RUNNABLE, "")
    world.environments[0] = short
    world.configure()
    world.pass_time(500)
    assert job.status == Status.RUNNABLE.value
    world.pass_time(200)
    assert job.status == Status.FAILED.value


def test_a_disabled_environment_starts_nothing(world: World) -> None:
    world.environments = [replace(e, enabled=False) for e in world.environments]
    world.configure()
    job = world.submit(1)
    assert (job.status, job.status_reason) == (Status.RUNNABLE, Stuck.UNDETERMINED.said())


def test_the_head_has_a_reason_and_who_waits_for_its_turn_has_none(world: World) -> None:
    """B12, as the User Guide has it: the reason is how to tell a job that blocks its queue from one that waits."""
    head, behind = world.submit(9), world.submit(1)
    assert Stuck.of(head.status_reason) is Stuck.MAX_RESOURCE
    assert (behind.status, behind.status_reason) == (Status.RUNNABLE, "")
    world.act(lambda engine, now: engine.cancel(head.id, "x", now))
    assert behind.status == Status.STARTING.value
