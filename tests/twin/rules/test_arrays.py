"""Arrays and dependencies (B11), on an engine with a clock of the test's own."""

from typing import Any

from tutti.twin.jobs import ON_NODES, Kind, Reason, Status

World = Any


def array(world: World, size: int, **fields: Any) -> tuple[Any, list[Any]]:
    job = world.submit(kind=Kind.ARRAY, array_size=size, **fields)
    return job, [world.engine.jobs[f"{job.id}:{k}"] for k in range(size)]


def run(world: World, job: Any, code: int = 0) -> None:
    world.start(job)
    world.end(job, 0, code)


def test_an_array_is_pending_until_its_children_have_ended(world: World) -> None:
    job, children = array(world, 3)
    assert job.status == Status.PENDING.value
    for child in children:
        run(world, child)
    assert job.status == Status.SUCCEEDED.value
    assert world.engine.children[job.id][Status.SUCCEEDED] == 3


def test_an_array_with_a_failed_child_has_failed_once_all_have_ended(world: World) -> None:
    job, children = array(world, 3)
    run(world, children[1], 1)
    assert job.status == Status.PENDING.value
    run(world, children[0])
    run(world, children[2])
    assert job.status == Status.FAILED.value


def test_terminating_an_array_ends_all_its_children(world: World) -> None:
    job, children = array(world, 20)
    world.start(children[0])
    world.act(lambda engine, now: engine.terminate(job.id, "enough", now))
    for child in children:
        if child.status in ON_NODES:
            world.end(child, 0, 143)
    assert {c.status for c in children} == {Status.FAILED}
    assert (job.status, job.status_reason) == (Status.FAILED, "enough")


def test_a_job_waits_for_what_it_depends_on(world: World) -> None:
    first = world.submit(2)
    second = world.submit(1, depends_on=({"jobId": first.id},))
    assert second.status == Status.PENDING.value
    world.start_all(first)
    world.end_all(first)
    assert second.status == Status.STARTING.value


def test_a_failed_dependency_fails_the_dependent_and_its_dependents(world: World) -> None:
    first = world.submit()
    second = world.submit(depends_on=({"jobId": first.id},))
    third = world.submit(depends_on=({"jobId": second.id},))
    run(world, first, 1)
    assert (second.status, second.status_reason) == (Status.FAILED, Reason.DEPENDENCY)
    assert third.status == Status.FAILED.value


def test_a_dependency_that_failed_before_fails_at_once_and_one_that_succeeded_is_no_wait(world: World) -> None:
    bad, good = world.submit(), world.submit()
    run(world, bad, 1)
    run(world, good)
    assert world.submit(depends_on=({"jobId": bad.id},)).status == Status.FAILED.value
    assert world.submit(depends_on=({"jobId": good.id},)).status == Status.STARTING.value


def test_a_retried_dependency_is_waited_for(world: World) -> None:
    first = world.submit(retry={"attempts": 2, "evaluateOnExit": []})
    second = world.submit(depends_on=({"jobId": first.id},))
    run(world, first, 1)
    assert second.status == Status.PENDING.value
    run(world, first)
    assert second.status == Status.STARTING.value


def test_sequential_children_run_one_after_the_other_and_a_failure_ends_the_rest(world: World) -> None:
    _, children = array(world, 4, depends_on=({"type": "SEQUENTIAL"},))
    assert [c.status for c in children] == ["STARTING", "PENDING", "PENDING", "PENDING"]
    run(world, children[0])
    assert [c.status for c in children] == ["SUCCEEDED", "STARTING", "PENDING", "PENDING"]
    run(world, children[1], 1)
    assert [c.status for c in children] == ["SUCCEEDED", "FAILED", "FAILED", "FAILED"]


def test_n_to_n_waits_for_the_child_of_the_same_index(world: World) -> None:
    first, befores = array(world, 3)
    _, afters = array(world, 3, depends_on=({"jobId": first.id, "type": "N_TO_N"},))
    run(world, befores[1])
    assert [a.status for a in afters] == ["PENDING", "STARTING", "PENDING"]


def test_ten_thousand_sequential_children_fail_together_without_recursion(world: World) -> None:
    job, children = array(world, 10_000, depends_on=({"type": "SEQUENTIAL"},))
    run(world, children[0], 1)
    assert job.status == Status.FAILED.value
    assert world.engine.children[job.id] == {Status.FAILED: 10_000} | dict.fromkeys(
        (s for s in Status if s in world.engine.children[job.id] and s is not Status.FAILED), 0
    )


def test_cancelling_a_pending_job_takes_effect_when_its_dependencies_have_ended(world: World) -> None:
    first = world.submit()
    second = world.submit(depends_on=({"jobId": first.id},))
    world.act(lambda engine, now: engine.cancel(second.id, "not needed", now))
    assert second.status == Status.PENDING.value
    run(world, first)
    assert (second.status, second.status_reason) == (Status.FAILED, "not needed")
