"""The instances below the cluster's pools, as ECS knows them: every environment of Batch has an ECS cluster of its own.

Fargate and environments that Batch does not manage have no instances that could be seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tutti.aws import told
from tutti.listing import every

if TYPE_CHECKING:
    from tutti.cluster import Cluster

UNITS: Final = 1024  # of CPU, a vCPU (ECS, "registeredResources")
PAGE: Final = 100  # container instances that are listed or described at once
WITH_INSTANCES: Final = frozenset({"EC2", "SPOT"})


@dataclass(frozen=True, kw_only=True)
class Instance:
    """An EC2 instance that has joined a pool. `free_*`: what no container has taken."""

    id: str
    pool: str
    type: str
    zone: str
    status: str  # ACTIVE, DRAINING, REGISTERING ...
    connected: bool  # whether its ECS agent is
    vcpus: int
    free_vcpus: int
    memory_mib: int
    free_memory_mib: int
    gpus: int
    tasks: int  # containers that run on it
    registered: float | None  # Unix seconds

    @property
    def idle_state(self) -> str:
        """Its state where no node of ours is known to be on it."""
        if self.status != "ACTIVE":
            return self.status
        if not self.connected:
            return "NO AGENT"
        return "BUSY" if self.tasks else "IDLE"


@told
def instances_of(cluster: Cluster) -> dict[str, Instance]:
    """Every instance of the card's pools, by the ARN that DescribeJobs calls `containerInstanceArn`."""
    pools = _pools(cluster)
    if not pools:
        return {}
    ecs = cluster.client("ecs")
    found = every(lambda arn: _in_cluster(ecs, arn, pools[arn]), pools)
    return {arn: instance for of_one in found for arn, instance in of_one.items()}


def instance(item: Mapping[str, Any], pool: str) -> Instance:
    """An instance from a DescribeContainerInstances entry."""
    attributes = {a["name"]: a.get("value", "") for a in item.get("attributes", [])}
    registered, free = (_amounts(item.get(key, [])) for key in ("registeredResources", "remainingResources"))
    since = item.get("registeredAt")
    return Instance(
        id=item.get("ec2InstanceId", ""),
        pool=pool,
        type=attributes.get("ecs.instance-type", ""),
        zone=attributes.get("ecs.availability-zone", ""),
        status=item.get("status", ""),
        connected=item.get("agentConnected", False),
        vcpus=registered.get("CPU", 0) // UNITS,
        free_vcpus=free.get("CPU", 0) // UNITS,
        memory_mib=registered.get("MEMORY", 0),
        free_memory_mib=free.get("MEMORY", 0),
        gpus=registered.get("GPU", 0),
        tasks=item.get("runningTasksCount", 0),
        registered=since.timestamp() if since else None,
    )


def _pools(cluster: Cluster) -> dict[str, str]:
    """ARN of an ECS cluster -> the pool whose environment it belongs to."""
    pool_of = {queue.name: queue.pool for queue in cluster.card.queues}
    batch = cluster.batch
    queues = batch.describe_job_queues(jobQueues=list(pool_of))["jobQueues"]
    owner = {
        entry["computeEnvironment"].rpartition("/")[2]: pool_of[queue["jobQueueName"]]
        for queue in queues
        for entry in queue["computeEnvironmentOrder"]
    }
    if not owner:
        return {}
    described = batch.describe_compute_environments(computeEnvironments=list(owner))["computeEnvironments"]
    return {
        item["ecsClusterArn"]: owner[item["computeEnvironmentName"]]
        for item in described
        if item.get("computeResources", {}).get("type") in WITH_INSTANCES and item.get("ecsClusterArn")
    }


def _in_cluster(ecs: Any, cluster: str, pool: str) -> dict[str, Instance]:
    pages = ecs.get_paginator("list_container_instances").paginate(cluster=cluster)
    try:
        arns = [arn for page in pages for arn in page["containerInstanceArns"]]
    except ecs.exceptions.ClusterNotFoundException:
        return {}  # the environment is being made, or deleted
    found = [
        item
        for start in range(0, len(arns), PAGE)
        for item in ecs.describe_container_instances(cluster=cluster, containerInstances=arns[start : start + PAGE])[
            "containerInstances"
        ]
    ]
    return {item["containerInstanceArn"]: instance(item, pool) for item in found}


def _amounts(resources: list[Mapping[str, Any]]) -> dict[str, int]:
    """Name -> how much: a number, or how many of what is named one by one (GPUs)."""
    return {r["name"]: r.get("integerValue", 0) or len(r.get("stringSetValue", ())) for r in resources}
