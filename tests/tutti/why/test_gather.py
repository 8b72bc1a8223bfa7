"""What AWS answers becomes facts. Answers are stubbed, and botocore checks them against AWS's own models."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.tutti.stubbed import Stubbed
from tutti.why import gather_task
from tutti.why.diagnose import check_up, diagnose
from tutti.why.facts import Environment, Queue
from tutti.why.gather import Asker, facts_of_job, facts_of_queue, quota_of
from tutti.why.gather_network import file_system_of, network_of, nfs_open
from tutti.why.gather_task import image_of, processors_of, secret_of
from workload.contract import CardDefinition, CardQueue, PoolKind

QUEUE = CardQueue(
    name="q", arn="arn:q", pool="cpu", kind=PoolKind.MPI, priority=10, instance_types=("hpc7a.96xlarge",), zone="us-east-1a",
    max_vcpus=256, vcpus=8, cores=4, memory_mib=15000,
)  # fmt: skip
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/tutti@sha256:" + "0" * 64
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:tutti-gang/dev-AbCdEf"
CONTAINER = {"image": IMAGE, "secrets": [{"name": "TUTTI_SECRET", "valueFrom": SECRET}]}
DEFINITION = CardDefinition(
    name="dev-mpi", arn="dev-mpi:1", kind="mpi", nodes=4, image="cpu", image_uri=IMAGE, mpis=(), timeout_s=3600, attempts=1, vcpus=8,
    memory_mib=15000,
)  # fmt: skip
GANG = {"numNodes": 2, "mainNode": 0, "nodeRangeProperties": [{"targetNodes": "0:", "container": CONTAINER}]}
ENVIRONMENT = Environment(name="ce", state="ENABLED", status="VALID", subnets=("subnet-1",), security_groups=("sg-1",))


@pytest.fixture
def cluster() -> Iterator[Any]:
    stubbed = Stubbed(queues=(QUEUE,), definitions=(DEFINITION,))
    yield stubbed
    for stub in stubbed.stubs.values():
        stub.assert_no_pending_responses()


def answer_network(cluster: Any, routes: list[dict[str, Any]], endpoints: list[dict[str, Any]]) -> None:
    subnet = {
        "SubnetId": "subnet-1",
        "VpcId": "vpc-1",
        "AvailabilityZone": "us-east-1a",
        "AvailableIpAddressCount": 251,
    }
    main = {"RouteTableId": "rtb-main", "VpcId": "vpc-1", "Associations": [{"Main": True}], "Routes": []}
    own = {
        "RouteTableId": "rtb-1",
        "VpcId": "vpc-1",
        "Associations": [{"Main": False, "SubnetId": "subnet-1"}],
        "Routes": routes,
    }
    group = {
        "GroupId": "sg-1",
        "IpPermissions": [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "sg-1"}]}],
        "IpPermissionsEgress": [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}],
    }
    cluster.answers("ec2", "describe_subnets", {"Subnets": [subnet]})
    cluster.answers("ec2", "describe_route_tables", {"RouteTables": [main, own]})
    cluster.answers("ec2", "describe_vpc_endpoints", {"VpcEndpoints": endpoints})
    cluster.answers("ec2", "describe_security_groups", {"SecurityGroups": [group]})


def test_a_private_subnet_with_a_nat_gateway(cluster: Any) -> None:
    answer_network(cluster, [{"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1", "State": "active"}], [])
    network = network_of(cluster, ENVIRONMENT)
    (subnet,) = network.subnets
    assert (subnet.nat, subnet.public, subnet.s3_gateway, subnet.free_addresses) == (True, False, False, 251)
    (group,) = network.groups
    assert (group.self_in, group.self_out, group.out_all) == (True, False, True)


def test_a_route_to_a_nat_that_has_gone_is_no_way_out(cluster: Any) -> None:
    answer_network(cluster, [{"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1", "State": "blackhole"}], [])
    assert not network_of(cluster, ENVIRONMENT).subnets[0].nat


def test_a_public_subnet(cluster: Any) -> None:
    answer_network(cluster, [{"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-1", "State": "active"}], [])
    assert network_of(cluster, ENVIRONMENT).subnets[0].public


def test_endpoints_by_their_service(cluster: Any) -> None:
    endpoints: list[dict[str, Any]] = [
        {"ServiceName": "com.amazonaws.us-east-1.ecr.api", "VpcEndpointType": "Interface", "State": "available"},
        {"ServiceName": "com.amazonaws.us-east-1.logs", "VpcEndpointType": "Interface", "State": "pending"},
        {
            "ServiceName": "com.amazonaws.us-east-1.s3",
            "VpcEndpointType": "Gateway",
            "State": "available",
            "RouteTableIds": ["rtb-1"],
        },
    ]
    answer_network(cluster, [], endpoints)
    network = network_of(cluster, ENVIRONMENT)
    assert network.endpoints == {"ecr.api"}
    assert network.subnets[0].s3_gateway


def test_the_file_system_of_the_card(cluster: Any) -> None:
    system = {
        "OwnerId": "1", "CreationToken": "t", "FileSystemId": "fs-1", "CreationTime": 0, "LifeCycleState": "available",
        "NumberOfMountTargets": 1, "SizeInBytes": {"Value": 0}, "PerformanceMode": "generalPurpose", "Tags": [],
    }  # fmt: skip
    target = {
        "MountTargetId": "fsmt-00000001",
        "FileSystemId": "fs-1",
        "SubnetId": "subnet-00000001",
        "LifeCycleState": "available",
        "AvailabilityZoneName": "us-east-1a",
    }
    group = {
        "GroupId": "sg-efs",
        "IpPermissions": [
            {"IpProtocol": "tcp", "FromPort": 2049, "ToPort": 2049, "UserIdGroupPairs": [{"GroupId": "sg-1"}]}
        ],
    }
    policy = {
        "Statement": [{"Effect": "Allow", "Action": ["elasticfilesystem:ClientMount"], "Principal": {"AWS": "*"}}]
    }
    cluster.answers("efs", "describe_file_systems", {"FileSystems": [system]})
    cluster.answers("efs", "describe_mount_targets", {"MountTargets": [target]})
    cluster.answers("efs", "describe_mount_target_security_groups", {"SecurityGroups": ["sg-00000001"]})
    cluster.answers("ec2", "describe_security_groups", {"SecurityGroups": [group]})
    cluster.answers("efs", "describe_file_system_policy", {"FileSystemId": "fs-1", "Policy": json.dumps(policy)})
    found = file_system_of(cluster, ("sg-1",), CONTAINER)
    assert (found.state, found.zones, found.nfs_open, found.policy_allows) == (
        "available",
        frozenset({"us-east-1a"}),
        True,
        True,
    )


@pytest.mark.parametrize(
    ("rule", "is_open"),
    [
        ({"IpProtocol": "tcp", "FromPort": 2049, "ToPort": 2049, "UserIdGroupPairs": [{"GroupId": "sg-1"}]}, True),
        ({"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "sg-1"}]}, True),
        ({"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "UserIdGroupPairs": [{"GroupId": "sg-1"}]}, False),
        ({"IpProtocol": "tcp", "FromPort": 2049, "ToPort": 2049, "UserIdGroupPairs": [{"GroupId": "sg-other"}]}, False),
    ],
)
def test_nfs_is_open_to_the_nodes_group_alone(rule: dict[str, Any], is_open: bool) -> None:
    assert nfs_open({"IpPermissions": [rule]}, ("sg-1",)) is is_open


def test_the_quota_of_the_family_and_what_of_it_runs(cluster: Any) -> None:
    cpu = {"CoreCount": 96, "ThreadsPerCore": 1}
    own = {"Name": "dev-cpu-ec2", "tutti:stack": "dev"}
    instances = [
        {"InstanceType": "hpc7a.96xlarge", "CpuOptions": cpu, "Tags": [{"Key": "Name", "Value": "dev-other-ec2"}]},
        {
            "InstanceType": "hpc7a.96xlarge",
            "CpuOptions": cpu,
            "Tags": [{"Key": k, "Value": v} for k, v in {**own, "more": ""}.items()],
        },
        {"InstanceType": "c7i.2xlarge", "CpuOptions": {"CoreCount": 4, "ThreadsPerCore": 2}},
        {"InstanceType": "hpc7a.96xlarge", "CpuOptions": cpu, "InstanceLifecycle": "spot"},
    ]
    cluster.answers("service-quotas", "get_service_quota", {"Quota": {"Value": 768.0}})
    cluster.answers("ec2", "describe_instances", {"Reservations": [{"Instances": instances}]})
    environment = Environment(name="ce", state="ENABLED", status="VALID", tags=own)
    quota = quota_of(cluster, QUEUE, Queue(name="q", state="ENABLED", status="VALID", environments=(environment,)))
    assert quota is not None
    assert (quota.code, quota.vcpus, quota.used, quota.own) == ("L-F7808C92", 768.0, 192, 96)


def test_where_the_queue_cannot_be_seen_no_instance_is_known_as_the_pools(cluster: Any) -> None:
    cluster.answers("service-quotas", "get_service_quota", {"Quota": {"Value": 768.0}})
    cluster.answers("ec2", "describe_instances", {"Reservations": []})
    quota = quota_of(cluster, QUEUE, None)
    assert quota is not None
    assert quota.own is None


def manifest(**document: Any) -> dict[str, Any]:
    return {"images": [{"imageManifest": json.dumps(document)}]}


def test_an_image_that_is_gone_and_one_that_is_elsewhere(cluster: Any) -> None:
    cluster.answers(
        "ecr", "batch_get_image", {"images": [], "failures": [{"imageId": {}, "failureCode": "ImageNotFound"}]}
    )
    assert image_of(cluster, IMAGE).found is False
    cluster.refuses("ecr", "batch_get_image", "RepositoryNotFoundException")
    assert image_of(cluster, IMAGE).found is False
    cluster.answers("ecr", "batch_get_image", manifest(manifests=[]))
    assert image_of(cluster, IMAGE).found is True
    assert image_of(cluster, "docker.io/library/debian:12").found is None


def test_the_processors_of_an_index_are_those_of_its_images(cluster: Any) -> None:
    images = [
        {"platform": {"os": "linux", "architecture": "arm64"}},
        {"platform": {"os": "unknown", "architecture": "unknown"}},
    ]
    cluster.answers("ecr", "batch_get_image", manifest(manifests=images))
    assert image_of(cluster, IMAGE).processors == {"arm64"}


def test_the_processor_of_a_plain_image_stands_in_its_configuration(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = "https://layers/1?signed"
    digest = "sha256:" + "1" * 64
    monkeypatch.setattr(gather_task, "_read", {link: {"architecture": "amd64", "os": "linux"}}.__getitem__)
    cluster.answers("ecr", "batch_get_image", manifest(config={"digest": digest}))
    cluster.answers("ecr", "get_download_url_for_layer", {"downloadUrl": link, "layerDigest": digest})
    assert image_of(cluster, IMAGE).processors == {"amd64"}


def test_a_link_that_does_not_answer_tells_nothing() -> None:
    assert gather_task._read("https://127.0.0.1:1/x") == {}
    assert gather_task._read("file:///etc/hostname") == {}


def test_the_processors_of_a_pool_are_those_of_its_instance_types(cluster: Any) -> None:
    graviton = {"ProcessorInfo": {"SupportedArchitectures": ["arm64"]}}
    cluster.answers("ec2", "describe_instance_types", {"InstanceTypes": [graviton]})
    assert processors_of(cluster, ("c7g.large",)) == {"arm64"}
    assert processors_of(cluster, ("c7g",)) == frozenset()


def test_the_gangs_secret_is_there_gone_or_going(cluster: Any) -> None:
    cluster.answers("secretsmanager", "describe_secret", {"ARN": SECRET})
    assert secret_of(cluster, CONTAINER) == ""
    cluster.refuses("secretsmanager", "describe_secret", "ResourceNotFoundException")
    assert secret_of(cluster, CONTAINER) == f"{SECRET} does not exist"
    deleted = datetime(2026, 11, 1, tzinfo=UTC)
    cluster.answers("secretsmanager", "describe_secret", {"ARN": SECRET, "DeletedDate": deleted})
    assert secret_of(cluster, CONTAINER) == f"{SECRET} is being deleted since 2026-11-01"
    assert secret_of(cluster, {}) is None


def answer_queue(cluster: Any) -> None:
    """A healthy queue with its environment, network and file system but for the image and the secret."""
    order = [{"order": 1, "computeEnvironment": "ce"}]
    queue = {"jobQueueName": "q", "jobQueueArn": "arn:q", "state": "ENABLED", "status": "VALID", "priority": 10}
    environment = {
        "computeEnvironmentName": "ce",
        "computeEnvironmentArn": "arn:ce",
        "state": "ENABLED",
        "status": "VALID",
        "computeResources": {
            "type": "EC2",
            "maxvCpus": 256,
            "subnets": ["subnet-1"],
            "securityGroupIds": ["sg-1"],
        },
    }
    cluster.answers("batch", "describe_job_queues", {"jobQueues": [{**queue, "computeEnvironmentOrder": order}]})
    cluster.answers("batch", "describe_compute_environments", {"computeEnvironments": [environment]})
    cluster.answers("batch", "get_job_queue_snapshot", {"frontOfQueue": {"jobs": []}})
    cluster.answers("batch", "list_jobs", {"jobSummaryList": []})
    answer_network(cluster, [{"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1", "State": "active"}], [])
    cluster.refuses("efs", "describe_file_systems", "AccessDeniedException")


def answer_arm(cluster: Any) -> None:
    """An image for arm64 on instances of x86-64, and a secret that is not there."""
    cluster.answers(
        "ecr", "batch_get_image", manifest(manifests=[{"platform": {"os": "linux", "architecture": "arm64"}}])
    )
    x86 = {"ProcessorInfo": {"SupportedArchitectures": ["x86_64"]}}
    cluster.answers("ec2", "describe_instance_types", {"InstanceTypes": [x86]})
    cluster.refuses("secretsmanager", "describe_secret", "ResourceNotFoundException")


def test_a_queue_s_image_processor_and_secret_are_asked(cluster: Any) -> None:
    definition = {
        "jobDefinitionName": "dev-mpi",
        "jobDefinitionArn": "dev-mpi:1",
        "revision": 1,
        "type": "multinode",
        "nodeProperties": GANG,
    }
    answer_queue(cluster)
    cluster.answers("batch", "describe_job_definitions", {"jobDefinitions": [definition]})
    answer_arm(cluster)
    cluster.answers("service-quotas", "get_service_quota", {"Quota": {"Value": 128.0}})
    cluster.answers("ec2", "describe_instances", {"Reservations": []})
    facts = facts_of_queue(cluster, QUEUE)
    assert [found.code for found in check_up(facts)] == ["quota-L-F7808C92", "architecture", "secret-gone"]
    assert facts.unasked == ("the file system (AccessDeniedException)",)


def test_a_waiting_job_s_image_processor_and_secret_are_asked(cluster: Any) -> None:
    job = {
        "jobId": "j1",
        "jobName": "run",
        "jobQueue": "arn:aws:batch:us-east-1:123456789012:job-queue/q",
        "status": "STARTING",
        "startedAt": 0,
        "createdAt": int(time.time() * 1000),
        "jobDefinition": "dev-mpi:1",
        "nodeProperties": GANG,
    }
    cluster.answers("batch", "describe_jobs", {"jobs": [job]})
    answer_queue(cluster)
    answer_arm(cluster)
    cluster.answers("service-quotas", "get_service_quota", {"Quota": {"Value": 768.0}})
    cluster.answers("ec2", "describe_instances", {"Reservations": []})
    found = diagnose(facts_of_job(cluster, "j1"))
    assert found is not None
    assert (found.code, "linux/amd64" in found.remedy) == ("architecture", True)


def test_what_is_refused_is_noted_and_the_rest_goes_on(cluster: Any) -> None:
    ask = Asker()
    cluster.refuses("ec2", "describe_subnets", "UnauthorizedOperation")
    assert ask.part("the network", lambda: network_of(cluster, ENVIRONMENT)) is None
    assert ask.unasked == ["the network (UnauthorizedOperation)"]


def test_an_error_of_our_own_is_not_taken_for_aws() -> None:
    with pytest.raises(ZeroDivisionError):
        Asker().part("nothing", lambda: 1 // 0)
