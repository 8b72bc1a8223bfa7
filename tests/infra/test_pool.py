"""Pools: environments and queues as multi-node jobs, singles and Fargate need them."""

from __future__ import annotations

import base64
import email
from typing import Any

import pytest

from workload.contract import Limits

REASONS = {
    "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
    "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE",
    "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT",
}


def resources(deployed: Any, name: str) -> dict[str, Any]:
    found: dict[str, Any] = deployed.one("ComputeEnvironment", name).inputs["computeResources"]
    return found


@pytest.fixture
def three(stack: Any, variations: dict[str, dict[str, Any]]) -> Any:
    return stack(**variations["three-pools"])


def test_a_gang_runs_on_demand_in_one_zone_close_together(stack: Any) -> None:
    gang = resources(stack(), "mpi-gang")
    assert (gang["type"], gang["allocationStrategy"]) == ("EC2", "BEST_FIT_PROGRESSIVE")
    assert gang["subnets"] == ["subnet-tutti-dev-private-us-west-2a"]
    assert gang["placementGroup"].startswith("tutti-dev-mpi-gang")
    assert stack().one("PlacementGroup").inputs["strategy"] == "cluster"
    assert gang["ec2Configurations"] == [{"imageType": "ECS_AL2023"}]
    assert (gang["minVcpus"], gang["maxVcpus"], gang["instanceTypes"]) == (0, 256, ["c7i.2xlarge"])


def test_gpu_pools_have_nvidias_image(three: Any) -> None:
    assert resources(three, "gpu-gang")["ec2Configurations"] == [{"imageType": "ECS_AL2023_NVIDIA"}]


def test_an_ami_of_ones_own_takes_the_place_of_batchs(stack: Any) -> None:
    d = stack(pools=[{"name": "mpi", "kind": "mpi", "ami": "ami-0123456789abcdef0"}])
    assert resources(d, "mpi-gang")["ec2Configurations"] == [
        {"imageType": "ECS_AL2023", "imageIdOverride": "ami-0123456789abcdef0"}
    ]


def test_the_group_is_in_the_environment_and_in_the_efa_interfaces(three: Any) -> None:
    """Tasks take it from the environment, EFA from the launch template; either alone is not enough."""
    assert resources(three, "mpi-gang")["securityGroupIds"] == ["sg-tutti-dev-nodes"]
    cards = three.one("LaunchTemplate", "mpi-gang").inputs["networkInterfaces"]
    assert [(c["networkCardIndex"], c["deviceIndex"], c["interfaceType"]) for c in cards] == [
        (0, 0, "efa"),
        (1, 1, "efa"),
    ]
    assert {tuple(c["securityGroups"]) for c in cards} == {("sg-tutti-dev-nodes",)}
    assert {c["associatePublicIpAddress"] for c in cards} == {"false"}


def test_each_network_card_has_an_efa_where_interfaces_allow(three: Any) -> None:
    assert len(three.one("LaunchTemplate", "gpu-gang").inputs["networkInterfaces"]) == 4


def test_spot_comes_first_for_singles_and_on_demand_second(stack: Any) -> None:
    d = stack()
    spot, paid = resources(d, "single-spot"), resources(d, "single-ondemand")
    assert (spot["type"], spot["allocationStrategy"], spot["maxVcpus"]) == (
        "SPOT",
        "SPOT_PRICE_CAPACITY_OPTIMIZED",
        192,
    )
    assert (paid["type"], paid["maxVcpus"]) == ("EC2", 64)
    assert "placementGroup" not in spot
    assert len(spot["subnets"]) == 2
    orders = d.one("JobQueue", "single-high").inputs["computeEnvironmentOrders"]
    assert [o["computeEnvironment"].rsplit("-", 2)[1] for o in orders] == ["spot", "ondemand"]


@pytest.mark.parametrize(("percent", "kinds"), [(0, {"single-ondemand"}), (100, {"single-spot"})])
def test_the_spot_share_may_be_all_or_nothing(stack: Any, percent: int, kinds: set[str]) -> None:
    d = stack(pools=[{"name": "single", "kind": "single", "spot_percent": percent}])
    assert {r.name.removeprefix("tutti-dev-") for r in d.of("ComputeEnvironment")} == kinds


def test_fargate_has_no_instances(stack: Any, variations: dict[str, dict[str, Any]]) -> None:
    d = stack(**variations["fargate"])
    assert resources(d, "single-fargate")["type"] == "FARGATE"
    assert {r.name for r in d.of("LaunchTemplate")} == {"tutti-dev-mpi-gang"}
    capabilities = {j.inputs["name"]: j.inputs.get("platformCapabilities") for j in d.of("JobDefinition")}
    assert (capabilities["dev-single"], capabilities["dev-mpi"]) == (["FARGATE"], None)


def test_each_pool_has_a_high_and_a_low_queue(stack: Any) -> None:
    queues = {q.inputs["name"]: q.inputs["priority"] for q in stack().of("JobQueue")}
    assert queues == {"dev-mpi-high": 10, "dev-mpi-low": 1, "dev-single-high": 10, "dev-single-low": 1}


def test_the_head_of_a_queue_does_not_block_it_for_ever(varied: Any) -> None:
    for queue in varied.of("JobQueue"):
        actions = queue.inputs["jobStateTimeLimitActions"]
        assert {a["reason"] for a in actions} == REASONS
        assert {(a["action"], a["state"]) for a in actions} == {("CANCEL", "RUNNABLE")}
        assert all(a["maxTimeSeconds"] in Limits.STATE_TIME_LIMIT_S for a in actions)


def test_an_update_leaves_to_batch_and_the_budget_what_is_theirs(stack: Any) -> None:
    assert {q.ignored for q in stack().of("JobQueue")} == {("state",)}
    assert {e.ignored for e in stack().of("ComputeEnvironment")} == {("computeResources.desiredVcpus",)}


def test_an_update_does_not_end_running_jobs(stack: Any) -> None:
    for environment in stack().of("ComputeEnvironment"):
        assert environment.inputs["updatePolicy"] == {"terminateJobsOnUpdate": False, "jobExecutionTimeoutMinutes": 30}


def test_a_new_launch_template_reaches_the_environment(stack: Any) -> None:
    """`$Latest` is looked up once: a number makes Batch see that it changed."""
    assert resources(stack(), "mpi-gang")["launchTemplate"]["version"] == "1"


def test_roles_and_mount_targets_outlive_the_environments(stack: Any) -> None:
    after = stack().one("ComputeEnvironment", "mpi-gang").after
    assert any("RolePolicyAttachment::tutti-dev-instance" in urn for urn in after)
    assert any("MountTarget" in urn for urn in after)


def test_disks_are_as_big_and_fast_as_asked(stack: Any) -> None:
    d = stack(pools=[{"name": "mpi", "kind": "mpi", "disk_gib": 500, "disk_mibps": 1000}])
    disk = d.one("LaunchTemplate").inputs["blockDeviceMappings"][0]["ebs"]
    assert (disk["volumeType"], disk["volumeSize"], disk["throughput"], disk["iops"]) == ("gp3", 500, 1000, 4000)


def test_reservations_by_id_or_group(stack: Any) -> None:
    group = "arn:aws:resource-groups:us-west-2:123456789012:group/gpus"
    for named, key in (
        ("cr-0123456789abcdef0", "capacityReservationId"),
        (group, "capacityReservationResourceGroupArn"),
    ):
        d = stack(pools=[{"name": "mpi", "kind": "mpi", "reservation": named}])
        target = d.one("LaunchTemplate").inputs["capacityReservationSpecification"]["capacityReservationTarget"]
        assert target == {key: named}


def test_user_data_is_the_pools(three: Any) -> None:
    def script(name: str) -> str:
        message = email.message_from_bytes(base64.b64decode(three.one("LaunchTemplate", name).inputs["userData"]))
        return "".join(str(p.get_payload(decode=True)) for p in message.walk() if not p.is_multipart())

    assert "ECS_CONTAINER_STOP_TIMEOUT=120s" in script("mpi-gang")
    assert "efa_installer.sh" in script("mpi-gang")
    assert "Instance Storage" in script("gpu-gang")
    assert "SPOT_INSTANCE_DRAINING=true" in script("single-spot")
    assert "efa_installer.sh" not in script("single-spot")
