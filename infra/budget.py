"""Budget: the group's month in USD by its cost tag, with alerts, and on request an end to submissions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_aws as aws

from infra import policies
from infra.naming import Names
from workload.contract import Tag

ALERTS: Final = (50, 80, 100)  # percent of the limit, of what is spent
STOP_AT: Final = 100


@dataclass(frozen=True, kw_only=True)
class BudgetArgs:
    """Inputs of Budget. `stop_roles`: roles that get `stop_policy_arn` attached at 100 %; none: nothing is stopped.

    `topic`: the budget's own, whose messages an alarm counts. `addresses`: AWS Budgets mails them, ten at most.
    """

    names: Names
    usd: int
    topic: pulumi.Input[str]
    addresses: Sequence[str]
    stop_roles: Sequence[pulumi.Input[str]]
    stop_policy_arn: pulumi.Input[str]
    account: str
    partition: str
    tags: Mapping[str, str]


class Budget(pulumi.ComponentResource):
    """AWS counts what it bills, hours late, and by the tag only once the payer has activated it."""

    def __init__(self, name: str, args: BudgetArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tutti:budget:Budget", name, {}, opts)
        tags = {**args.tags, "Name": f"tutti-{args.names.stack}"}
        budget = aws.budgets.Budget(
            f"{name}-budget",
            name=f"tutti-{args.names.stack}",
            budget_type="COST",
            time_unit="MONTHLY",
            limit_amount=f"{args.usd}.0",
            limit_unit="USD",
            cost_filters=[
                aws.budgets.BudgetCostFilterArgs(
                    name="TagKeyValue", values=[f"user:{Tag.GROUP.value}${args.names.group}"]
                )
            ],
            notifications=[
                aws.budgets.BudgetNotificationArgs(
                    comparison_operator="GREATER_THAN",
                    notification_type="ACTUAL",
                    threshold=percent,
                    threshold_type="PERCENTAGE",
                    subscriber_sns_topic_arns=[args.topic],
                    subscriber_email_addresses=list(args.addresses),
                )
                for percent in ALERTS
            ],
            tags=tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        if args.stop_roles:
            self._stop(name, args, budget, tags)
        self.register_outputs({"budget": budget.name})

    def _stop(self, name: str, args: BudgetArgs, budget: aws.budgets.Budget, tags: Mapping[str, str]) -> None:
        """AWS Budgets itself attaches a policy that denies SubmitJob, and takes it away when the month is over."""
        child = pulumi.ResourceOptions(parent=self)
        role = aws.iam.Role(
            f"{name}-budget",
            assume_role_policy=pulumi.Output.json_dumps(policies.trust("budgets.amazonaws.com", account=args.account)),
            tags=dict(tags),
            opts=child,
        )
        roles = f"arn:{args.partition}:iam::{args.account}:role/"
        arns = [pulumi.Output.concat(roles, role_name) for role_name in args.stop_roles]
        allowed = aws.iam.RolePolicy(
            f"{name}-budget",
            role=role.id,
            policy=pulumi.Output.json_dumps(policies.attach(policy_arn=args.stop_policy_arn, role_arns=arns)),
            opts=child,
        )
        aws.budgets.BudgetAction(
            f"{name}-stop",
            budget_name=budget.name,
            action_type="APPLY_IAM_POLICY",
            approval_model="AUTOMATIC",
            notification_type="ACTUAL",
            execution_role_arn=role.arn,
            action_threshold=aws.budgets.BudgetActionActionThresholdArgs(
                action_threshold_type="PERCENTAGE", action_threshold_value=STOP_AT
            ),
            definition=aws.budgets.BudgetActionDefinitionArgs(
                iam_action_definition=aws.budgets.BudgetActionDefinitionIamActionDefinitionArgs(
                    policy_arn=args.stop_policy_arn, roles=list(args.stop_roles)
                )
            ),
            subscribers=[aws.budgets.BudgetActionSubscriberArgs(subscription_type="SNS", address=args.topic)],
            tags=dict(tags),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[allowed]),
        )
