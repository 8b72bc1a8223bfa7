"""Nodes as containers of the real image (isolation docker)."""

import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tutti.errors import TuttiError
from tutti.twin import control
from tutti.twin.nodes import Isolation
from tutti.twin.place import TwinPlace

Desk = Any
IMAGE = "tutti:runtime"
pytestmark = pytest.mark.docker


def docker(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def containers(new_desk: Callable[..., Desk]) -> Iterator[Desk]:
    try:
        if docker("image", "inspect", IMAGE).returncode:
            pytest.skip(f"no Docker engine has the image {IMAGE}: make image")
        desk = new_desk(isolation=Isolation.DOCKER, image=IMAGE)
    except (FileNotFoundError, TuttiError) as error:
        pytest.skip(str(error))
    yield desk
    control.down(desk.home)
    name = TwinPlace(home=desk.home.twin).name
    for kind in (("ps", "--all"), ("network", "ls")):
        assert docker(*kind, "--quiet", "--filter", f"label=tutti.twin={name}").stdout == "", "down leaves nothing"


NODE = (
    "hostname; id -u; echo $AWS_BATCH_JOB_NODE_INDEX of $AWS_BATCH_JOB_NUM_NODES; touch $TUTTI_SHARED/work/from-$AWS_BATCH_JOB_NODE_INDEX; "
    "touch $TMPDIR/mine; python -c 'import boto3, os; "
    'boto3.client("s3").put_object(Bucket=os.environ["TUTTI_BUCKET"], Key="docker/" + os.environ["AWS_BATCH_JOB_NODE_INDEX"])\''
)


def test_two_containers_share_a_folder_and_write_with_keys_of_their_own(containers: Desk) -> None:
    job = containers.gang(NODE, main_last=True)
    assert containers.until(job, seconds=60)["status"] == "SUCCEEDED", containers.log(f"{job}#0")
    for n in range(2):
        address = containers.describe(f"{job}#{n}")["container"]["networkInterfaces"][0]["privateIpv4Address"]
        assert containers.log(f"{job}#{n}") == [f"ip-{address.replace('.', '-')}", "1000", f"{n} of 2"]
    listed = containers.s3.list_objects_v2(Bucket=containers.card.bucket, Prefix="docker/")["Contents"]
    assert [o["Key"] for o in listed] == ["docker/0", "docker/1"]


def test_an_image_that_is_not_there_is_named_and_the_job_tried_again(containers: Desk) -> None:
    needs = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]
    containers.batch.register_job_definition(
        jobDefinitionName="no-image",
        type="container",
        containerProperties={"image": "localhost:1/no/such:image", "command": ["true"], "resourceRequirements": needs},
    )
    retry = {
        "attempts": 2,
        "evaluateOnExit": [
            {"onReason": "CannotPullContainerError*", "action": "RETRY"},
            {"onReason": "*", "action": "EXIT"},
        ],
    }
    job = containers.batch.submit_job(
        jobName="x", jobQueue="twin-single-high", jobDefinition="no-image", retryStrategy=retry
    )["jobId"]
    found = containers.until(job, seconds=60)
    assert len(found["attempts"]) == 2
    assert found["attempts"][0]["container"]["reason"].startswith("CannotPullContainerError")


def test_a_killed_container_is_137_and_a_cut_one_can_be_mended(containers: Desk) -> None:
    job = containers.gang("trap 'exit 1' TERM; echo up; while :; do sleep 0.1; done")
    for n in range(2):
        containers.until_log(f"{job}#{n}", "up")
    for action in ("cut", "mend", "stop", "cont", "kill"):
        control.call(containers.home, "drill", job=job, node=1, action=action)
    assert containers.until(f"{job}#1")["container"]["exitCode"] == 137
    assert containers.describe(job)["status"] == "RUNNING"
    containers.batch.terminate_job(jobId=job, reason="done")
    assert containers.until(job, seconds=60)["status"] == "FAILED"


def test_the_image_runs_a_gang(containers: Desk) -> None:
    """The node's real command, in the real image: assembled, launched, ended."""
    override = {"targetNodes": "0:", "containerOverrides": {"command": ["tutti-node", "--", "hostname"]}}
    job = containers.batch.submit_job(
        jobName="gang",
        jobQueue="twin-mpi-high",
        jobDefinition="twin-mpi",
        nodeOverrides={"numNodes": 2, "nodePropertyOverrides": [override]},
    )["jobId"]
    found = containers.until(job, seconds=90)
    assert found["status"] == "SUCCEEDED", containers.log(f"{job}#0")
