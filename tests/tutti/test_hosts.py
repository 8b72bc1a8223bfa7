"""Hosts on AWS: the answers of Batch and ECS in AWS's own shape, put together; on the twin in test_on_twin.py."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.tutti.stubbed import Stubbed
from tutti.cli import hosts as shown
from tutti.hosts import Host, Hosts, hosts_of
from tutti.instances import Instance

QUEUE = "arn:aws:batch:us-east-1:1:job-queue:cpu-high"
ENVIRONMENT = "arn:aws:batch:us-east-1:1:compute-environment/tutti-dev-cpu-gang-1"
CLUSTER = "arn:aws:ecs:us-east-1:1:cluster/AWSBatch-tutti-dev-cpu-gang-1-aa"
OTHERS = "arn:aws:ecs:us-east-1:1:container-instance/AWSBatch-tutti-dev-cpu-gang-1-aa"
JOINED = datetime(2026, 3, 1, 12, tzinfo=UTC)


def resources(cpu: int, memory: int) -> list[dict[str, Any]]:
    ports = {"name": "PORTS", "type": "STRINGSET", "stringSetValue": ["22", "2376"]}
    gpus = {"name": "GPU", "type": "STRINGSET", "stringSetValue": ["GPU-1", "GPU-2"]}
    numbers = [
        {"name": name, "type": "INTEGER", "doubleValue": 0.0, "longValue": 0, "integerValue": value}
        for name, value in (("CPU", cpu), ("MEMORY", memory))
    ]
    return [*numbers, ports, gpus]


def container_instance(number: int, **more: Any) -> dict[str, Any]:
    return {
        "containerInstanceArn": f"{OTHERS}/{number}",
        "ec2InstanceId": f"i-000000000000000a{number}",
        "status": "ACTIVE",
        "agentConnected": True,
        "runningTasksCount": 0,
        "registeredAt": JOINED,
        "registeredResources": resources(8192, 15_000),
        "remainingResources": resources(8192, 15_000),
        "attributes": [
            {"name": "ecs.capability.ecr-auth"},
            {"name": "ecs.instance-type", "value": "c7i.2xlarge"},
            {"name": "ecs.availability-zone", "value": "us-east-1a"},
        ],
        **more,
    }


def gang(nodes: int) -> Stubbed:
    """A pool on which one gang runs."""
    cluster = Stubbed(queues=[QUEUE])
    summary = {"jobId": "11111111-2", "jobName": "gang", "status": "RUNNING", "createdAt": 1000}
    cluster.answers("batch", "list_jobs", {"jobSummaryList": [{**summary, "nodeProperties": {"numNodes": nodes}}]})
    common = {
        "jobName": "gang",
        "jobQueue": "job-queue/cpu-high",
        "jobDefinition": "d",
        "status": "RUNNING",
        "startedAt": 2000,
    }
    properties = {"numNodes": nodes, "mainNode": 0, "nodeRangeProperties": [{"targetNodes": "0:"}]}
    cluster.answers(
        "batch", "describe_jobs", {"jobs": [{"jobId": "11111111-2", **common, "nodeProperties": properties}]}
    )
    of_nodes = [
        {
            "jobId": f"11111111-2#{n}",
            **common,
            "container": {
                "containerInstanceArn": f"{OTHERS}/{n}",
                "networkInterfaces": [{"privateIpv4Address": f"10.0.0.{n}"}],
            },
        }
        for n in range(nodes)
    ]
    cluster.answers("batch", "describe_jobs", {"jobs": of_nodes})
    return cluster


def environment(cluster: Stubbed, kind: str = "EC2") -> None:
    order = [{"order": 1, "computeEnvironment": ENVIRONMENT}]
    described = {"jobQueueName": "cpu-high", "jobQueueArn": QUEUE, "state": "ENABLED", "priority": 10}
    cluster.answers("batch", "describe_job_queues", {"jobQueues": [{**described, "computeEnvironmentOrder": order}]})
    compute = {"type": kind, "maxvCpus": 256, "subnets": ["subnet-1"]}
    found = {
        "computeEnvironmentName": ENVIRONMENT.rpartition("/")[2],
        "computeEnvironmentArn": ENVIRONMENT,
        "ecsClusterArn": CLUSTER,
        "computeResources": compute,
    }
    cluster.answers("batch", "describe_compute_environments", {"computeEnvironments": [found]})


def instances(cluster: Stubbed, *items: dict[str, Any]) -> None:
    arns = [item["containerInstanceArn"] for item in items]
    cluster.answers("ecs", "list_container_instances", {"containerInstanceArns": arns})
    if items:
        cluster.answers("ecs", "describe_container_instances", {"containerInstances": list(items), "failures": []})


def asked(cluster: Any) -> Hosts:
    return hosts_of(cluster)


def test_a_node_is_shown_with_its_instance_and_what_is_left_is_idle() -> None:
    cluster = gang(2)
    environment(cluster)
    busy = [container_instance(n, runningTasksCount=1, remainingResources=resources(0, 1000)) for n in range(2)]
    instances(cluster, *busy, container_instance(2))
    found = asked(cluster)
    assert found.unseen == ""
    first, second, idle = found.hosts
    assert (first.node, first.address, first.state, first.job) == (0, "10.0.0.0", "RUNNING", "11111111-2")
    assert second.instance == Instance(
        id="i-000000000000000a1",
        pool="cpu",
        type="c7i.2xlarge",
        zone="us-east-1a",
        status="ACTIVE",
        connected=True,
        vcpus=8,
        free_vcpus=0,
        memory_mib=15_000,
        free_memory_mib=1000,
        gpus=2,
        tasks=1,
        registered=JOINED.timestamp(),
    )
    assert (idle.state, idle.job, idle.node, idle.pool) == ("IDLE", "", None, "cpu")
    assert idle.since == JOINED.timestamp()


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({"status": "DRAINING"}, "DRAINING"),
        ({"agentConnected": False}, "NO AGENT"),
        ({"runningTasksCount": 1}, "BUSY"),
        ({}, "IDLE"),
    ],
)
def test_an_instance_without_a_node_of_ours_says_how_it_is(more: dict[str, Any], state: str) -> None:
    cluster = gang(1)
    environment(cluster)
    instances(cluster, container_instance(0, runningTasksCount=1), container_instance(5, **more))
    assert [h.state for h in asked(cluster).hosts] == ["RUNNING", state]


def test_fargate_has_nodes_and_no_instances() -> None:
    cluster = gang(1)
    environment(cluster, "FARGATE")
    found = asked(cluster)
    assert found.unseen == ""
    assert [(h.address, h.instance) for h in found.hosts] == [("10.0.0.0", None)]


@pytest.mark.parametrize("call", ["list_container_instances", "describe_container_instances"])
def test_without_the_right_the_nodes_are_shown_and_the_right_is_named(call: str) -> None:
    cluster = gang(1)
    environment(cluster)
    action = "ecs:ListContainerInstances" if call.startswith("list") else "ecs:DescribeContainerInstances"
    if call.startswith("describe"):
        cluster.answers("ecs", "list_container_instances", {"containerInstanceArns": [f"{OTHERS}/0"]})
    message = f"User: arn:aws:iam::1:user/a is not authorized to perform: {action} on resource: {CLUSTER} because ..."
    cluster.client("ecs")
    cluster.stubs["ecs"].add_client_error(call, "AccessDeniedException", message)
    found = asked(cluster)
    assert [h.address for h in found.hosts] == ["10.0.0.0"]
    assert f"{action} on {CLUSTER}" in found.unseen
    assert "researcher" in found.unseen


def test_an_environment_whose_cluster_is_not_made_yet_has_no_instances() -> None:
    cluster = gang(1)
    environment(cluster)
    cluster.refuses("ecs", "list_container_instances", "ClusterNotFoundException")
    assert [h.instance for h in asked(cluster).hosts] == [None]


def wide(node: int | None) -> Host:
    instance = Instance(
        id="i-0123456789abcdef0", pool="big", type="hpc7a.96xlarge", zone="eu-central-1a", status="ACTIVE", connected=True,
        vcpus=192, free_vcpus=0, memory_mib=750_000, free_memory_mib=749_000, gpus=0, tasks=0, registered=1.0,
    )  # fmt: skip
    if node is None:
        return Host(state="IDLE", pool="big", instance=instance)
    return Host(
        state="STARTING", pool="big", address="172.31.255.255", job="11111111-2222", name="n", node=node, queue="q",
        started=1.0, instance=instance,
    )  # fmt: skip


def test_the_widest_names_fit_80_columns_and_only_the_instance_s_id_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = shown._instances([wide(999), wide(None)], "eu-central-1").splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].split()[1:7] == ["hpc7a.96xlarge", "a", "172.31.255.255", "11111111", "999", "STARTING"]
    assert lines[2].split()[1:7] == ["hpc7a.96xlarge", "a", "-", "-", "-", "IDLE"]
    details = shown._details([wide(0), wide(None)]).splitlines()
    assert max(map(len, details)) <= 80
    assert len(details) == 2  # once, with two nodes on it
    assert details[1].split()[1:7] == ["hpc7a.96xlarge", "big", "ACTIVE", "0/192", "731.4/732.4", "0"]
