"""Who may not ask is told which permission is missing, on what, and is told the rest all the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from infra.people import Scope, researcher
from tests.tutti.why.account import DEFINITION, IMAGE, JOB, QUEUE, SECRET, SYSTEM, Account
from tutti.cli.main import main
from tutti.why.asker import ACTIONS

Told = Callable[..., Any]
DENIED = {"ec2": "UnauthorizedOperation", "ecr": "AccessDeniedException"}
NAMES = {"elasticfilesystem": "efs", "servicequotas": "service-quotas"}

# call -> what `unasked` says of it
WAITING = {
    "batch:DescribeJobQueues": "the queue (no permission: batch:DescribeJobQueues on *)",
    "batch:DescribeComputeEnvironments": "the queue (no permission: batch:DescribeComputeEnvironments on *)",
    "batch:GetJobQueueSnapshot": f"the queue's head (no permission: batch:GetJobQueueSnapshot on {QUEUE.arn})",
    "batch:ListJobs": "the pool's jobs (no permission: batch:ListJobs on *)",
    "ec2:DescribeSubnets": "the network (no permission: ec2:DescribeSubnets on *)",
    "ec2:DescribeRouteTables": "the network (no permission: ec2:DescribeRouteTables on *)",
    "ec2:DescribeVpcEndpoints": "the network (no permission: ec2:DescribeVpcEndpoints on *)",
    "ec2:DescribeInstances": "quotas (no permission: ec2:DescribeInstances on *)",
    "ec2:DescribeInstanceTypes": "the instance types (no permission: ec2:DescribeInstanceTypes on *)",
    "elasticfilesystem:DescribeFileSystems": f"the file system (no permission: elasticfilesystem:DescribeFileSystems on {SYSTEM})",
    "elasticfilesystem:DescribeMountTargets": f"the file system (no permission: elasticfilesystem:DescribeMountTargets on {SYSTEM})",
    "elasticfilesystem:DescribeMountTargetSecurityGroups": (
        f"the file system (no permission: elasticfilesystem:DescribeMountTargetSecurityGroups on {SYSTEM})"
    ),
    "elasticfilesystem:DescribeFileSystemPolicy": (
        f"the file system's policy (no permission: elasticfilesystem:DescribeFileSystemPolicy on {SYSTEM})"
    ),
    "ecr:BatchGetImage": f"the image (no permission: ecr:BatchGetImage on {IMAGE})",
    "ecr:GetDownloadUrlForLayer": f"the image (no permission: ecr:GetDownloadUrlForLayer on {IMAGE})",
    "secretsmanager:DescribeSecret": f"the gang's secret (no permission: secretsmanager:DescribeSecret on {SECRET})",
    "servicequotas:GetServiceQuota": "quotas (no permission: servicequotas:GetServiceQuota on *)",
}  # fmt: skip


def deny(account: Account, action: str, message: str = "no") -> None:
    service, _, call = action.partition(":")
    account.refuse(call, DENIED.get(service, "AccessDeniedException"), message)


@pytest.mark.parametrize(("action", "words"), WAITING.items())
def test_each_call_that_is_refused_is_named_and_hides_its_own_part_alone(
    action: str, words: str, account: Account, why: Told
) -> None:
    account.wait(minutes=60)
    if action.endswith("ForLayer"):
        account.index = {"config": {"digest": "sha256:" + "1" * 64}}
    deny(account, action)
    answer = why()
    assert (answer["finding"]["code"], answer["unasked"]) == ("not-known", [words])


def test_a_call_that_two_parts_make_hides_both(account: Account, why: Told) -> None:
    deny(account, "ec2:DescribeSecurityGroups")
    missing = "no permission: ec2:DescribeSecurityGroups on"
    assert why()["unasked"] == [f"the network ({missing} *)", f"the file system ({missing} {SYSTEM})"]


def test_a_log_that_may_not_be_read_is_named(account: Account, why: Told) -> None:
    account.fail(3, log=["MemoryError"])
    deny(account, "logs:GetLogEvents")
    answer = why()
    assert answer["unasked"] == ["the log (no permission: logs:GetLogEvents on /tutti/dev)"]
    assert answer["finding"]["code"] == "program"


def test_a_doctor_names_what_it_could_not_ask(account: Account, told: Told) -> None:
    deny(account, "batch:DescribeJobDefinitions")
    (result,) = told("doctor")
    missing = f"the definition (no permission: batch:DescribeJobDefinitions on {DEFINITION.arn})"
    assert result["words"] == f"nothing is wrong; not asked: {missing}"


def test_a_job_that_may_not_be_seen_is_an_error_that_names_the_permission(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    deny(account, "batch:DescribeJobs", "User: ann is not authorized to perform: batch:DescribeJobs on resource: *")
    with pytest.raises(SystemExit) as ended:
        main(("why", JOB))
    assert ended.value.code == 4
    assert "batch:DescribeJobs on *" in capsys.readouterr().err


def test_what_was_not_asked_is_told_on_the_screen_too(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    deny(account, "batch:ListJobs")
    with pytest.raises(SystemExit):
        main(("why", JOB))
    assert f"unasked  {WAITING['batch:ListJobs']}\n" in capsys.readouterr().out


def test_the_resource_that_aws_names_is_told(account: Account, why: Told) -> None:
    message = f"User: ann is not authorized to perform: secretsmanager:DescribeSecret on resource: {SECRET}-1 because no policy"
    deny(account, "secretsmanager:DescribeSecret", message)
    assert why()["unasked"] == [f"the gang's secret (no permission: secretsmanager:DescribeSecret on {SECRET}-1)"]


def test_every_call_is_in_the_table_and_in_a_researchers_policy(account: Account, why: Told, told: Told) -> None:
    account.index = {"config": {"digest": "sha256:" + "1" * 64}}
    why()
    told("doctor")
    account.index = {"manifests": [{"platform": {"architecture": "amd64"}}]}
    why()
    account.fail(1)
    why()
    known = {(NAMES.get(service, service), call) for service, calls in ACTIONS.items() for call in calls}
    assert set(account.asked) == known
    names = dict.fromkeys(Scope.__dataclass_fields__, "x") | {"log_groups": ["x"], "repositories": ["x"]}
    policy = researcher(Scope(**names))  # type: ignore[arg-type]  # texts but for the two lists
    allowed = {action for statement in policy["Statement"] for action in listed(statement["Action"])}
    assert {f"{service}:{call}" for service, calls in ACTIONS.items() for call in calls} <= allowed


def listed(item: str | list[str]) -> list[str]:
    return [item] if isinstance(item, str) else list(item)
