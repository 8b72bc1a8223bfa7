"""Identity and rights: roles, the gang's secret, and what people are given."""

from __future__ import annotations

from typing import Any


def services(deployed: Any) -> dict[str, str]:
    found = {}
    for role in deployed.of("iam/role:Role"):
        (statement,) = role.json("assumeRolePolicy")["Statement"]
        found[role.name.removeprefix("tutti-dev-")] = statement["Principal"]["Service"]
    return found


def test_roles_are_taken_by_one_service_each(stack: Any) -> None:
    assert services(stack()) == {
        "instance": "ec2.amazonaws.com",
        "job": "ecs-tasks.amazonaws.com",
        "execution": "ecs-tasks.amazonaws.com",
        "scheduler": "scheduler.amazonaws.com",
        "after": "lambda.amazonaws.com",
    }


def test_tasks_roles_are_taken_for_this_account_alone(stack: Any) -> None:
    for name in ("-job", "-execution", "-scheduler", "-after"):
        (statement,) = stack().one("iam/role:Role", name).json("assumeRolePolicy")["Statement"]
        assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}


def test_the_gangs_secret_is_made_once_and_never_plain(stack: Any) -> None:
    version = stack().one("SecretVersion")
    assert version.secrets == {"secretString"}
    assert version.ignored == ("secretString",)
    assert len(bytes.fromhex(version.inputs["secretString"])) == 32
    assert version.inputs["secretString"] != stack(budgetUsd=1).one("SecretVersion").inputs["secretString"]


def test_a_deleted_secret_can_be_had_back_where_data_is_kept(stack: Any) -> None:
    assert stack().one("secretsmanager/secret:Secret").inputs["recoveryWindowInDays"] == 0
    assert stack(keepData=True).one("secretsmanager/secret:Secret").inputs["recoveryWindowInDays"] == 7


def test_a_shell_is_a_right_of_the_job_role_only_in_debug(stack: Any) -> None:
    def channels(deployed: Any) -> bool:
        policies = [r.inputs["policy"] for r in deployed.of("RolePolicy") if r.name.endswith("-job")]
        return any("ssmmessages" in p for p in policies)

    assert not channels(stack())
    assert channels(stack(debug=True))
