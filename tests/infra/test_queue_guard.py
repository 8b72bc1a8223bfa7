"""No queue is deleted while jobs wait or run in it: the guard, bound to every queue, asked over HTTP of a running Batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pulumi
import pytest

from infra.queue_guard import NAME, QueueInUseError, check, guard, refusal
from tests.infra.conftest import SHARED_OUTPUTS, program
from tests.infra.mocked_aws import Recorder, configuration, deploy
from tutti.cluster import Cluster
from tutti.home import Home
from tutti.twin import control
from tutti.twin.nodes import Isolation
from tutti.twin.options import TwinOptions


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    home = Home(root=tmp_path_factory.mktemp("guarded"))
    control.up(home, TwinOptions(isolation=Isolation.PROCESS))
    yield Cluster.current({"TUTTI_HOME": str(home.root)})
    control.down(home)


@pytest.fixture
def batch(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of the twin, which the guard finds by the environment, as it finds AWS."""
    assert cluster.card.twin is not None
    monkeypatch.setenv("AWS_ENDPOINT_URL", cluster.card.twin.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", cluster.card.twin.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", cluster.card.twin.secret_access_key)
    return cluster.batch


@pytest.fixture
def waiting(batch: Any, cluster: Cluster) -> Iterator[tuple[str, list[str]]]:
    """A queue in which a job of 1,000 s runs, and one waits for it."""
    queue = cluster.card.queues[0].arn
    definition = next(d for d in cluster.card.definitions if d.kind == "single").arn
    asked = {"jobQueue": queue, "jobDefinition": definition, "containerOverrides": {"command": ["sleep", "1000"]}}
    first = batch.submit_job(jobName="cavity", **asked)["jobId"]
    second = batch.submit_job(jobName="channel", dependsOn=[{"jobId": first}], **asked)["jobId"]
    yield queue, [first, second]
    for job in (second, first):
        batch.terminate_job(jobId=job, reason="the test is over")


def test_a_queue_with_jobs_is_not_deleted(waiting: tuple[str, list[str]]) -> None:
    """Told: which jobs, what is allowed, and what to do."""
    queue, jobs = waiting
    with pytest.raises(QueueInUseError) as refused:
        check(queue)
    text = str(refused.value)
    assert "1 PENDING" in text
    assert all(f"{name} {job}" in text for name, job in zip(("cavity", "channel"), jobs, strict=True))
    assert "tutti cancel" in text


def test_a_queue_whose_jobs_have_ended_may_go(batch: Any, cluster: Cluster) -> None:
    check(cluster.card.queues[-1].arn)
    assert batch.describe_job_queues(jobQueues=[cluster.card.queues[-1].arn])["jobQueues"], "it is there"


def test_a_queue_that_is_gone_stands_in_nobodys_way(batch: Any, cluster: Cluster) -> None:
    check(cluster.card.queues[0].arn + "-deleted-by-hand")


def test_a_queue_that_cannot_be_asked_is_kept(batch: Any, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(QueueInUseError, match="could not be asked"):
        check(cluster.card.queues[0].arn)


def test_an_unknown_profile_is_told(cluster: Cluster) -> None:
    with pytest.raises(QueueInUseError, match=r"nobody.*AWS_PROFILE"):
        check(cluster.card.queues[0].arn, "nobody")


def test_a_refusal_names_some_and_counts_all() -> None:
    text = refusal("astro-big-low", {"RUNNABLE": [("a", str(i)) for i in range(12)], "RUNNING": [("b", "99")]})
    assert "It has 12 RUNNABLE, 1 RUNNING (a 0, a 1, a 2, a 3, a 4, b 99 and 7 more)" in text


def test_every_queue_is_guarded(varied: Any) -> None:
    """Whether data is kept or not: with `keepData` off nothing else would stop Pulumi."""
    assert {queue.before_delete for queue in varied.of("JobQueue")} <= {(NAME,)}


def test_a_stack_without_pools_still_has_the_guard(varied: Any) -> None:
    """Its last queues are deleted by that very update, and the engine asks the program that runs."""
    assert varied.hooks == [NAME]


def test_a_destroy_that_was_cut_off_can_be_run_again(
    variation: dict[str, Any], varied: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make down` destroys queues and what depends on them with the program: it must run when some of that is gone.

    The engine gives what is gone no outputs (github.com/pulumi/pulumi/issues/23921).
    """
    gone = {r.urn for r in varied.of("JobQueue")}
    while more := {r.urn for r in varied.resources if gone & set(r.after)} - gone:
        gone |= more
    missing = {(r.type, r.name) for r in varied.resources if r.urn in gone}
    answer = Recorder.new_resource

    def without(self: Recorder, args: Any) -> Any:
        return ("", {}) if (args.typ, args.name) in missing else answer(self, args)

    monkeypatch.setattr(Recorder, "new_resource", without)
    keys = {k: v for k, v in variation.items() if k != "_name"}
    again = deploy(program, configuration("dev", **keys), stacks=SHARED_OUTPUTS)
    assert len(again.resources) == len(varied.resources)


def test_a_preview_is_refused_too(build: Any) -> None:
    """So nothing has been changed when the refusal comes."""
    made: list[pulumi.ResourceHook] = []
    build(lambda: made.append(guard(None)))
    assert made[0].opts is not None
    assert made[0].opts.on_dry_run
    assert not made[0].opts.ignore_errors


def test_the_hook_asks_about_the_queue_that_goes(waiting: tuple[str, list[str]], build: Any) -> None:
    made: list[pulumi.ResourceHook] = []
    build(lambda: made.append(guard(None)))
    with pytest.raises(QueueInUseError, match="cavity"):
        made[0](pulumi.ResourceHookArgs(urn="urn", id=waiting[0], name="q", type="aws:batch/jobQueue:JobQueue"))
