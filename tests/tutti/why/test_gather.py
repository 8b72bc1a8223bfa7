"""What AWS answers becomes facts: what of it a finding's code does not show."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tutti.why.account import IMAGE, JOB, POOL_TAGS, QUEUE, SECRET, Account, AnsweredCluster
from tutti.why import gather_task
from tutti.why.asker import Asker
from tutti.why.diagnose import diagnose
from tutti.why.facts import Environment, Queue
from tutti.why.gather import facts_of_job, quota_of
from tutti.why.gather_network import nfs_open
from tutti.why.gather_task import image_of, processors_of, secret_of

ENVIRONMENT = Environment(name="ce", state="ENABLED", status="VALID", tags=POOL_TAGS)


@pytest.fixture
def cluster(answered: AnsweredCluster, account: Account) -> AnsweredCluster:
    return answered.of(account)


@pytest.mark.parametrize(
    ("rule", "is_open"),
    [
        ({"IpProtocol": "tcp", "FromPort": 2049, "ToPort": 2049, "UserIdGroupPairs": [{"GroupId": "sg-1"}]}, True),
        ({"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "sg-1"}]}, True),
        ({"IpProtocol": "tcp", "FromPort": 2000, "ToPort": 3000, "IpRanges": [{"CidrIp": "10.0.0.0/16"}]}, True),
        ({"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "UserIdGroupPairs": [{"GroupId": "sg-1"}]}, False),
        ({"IpProtocol": "tcp", "FromPort": 2049, "ToPort": 2049, "UserIdGroupPairs": [{"GroupId": "sg-other"}]}, False),
    ],
)
def test_nfs_is_open_to_the_nodes_group_alone(rule: dict[str, Any], is_open: bool) -> None:
    assert nfs_open({"IpPermissions": [rule]}, ("sg-1",)) is is_open


def test_of_a_quota_the_familys_on_demand_instances_are_used_and_those_with_the_pools_tags_its_own(
    account: Account, cluster: AnsweredCluster
) -> None:
    account.run_instances(1)
    account.run_instances(2, Tags=[{"Key": "Name", "Value": "dev-other"}])
    account.run_instances(4, InstanceLifecycle="spot")
    account.run_instances(8, InstanceType="hpc7a.96xlarge")
    quota = quota_of(cluster, QUEUE, Queue(name="q", state="ENABLED", status="VALID", environments=(ENVIRONMENT,)))
    assert quota is not None
    assert (quota.vcpus, quota.used, quota.own) == (512, 24, 8)


def test_where_the_queue_cannot_be_seen_no_instance_is_known_as_the_pools(cluster: AnsweredCluster) -> None:
    quota = quota_of(cluster, QUEUE, None)
    assert quota is not None
    assert quota.own is None


def test_an_image_of_another_registry_is_not_looked_for(account: Account, cluster: AnsweredCluster) -> None:
    assert image_of(cluster, "docker.io/library/debian:12").found is None
    assert account.asked == []


def test_the_processors_of_an_index_are_those_of_its_images(account: Account, cluster: AnsweredCluster) -> None:
    attestation = {"platform": {"os": "unknown", "architecture": "unknown"}}
    account.index["manifests"].append(attestation)
    assert image_of(cluster, IMAGE).processors == {"amd64"}


def test_the_processor_of_a_plain_image_stands_in_its_configuration(
    account: Account, cluster: AnsweredCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = "https://127.0.0.1:1/layer"
    account.index = {"config": {"digest": "sha256:" + "1" * 64}}
    monkeypatch.setattr(gather_task, "_read", {link: {"architecture": "amd64", "os": "linux"}}.__getitem__)
    assert image_of(cluster, IMAGE).processors == {"amd64"}


def test_a_link_that_does_not_answer_tells_nothing() -> None:
    assert gather_task._read("https://127.0.0.1:1/x") == {}
    assert gather_task._read("file:///etc/hostname") == {}


def test_the_processors_of_a_pool_are_those_of_its_instance_types(account: Account, cluster: AnsweredCluster) -> None:
    assert processors_of(cluster, ("c7g.2xlarge",)) == {"arm64"}
    assert processors_of(cluster, ("c7g",)) == frozenset()
    assert account.asked == [("ec2", "DescribeInstanceTypes")]


def test_the_gangs_secret_that_cannot_be_read_is_named(account: Account, cluster: AnsweredCluster) -> None:
    assert secret_of(cluster, account.container) == ""
    account.refuse("DescribeSecret", "ResourceNotFoundException")
    assert secret_of(cluster, account.container) == f"{SECRET} does not exist"
    assert secret_of(cluster, {}) is None


def test_what_became_of_the_nodes_that_main_missed_is_asked(account: Account, cluster: AnsweredCluster) -> None:
    account.fail(220, log=["[0] tutti: node 2 of 4 did not join within 600 s"])
    account.jobs[f"{JOB}#2"]["statusReason"] = "Host EC2 (instance i-0123456789abcdef0) terminated."
    found = diagnose(facts_of_job(cluster, JOB))
    assert found is not None
    assert found.cause.endswith(
        "; node 2 did not start and is FAILED: Host EC2 (instance i-0123456789abcdef0) terminated."
    )


def test_an_error_of_our_own_is_not_taken_for_aws() -> None:
    with pytest.raises(ZeroDivisionError):
        Asker().part("nothing", lambda: 1 // 0)
