"""Up, down, killed and started again: what stays, what goes, what is left behind (nothing)."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tutti.core.waiting import Folder, Waiting, key
from tutti.errors import TuttiError
from tutti.home import Home
from tutti.twin import control
from tutti.twin.nodes import Isolation
from tutti.twin.nodes.processes import marked
from tutti.twin.options import TwinOptions
from tutti.twin.place import TwinPlace, wait_gone

Desk = Any


def nothing_left(desk: Desk) -> None:
    """No process, control group or folder of this twin's is there; waits for the kernel to finish."""
    place = TwinPlace(home=desk.home.twin)
    deadline = time.monotonic() + 20
    while marked(place.name) or list(Path("/sys/fs/cgroup").glob(f"*/{place.name}")):
        assert time.monotonic() < deadline, (marked(place.name), list(Path("/sys/fs/cgroup").glob(f"*/{place.name}")))
        time.sleep(0.02)
    assert not place.scratch.exists()


@pytest.mark.parametrize("isolation", ["process", pytest.param("netns", marks=pytest.mark.netns)])
def test_killed_and_started_again_everything_is_there_and_what_ran_has_failed(
    new_desk: Callable[..., Desk], isolation: str
) -> None:
    try:
        desk = new_desk(isolation=Isolation(isolation), max_vcpus=4)
    except TuttiError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    done = desk.gang("echo from the first life; exit 3")
    desk.until(done)
    ran = desk.gang("(setsid sleep 1000 &); echo up; sleep 1000")
    desk.until_log(f"{ran}#0", "up")
    waits = desk.gang("echo second life")
    desk.s3.put_object(
        Bucket=desk.card.bucket, Key="a/b", Body=b"kept" * 1000, Metadata={"my_key": "v"}, ContentType="text/x"
    )
    desk.s3.create_bucket(Bucket="mine")
    desk.s3.put_object(Bucket="mine", Key="gone", Body=b"x")
    desk.s3.delete_object(Bucket="mine", Key="gone")
    desk.batch.register_job_definition(
        jobDefinitionName="own",
        type="container",
        containerProperties={
            "image": "x",
            "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
        },
    )
    target = {"Arn": "arn:aws:sqs:us-east-1:123456789012:x", "RoleArn": desk.card.scheduler_role, "Input": "{}"}
    once = {"GroupName": desk.card.schedule_group, "FlexibleTimeWindow": {"Mode": "OFF"}, "Target": target}
    desk.client("scheduler").create_schedule(Name="later", ScheduleExpression="cron(0 6 1 1 ? *)", **once)
    follows = {"jobName": "follows", "jobQueue": "twin-single-high", "jobDefinition": "twin-single"}
    left = Waiting(name="x", user="me", after=(ran,), request=follows, runs="", capsule=None, created=time.time())
    waiting, submitted = (key(desk.card.waiting, folder, "me", "x") for folder in (Folder.WAITING, Folder.SUBMITTED))
    desk.s3.put_object(Bucket=desk.card.bucket, Key=waiting, Body=left.to_text().encode())
    before = desk.describe(done)
    etag = desk.s3.head_object(Bucket=desk.card.bucket, Key="a/b")["ETag"]
    pid = desk.about["pid"]
    os.kill(pid, signal.SIGKILL)
    assert wait_gone(pid, 20)
    endpoint = desk.twin.endpoint
    desk.up()
    assert desk.twin.endpoint == endpoint, "clients that have the address go on"
    assert desk.describe(done) == before
    assert desk.log(f"{done}#0") == ["from the first life"]
    found = desk.describe(ran)
    assert (found["status"], found["statusReason"]) == ("FAILED", "The twin was stopped or killed while this job ran")
    desk.s3.get_waiter("object_exists").wait(
        Bucket=desk.card.bucket, Key=submitted, WaiterConfig={"Delay": 0.2, "MaxAttempts": 150}
    )  # no event told of the end of what ran
    assert desk.until(waits)["status"] == "SUCCEEDED"
    head = desk.s3.head_object(Bucket=desk.card.bucket, Key="a/b")
    assert (head["ETag"], head["Metadata"], head["ContentType"]) == (etag, {"my_key": "v"}, "text/x")
    assert desk.s3.get_object(Bucket=desk.card.bucket, Key="a/b")["Body"].read() == b"kept" * 1000
    assert {b["Name"] for b in desk.s3.list_buckets()["Buckets"]} == {"mine", desk.card.bucket}
    assert "Contents" not in desk.s3.list_objects_v2(Bucket="mine")
    kept = desk.client("scheduler").get_schedule(Name="later", GroupName=desk.card.schedule_group)
    assert (kept["ScheduleExpression"], kept["Target"]["Arn"]) == ("cron(0 6 1 1 ? *)", target["Arn"])
    assert desk.batch.describe_job_definitions(jobDefinitionName="own")["jobDefinitions"][0]["revision"] == 1
    assert len(desk.batch.describe_job_definitions(jobDefinitionName="twin-mpi")["jobDefinitions"]) == 1
    assert control.down(desk.home)
    nothing_left(desk)


def test_down_ends_every_node_and_leaves_nothing(new_desk: Callable[..., Desk]) -> None:
    desk = new_desk()
    job = desk.gang("(setsid sleep 1000 &); trap '' TERM; echo up; while :; do sleep 0.1; done", nodes=2)
    for n in range(2):
        desk.until_log(f"{job}#{n}", "up")
    begun = time.monotonic()
    assert control.down(desk.home)
    assert time.monotonic() - begun < 10
    nothing_left(desk)
    assert control.running(desk.home) == 0
    assert not control.down(desk.home), "the second time there is nothing to stop"


def test_a_second_up_leaves_the_first_as_it_is(desk: Desk) -> None:
    again = control.up(desk.home, TwinOptions(isolation=Isolation.PROCESS))
    assert again["already"]
    assert again["pid"] == desk.about["pid"]


def test_a_port_that_is_taken_is_named_with_the_remedy(desk: Desk, tmp_path: Path) -> None:
    port = int(desk.twin.endpoint.rpartition(":")[2])
    with pytest.raises(TuttiError, match=rf"port {port} is taken.*--port"):
        control.up(Home(root=tmp_path), TwinOptions(isolation=Isolation.PROCESS, port=port))
    assert control.running(Home(root=tmp_path)) == 0


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    yield Home(root=tmp_path)
    control.down(Home(root=tmp_path))


def test_a_twin_that_died_while_it_started_says_where_to_look(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.twin.mkdir(parents=True)
    (home.twin / "twin.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(TuttiError, match=r"twin\.log"):
        control.up(home, TwinOptions(isolation=Isolation.PROCESS))
