"""Queues, environments and definitions over HTTP with boto3."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from workload import documents

Desk = Any
KINDS = ("mpi", "mpi-parameterized", "gpu-mpi", "single", "array")


def environment(desk: Desk, name: str, **resources: Any) -> None:
    compute = {
        "type": "EC2",
        "minvCpus": 0,
        "maxvCpus": 8,
        "instanceTypes": ["optimal"],
        "subnets": ["s"],
        "instanceRole": "r",
        **resources,
    }
    desk.batch.create_compute_environment(computeEnvironmentName=name, type="MANAGED", computeResources=compute)


def queue(desk: Desk, name: str, *environments: str, **more: Any) -> None:
    order = [{"order": n, "computeEnvironment": e} for n, e in enumerate(environments)]
    desk.batch.create_job_queue(jobQueueName=name, priority=1, computeEnvironmentOrder=order, **more)


def test_the_twin_has_the_queues_and_definitions_of_a_stack(desk: Desk) -> None:
    queues = desk.batch.describe_job_queues()["jobQueues"]
    assert {"twin-mpi-high", "twin-mpi-low", "twin-single-high", "twin-single-low"} <= {
        q["jobQueueName"] for q in queues
    }
    assert {
        q["priority"] for q in queues if q["jobQueueName"].endswith("-high") and q["jobQueueName"].startswith("twin")
    } == {10}
    found = {d["jobDefinitionName"]: d for d in desk.batch.describe_job_definitions(status="ACTIVE")["jobDefinitions"]}
    assert {f"twin-{kind}" for kind in KINDS} <= set(found)
    container = found["twin-mpi"]["nodeProperties"]["nodeRangeProperties"][0]["container"]
    assert container["command"] == documents.node_command(documents.DEFAULT_COMMANDS["mpi"])
    assert found["twin-mpi"]["retryStrategy"] == documents.retry_strategy(3)
    assert {q.name for q in desk.card.queues} <= {q["jobQueueName"] for q in queues}
    assert {d.name for d in desk.card.definitions} == {f"twin-{kind}" for kind in KINDS}


def test_a_multi_node_job_stays_runnable_on_spot_and_is_said_why(desk: Desk) -> None:
    environment(desk, "spot", type="SPOT")
    queue(desk, "on-spot", "spot")
    job = desk.gang("true", queue="on-spot")
    found = desk.describe(job)
    assert found["status"] == "RUNNABLE"
    assert found["statusReason"] == (
        "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement (vCPU/memory/GPU) is higher than that "
        "can be met by the CE(s) attached to the job queue."
    )
    behind = desk.until(desk.single("true", queue="on-spot"), "RUNNABLE")
    assert "statusReason" not in behind, "it waits for its turn: Batch gives a reason to the job that blocks alone"
    [row] = desk.batch.list_jobs(jobQueue="on-spot", jobStatus="RUNNABLE", filters=[])["jobSummaryList"][-1:]
    assert (row["jobId"], row["statusReason"]) == (job, found["statusReason"])
    desk.batch.terminate_job(jobId=job, reason="done")


def test_a_job_above_max_vcpus_waits_and_starts_when_there_is_more(desk: Desk) -> None:
    environment(desk, "tight", maxvCpus=2)
    queue(desk, "in-tight", "tight")
    job = desk.gang("true", queue="in-tight")
    assert desk.describe(job)["statusReason"] == (
        "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - CE(s) associated with the job queue cannot meet the CPU "
        "requirement of the job."
    )
    desk.batch.update_compute_environment(computeEnvironment="tight", computeResources={"maxvCpus": 4})
    assert desk.until(job)["status"] == "SUCCEEDED"


def test_deleting_needs_the_order_that_aws_needs_and_ends_the_jobs(desk: Desk) -> None:
    environment(desk, "brief")
    queue(desk, "in-brief", "brief")
    job = desk.single("sleep 1000", queue="in-brief")
    with pytest.raises(ClientError, match="existing JobQueue relationship"):
        desk.batch.delete_compute_environment(computeEnvironment="brief")
    with pytest.raises(ClientError, match="not DISABLED"):
        desk.batch.delete_job_queue(jobQueue="in-brief")
    desk.batch.update_job_queue(jobQueue="in-brief", state="DISABLED")
    with pytest.raises(ClientError, match="disabled"):
        desk.single("true", queue="in-brief")
    desk.batch.delete_job_queue(jobQueue="in-brief")
    assert desk.until(job)["status"] == "FAILED"
    desk.batch.update_compute_environment(computeEnvironment="brief", state="DISABLED")
    desk.batch.delete_compute_environment(computeEnvironment="brief")
    assert desk.batch.describe_compute_environments(computeEnvironments=["brief"])["computeEnvironments"] == []


def test_definitions_have_revisions_and_old_ones_stay_usable_until_deregistered(desk: Desk) -> None:
    container = {
        "image": "x",
        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
    }
    for n in (1, 2):
        made = desk.batch.register_job_definition(
            jobDefinitionName="twice", type="container", containerProperties={**container, "command": ["echo", str(n)]}
        )
        assert made["revision"] == n
    one = desk.batch.submit_job(jobName="x", jobQueue="twin-single-high", jobDefinition="twice:1")["jobId"]
    two = desk.batch.submit_job(jobName="x", jobQueue="twin-single-high", jobDefinition="twice")["jobId"]
    for job, said in ((one, "1"), (two, "2")):
        desk.until(job)
        assert desk.log(job) == [said]
    desk.batch.deregister_job_definition(jobDefinition="twice:2")
    pages = desk.batch.get_paginator("describe_job_definitions").paginate(
        jobDefinitionName="twice", PaginationConfig={"PageSize": 1}
    )
    assert [d["revision"] for page in pages for d in page["jobDefinitions"]] == [1, 2]
    assert [
        d["revision"]
        for d in desk.batch.describe_job_definitions(jobDefinitionName="twice", status="ACTIVE")["jobDefinitions"]
    ] == [1]
    with pytest.raises(ClientError, match="not ACTIVE"):
        desk.batch.submit_job(jobName="x", jobQueue="twin-single-high", jobDefinition="twice:2")


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ({"reason": "WHIM"}, "not one of the three"),
        ({"maxTimeSeconds": 599}, "600 to 86400"),
        ({"action": "TERMINATE"}, "CANCEL"),
        ({"state": "RUNNING"}, "RUNNABLE"),
    ],
)
def test_state_time_limits_that_batch_would_refuse_are_refused(desk: Desk, action: dict[str, Any], said: str) -> None:
    good = {
        "reason": "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
        "state": "RUNNABLE",
        "maxTimeSeconds": 600,
        "action": "CANCEL",
    }
    with pytest.raises(ClientError, match=said):
        queue(desk, "limited", "twin-mpi", jobStateTimeLimitActions=[{**good, **action}])


def test_wrong_requests_are_refused_by_the_services_own_model(desk: Desk) -> None:
    with pytest.raises(ClientError, match="1 to 3 environments"):
        queue(desk, "none")
    with pytest.raises(ClientError, match="larger than 24576 bytes"):
        desk.batch.register_job_definition(
            jobDefinitionName="large", type="container", containerProperties={"image": "x" * 25_000}
        )
    with pytest.raises(ClientError, match="AWS_BATCH"):
        desk.batch.register_job_definition(
            jobDefinitionName="env",
            type="container",
            containerProperties={"image": "x", "environment": [{"name": "AWS_BATCH_X", "value": "1"}]},
        )
    with pytest.raises(ClientError, match="NotImplemented"):
        desk.batch.list_consumable_resources()


def test_a_definition_above_24_kib_or_with_six_ranges_is_refused(desk: Desk) -> None:
    needs = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]
    container = {"image": "x", "resourceRequirements": needs}
    long = {**container, "environment": [{"name": "X", "value": "x" * 25_000}]}
    ranges = [{"targetNodes": f"{n}:{n}", "container": container} for n in range(6)]
    for properties, said in (
        ({"type": "container", "containerProperties": long}, "larger than 24576 bytes"),
        (
            {
                "type": "multinode",
                "nodeProperties": {"numNodes": 6, "mainNode": 0, "nodeRangeProperties": ranges},
            },
            "range",
        ),
    ):
        with pytest.raises(ClientError, match="ClientException") as error:
            desk.batch.register_job_definition(jobDefinitionName="too-much", **properties)
        assert said in str(error.value)


def test_tags_of_resources_are_kept(desk: Desk) -> None:
    arn = desk.batch.describe_job_queues(jobQueues=["twin-mpi-low"])["jobQueues"][0]["jobQueueArn"]
    desk.batch.tag_resource(resourceArn=arn, tags={"team": "a/b"})
    assert desk.batch.list_tags_for_resource(resourceArn=arn)["tags"] == {"team": "a/b"}
