"""The instances below an environment, through ECS's own API."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tutti.twin.cluster import NODE_MEMORY_MIB, NODE_TYPE, NODE_VCPUS

Desk = Any


def cluster_of(desk: Desk, environment: str) -> str:
    [found] = desk.batch.describe_compute_environments(computeEnvironments=[environment])["computeEnvironments"]
    assert f":cluster/AWSBatch-{environment}-" in found["ecsClusterArn"]
    return str(found["ecsClusterArn"])


def described(desk: Desk, cluster: str, arns: list[str]) -> list[Any]:
    answer = desk.client("ecs").describe_container_instances(cluster=cluster, containerInstances=arns)
    assert answer["failures"] == []
    return list(answer["containerInstances"])


def amounts(instance: Any, key: str) -> dict[str, int]:
    return {r["name"]: r["integerValue"] for r in instance[key]}


def test_a_gang_s_nodes_name_their_instances_which_are_idle_once_it_has_ended(desk: Desk) -> None:
    cluster = cluster_of(desk, "twin-mpi2")
    job = desk.gang("touch $TUTTI_SHARED/up-$AWS_BATCH_JOB_NODE_INDEX; sleep 60", queue="twin-mpi2-high")
    nodes = [desk.until(f"{job}#{n}", "RUNNING")["container"]["containerInstanceArn"] for n in range(2)]
    assert len(set(nodes)) == 2
    pages = desk.client("ecs").get_paginator("list_container_instances").paginate(cluster=cluster, maxResults=1)
    assert set(nodes) <= {arn for page in pages for arn in page["containerInstanceArns"]}
    for instance in described(desk, cluster, nodes):
        assert instance["ec2InstanceId"].startswith("i-")
        assert (instance["status"], instance["agentConnected"], instance["runningTasksCount"]) == ("ACTIVE", True, 1)
        attributes = {a["name"]: a["value"] for a in instance["attributes"]}
        assert attributes["ecs.instance-type"] == NODE_TYPE
        assert attributes["ecs.availability-zone"] == "us-east-1b"  # the second pool's
        assert amounts(instance, "registeredResources") == {"CPU": NODE_VCPUS * 1024, "MEMORY": NODE_MEMORY_MIB}
        assert amounts(instance, "remainingResources")["CPU"] == 0
    desk.batch.terminate_job(jobId=job, reason="enough")
    desk.until(job)
    assert desk.describe(f"{job}#1")["attempts"][0]["container"]["containerInstanceArn"] == nodes[1]
    assert [i["runningTasksCount"] for i in described(desk, cluster, nodes)] == [0, 0]
    again = desk.gang("true", queue="twin-mpi2-high", nodes=1)
    desk.until(again)
    assert desk.describe(f"{again}#0")["container"]["containerInstanceArn"] in nodes


def test_an_instance_that_is_not_there_is_a_failure_not_an_error(desk: Desk) -> None:
    cluster = cluster_of(desk, "twin-mpi")
    answer = desk.client("ecs").describe_container_instances(cluster=cluster, containerInstances=["0123"])
    assert (answer["containerInstances"], answer["failures"]) == ([], [{"arn": "0123", "reason": "MISSING"}])


def test_what_ecs_refuses_and_what_the_twin_does_not_do_is_refused_in_words(desk: Desk) -> None:
    ecs, cluster = desk.client("ecs"), cluster_of(desk, "twin-mpi")
    with pytest.raises(ClientError, match="1 to 100 are described at once"):
        ecs.describe_container_instances(cluster=cluster, containerInstances=[str(n) for n in range(101)])
    with pytest.raises(ClientError, match="the twin does not do ListTasks"):
        ecs.list_tasks(cluster=cluster)
    ecs.create_cluster(clusterName="own")  # somebody's, beside Batch
    assert ecs.list_container_instances(cluster="own")["containerInstanceArns"] == []
