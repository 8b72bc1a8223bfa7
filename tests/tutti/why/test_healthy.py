"""Nothing is blamed on what is well: states of a healthy account that look like a cause and are none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.tutti.why.account import ARN, JOB, Account
from tutti.why.network import ENDPOINTS
from workload.contract import PoolKind

Change = Callable[[Account], object]
Told = Callable[..., Any]


def came_to_the_head_now(account: Account) -> None:
    since = account.front[0]["earliestTimeAtPosition"]
    account.wait(minutes=120)
    account.front[0]["earliestTimeAtPosition"] = since


def starts_after_hours(account: Account) -> None:
    account.wait(minutes=120)
    account.job["status"] = "STARTING"
    account.front.clear()


def leave_by(**route: str) -> Change:
    return lambda a: (a.route.pop("NatGatewayId"), a.route.update(route))


def alone_in_public(account: Account) -> None:
    """One container with a public address; its group lets nobody in."""
    account.pool("c7i.2xlarge", PoolKind.SINGLE)
    leave_by(GatewayId="igw-1")(account)
    account.group |= {"IpPermissions": [], "IpPermissionsEgress": []}
    account.job.pop("nodeProperties")
    account.job["container"] = account.container


def boot_its_own_nodes(account: Account) -> None:
    """Four of the pool's, and four of others: without the job's own, too few would be left."""
    account.run_instances(4)
    account.run_instances(4, Tags=[])
    account.quota = 64.0


def by_interface(account: Account) -> None:
    account.private(*ENDPOINTS, "s3").pop()


def without_policy(account: Account) -> None:
    account.refuse("DescribeFileSystemPolicy", "PolicyNotFound")


def elsewhere(account: Account) -> None:
    account.container["image"] = "docker.io/lab/solver:1"


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("starting", came_to_the_head_now),
        ("starting", lambda a: a.queue.update(state="DISABLED")),  # its jobs can finish, says the API reference
        ("containers-starting", starts_after_hours),
        ("starting", leave_by(TransitGatewayId="tgw-1")),
        ("starting", leave_by(GatewayId="vgw-1")),
        ("starting", leave_by(GatewayId="vpce-1")),
        ("starting", leave_by(NetworkInterfaceId="eni-1")),
        ("starting", leave_by(CoreNetworkArn="arn:aws:networkmanager::1:core-network/c")),
        ("starting", lambda a: a.private(*ENDPOINTS)),
        ("starting", by_interface),
        ("starting", alone_in_public),
        ("starting", boot_its_own_nodes),
        ("starting", lambda a: a.resources.pop("securityGroupIds")),  # those of the launch template
        ("starting", without_policy),
        ("starting", elsewhere),
        ("starting", lambda a: a.index.update(manifests=[])),
        ("starting", lambda a: a.container.pop("secrets")),
    ],
)
def test_a_job_that_is_well_is_told_to_wait(code: str, change: Change, account: Account, why: Told) -> None:
    change(account)
    answer = why()
    assert (answer["finding"]["code"], answer["unasked"]) == (code, [])


@pytest.mark.parametrize("state", ["RUNNING", "SUCCEEDED"])
def test_nothing_is_wrong_with_a_job_that_runs_or_is_done(state: str, account: Account, why: Told) -> None:
    account.job["status"] = state
    assert why()["finding"] is None
    assert account.asked == [("batch", "DescribeJobs")] * len(account.asked)


def test_a_healthy_cluster_has_nothing_wrong_and_all_of_it_was_asked(account: Account, told: Told) -> None:
    assert [(result["good"], result["words"]) for result in told("doctor")] == [(True, "nothing is wrong")]


def test_what_an_earlier_attempt_died_of_is_no_cause_of_how_the_last_ended(account: Account, why: Told) -> None:
    account.fail(137, said="OutOfMemoryError: Container killed due to memory usage", log=["MemoryError"])
    account.fail(None, "Host EC2 (instance i-0123456789abcdef0) terminated.")
    assert why()["finding"]["code"] == "host-lost"
    account.fail(3)
    assert why()["finding"]["code"] == "program"


def test_the_log_of_an_earlier_attempt_is_not_read_for_the_last(account: Account, why: Told) -> None:
    account.fail(1, log=["ModuleNotFoundError: No module named 'xarray'"])
    account.fail(None, "something new", log=["ModuleNotFoundError: No module named 'xarray'"])
    assert why()["finding"]["code"] == "failed"


def test_a_job_that_is_tried_again_is_told_of_its_last_attempt(account: Account, why: Told) -> None:
    account.fail(None, "Task failed to start", said="CannotPullContainerError: something new")
    account.job["status"] = "RUNNABLE"
    found = why()["finding"]
    assert (found["code"], found["evidence"]) == ("starting", "CannotPullContainerError: something new")


# ---------------------------------------------------------------- arrays


def array(account: Account, state: str, **elements: str) -> None:
    """An array whose elements are in these states, by their index."""
    account.job.pop("nodeProperties")
    account.job["container"] = account.container
    counts = {s: list(elements.values()).count(s) for s in elements.values()}
    account.job |= {"status": state, "arrayProperties": {"size": len(elements), "statusSummary": counts}}
    for index, status in enumerate(elements.values()):
        child = f"{JOB}:{index}"
        entry = {**account.job, "jobId": child, "jobArn": f"{ARN}:job/{child}", "status": status}
        account.jobs[child] = {**entry, "arrayProperties": {"index": index}}
    account.front = [{"jobArn": f"{ARN}:job/{JOB}:{n}"} for n, s in enumerate(elements.values()) if s == "RUNNABLE"]


def test_an_array_is_pending_while_its_elements_run_and_nothing_is_wrong(account: Account, why: Told) -> None:
    array(account, "PENDING", a="RUNNING", b="RUNNABLE")
    assert why()["finding"] is None


def test_an_array_does_not_stand_behind_its_own_elements(account: Account, why: Told) -> None:
    array(account, "PENDING", a="RUNNABLE", b="RUNNABLE")
    answer = why()
    assert (answer["id"], answer["finding"]["code"]) == (f"{JOB}:0", "starting")


def test_of_an_array_that_failed_the_element_is_told_that_did(account: Account, why: Told) -> None:
    array(account, "FAILED", a="SUCCEEDED", b="FAILED")
    account.job["statusReason"] = "Array Child Job failed"
    container = {"exitCode": 2, "logStreamName": "dev-mpi/default/1"}
    account.jobs[f"{JOB}:1"] |= {"container": container, "attempts": [{"container": container}]}
    account.log = ["python: can't open file 'solve.py': [Errno 2]"]
    answer = why()
    assert (answer["id"], answer["finding"]["code"]) == (f"{JOB}:1", "no-file")


def test_an_answer_that_aws_cannot_give_does_not_pass_for_one(account: Account, why: Told) -> None:
    account.queue["nobodysField"] = "x"
    with pytest.raises(AssertionError, match=r'Unknown parameter in jobQueues.*"nobodysField"'):
        why()
