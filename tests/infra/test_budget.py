"""Budget: alerts by the group's cost tag, and an end to submissions on request."""

from __future__ import annotations

from typing import Any


def test_no_budget_unless_asked(stack: Any) -> None:
    assert stack().of("Budget") == [r for r in stack().of("Budget") if not r.custom] == []


def test_alerts_at_half_most_and_all_of_the_groups_month(stack: Any) -> None:
    budget = stack("astro", budgetUsd=500, alarmAddresses=["ops@example.org"]).one("budgets/budget:Budget").inputs
    assert (budget["limitAmount"], budget["limitUnit"], budget["timeUnit"]) == ("500.0", "USD", "MONTHLY")
    assert [n["threshold"] for n in budget["notifications"]] == [50, 80, 100]
    assert {tuple(n["subscriberEmailAddresses"]) for n in budget["notifications"]} == {("ops@example.org",)}
    assert budget["costFilters"] == [{"name": "TagKeyValue", "values": ["user:tutti:group$astro"]}]


def test_the_stop_denies_the_named_roles_schedules_and_what_waits(stack: Any) -> None:
    d = stack(budgetUsd=500, budgetStops=True, budgetStopRoles=["researchers"])
    action = d.one("BudgetAction").inputs
    assert action["approvalModel"] == "AUTOMATIC"
    assert action["actionThreshold"] == {"actionThresholdType": "PERCENTAGE", "actionThresholdValue": 100}
    target = action["definition"]["iamActionDefinition"]
    assert target["roles"] == ["tutti-dev-scheduler-0000000", "tutti-dev-after-0000000", "researchers"]
    assert target["policyArn"].endswith("tutti-dev-spent-0000000")


def test_budgets_may_attach_that_policy_to_those_roles_and_do_nothing_else(stack: Any) -> None:
    d = stack(budgetUsd=500, budgetStops=True, budgetStopRoles=["researchers"])
    (statement,) = d.one("iam/rolePolicy:RolePolicy", "-budget").json("policy")["Statement"]
    assert statement["Action"] == ["iam:AttachRolePolicy", "iam:DetachRolePolicy"]
    assert statement["Resource"][-1] == "arn:aws:iam::123456789012:role/researchers"
    assert statement["Condition"]["ArnEquals"]["iam:PolicyARN"].endswith("tutti-dev-spent-0000000")


def test_alerts_alone_stop_nothing(stack: Any) -> None:
    assert stack(budgetUsd=500).of("BudgetAction") == []
