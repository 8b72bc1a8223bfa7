"""Team: the policies for people, and what their schedules run as."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import pulumi
import pulumi_aws as aws

from infra import people, policies
from infra.naming import Names
from infra.people import Scope
from infra.policies import Document


@dataclass(frozen=True, kw_only=True)
class TeamArgs:
    """Inputs of Team. `budget_stops`: the budget has an action that a lead may undo."""

    names: Names
    bucket_arn: pulumi.Input[str]
    file_system_arn: pulumi.Input[str]
    log_group_arns: Sequence[pulumi.Input[str]]
    repository_arns: Sequence[pulumi.Input[str]]
    secret_arn: pulumi.Input[str]
    topic: pulumi.Input[str]
    budget_stops: bool
    region: str
    account: str
    partition: str
    tags: Mapping[str, str]


class Team(pulumi.ComponentResource):
    researcher_arn: pulumi.Output[str]
    lead_arn: pulumi.Output[str]
    stop_arn: pulumi.Output[str]
    scheduler_role: aws.iam.Role
    scope: pulumi.Output[Scope]

    def __init__(self, name: str, args: TeamArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tutti:identity:Team", name, {}, opts)
        self._name, self._args, self._child = name, args, pulumi.ResourceOptions(parent=self)
        aws.scheduler.ScheduleGroup(
            f"{name}-schedules", name=args.names.schedule_group, tags=self._tags("schedules"), opts=self._child
        )
        self.scheduler_role = aws.iam.Role(
            f"{name}-scheduler",
            assume_role_policy=json.dumps(policies.trust("scheduler.amazonaws.com", account=args.account)),
            tags=self._tags("scheduler"),
            opts=self._child,
        )
        self.scope = scope = self._scope(self.scheduler_role.arn)
        aws.iam.RolePolicy(
            f"{name}-scheduler",
            role=self.scheduler_role.id,
            policy=scope.apply(lambda known: json.dumps(people.scheduler(known))),
            opts=self._child,
        )
        self.researcher_arn = self._policy(
            "researcher", "submit jobs, see all, end one's own", scope, people.researcher
        )
        self.lead_arn = self._policy("lead", "submit jobs, end everybody's, resume the budget", scope, people.lead)
        self.stop_arn = self._policy("spent", "no more jobs: the budget is spent", scope, people.no_more_submissions)
        self.register_outputs({"researcher_arn": self.researcher_arn, "lead_arn": self.lead_arn})

    def _tags(self, what: str) -> dict[str, str]:
        return {**self._args.tags, "Name": f"{self._name}-{what}"}

    def _policy(
        self, what: str, does: str, scope: pulumi.Output[Scope], write: Callable[[Scope], Document]
    ) -> pulumi.Output[str]:
        return aws.iam.Policy(
            f"{self._name}-{what}",
            description=f"Tutti {self._args.names.stack}: {does}",
            policy=scope.apply(lambda known: json.dumps(write(known), separators=(",", ":"))),
            tags=self._tags(what),
            opts=self._child,
        ).arn

    def _scope(self, scheduler_role: pulumi.Output[str]) -> pulumi.Output[Scope]:
        args = self._args
        stack, own = args.names.stack, f"{args.region}:{args.account}"
        batch, ecs = f"arn:{args.partition}:batch:{own}", f"arn:{args.partition}:ecs:{own}"
        plain = Scope(
            stack=stack,
            queues=f"{batch}:job-queue/{stack}-*",
            definitions=f"{batch}:job-definition/{stack}-*",
            jobs=f"{batch}:job/*",
            # as Batch names a cluster below an environment: AWSBatch-ENVIRONMENT-UUID
            clusters=f"{ecs}:cluster/AWSBatch-{args.names.base}-*",
            instances=f"{ecs}:container-instance/AWSBatch-{args.names.base}-*",
            bucket="",
            prefix=args.names.prefix,
            waiting=args.names.waiting,
            file_system="",
            log_groups=(),
            card=f"arn:{args.partition}:ssm:{own}:parameter{args.names.card}",
            repositories=(),
            secret="",
            topic="",
            schedules=f"arn:{args.partition}:scheduler:{own}:schedule/{args.names.schedule_group}/*",
            scheduler_role="",
            budget_action=f"arn:{args.partition}:budgets::{args.account}:budget/tutti-{stack}/action/*"
            if args.budget_stops
            else "",
            group=args.names.group,
        )
        return pulumi.Output.all(
            bucket=args.bucket_arn,
            file_system=args.file_system_arn,
            log_groups=list(args.log_group_arns),
            repositories=list(args.repository_arns),
            secret=args.secret_arn,
            topic=args.topic,
            scheduler_role=scheduler_role,
        ).apply(
            lambda known: replace(plain, **{**known, "repositories": [arn for arn in known["repositories"] if arn]})
        )
