"""Follower: the function that submits what waits for jobs' ends (`tutti submit --after ID:any`), and what calls it.

No queue keeps its failures: what waits lies in the bucket until it is done with, Lambda calls again twice, and a rule
looks after whatever was missed. It has no network of ours, so it needs neither NAT nor endpoints.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pulumi
import pulumi_aws as aws

from infra import people, policies
from infra.naming import Names
from infra.people import Scope
from workload import notices
from workload.contract import Variable

HANDLER: Final = "functions.follow.handler"
# What the handler imports of this project; boto3 comes with the runtime.
CODE: Final = (
    *("functions/__init__.py", "functions/follow.py"),
    *("tutti/__init__.py", "tutti/core/__init__.py", "tutti/core/refusal.py", "tutti/core/waiting.py"),
    *("workload/__init__.py", "workload/contract.py", "workload/record.py"),
)
TIMEOUT_S: Final = 30
MEMORY_MIB: Final = 256
AGAIN: Final = "rate(15 minutes)"


@dataclass(frozen=True, kw_only=True)
class FollowerArgs:
    """Inputs of Follower. `root`: the project's folder."""

    names: Names
    scope: pulumi.Output[Scope]
    queue_arns: Sequence[pulumi.Input[str]]
    bucket: pulumi.Input[str]
    root: Path
    retention_days: int
    account: str
    tags: Mapping[str, str]


class Follower(pulumi.ComponentResource):
    role: aws.iam.Role

    def __init__(self, name: str, args: FollowerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tutti:follower:Follower", name, {}, opts)
        self._name, self._args, self._child = name, args, pulumi.ResourceOptions(parent=self)
        log = aws.cloudwatch.LogGroup(
            f"{name}-after",
            name=f"/aws/lambda/{args.names.follower}",
            retention_in_days=args.retention_days,
            tags=self._tags("after"),
            opts=self._child,
        )
        self.role = aws.iam.Role(
            f"{name}-after",
            assume_role_policy=json.dumps(policies.trust("lambda.amazonaws.com", account=args.account)),
            tags=self._tags("after"),
            opts=self._child,
        )
        allowed = aws.iam.RolePolicy(
            f"{name}-after",
            role=self.role.id,
            policy=pulumi.Output.all(args.scope, log.arn).apply(
                lambda known: json.dumps(people.follower(known[0], log_group=known[1]))
            ),
            opts=self._child,
        )
        function = aws.lambda_.Function(
            f"{name}-after",
            name=args.names.follower,
            description="Submits what waits for jobs' ends: tutti submit --after ID:any",
            role=self.role.arn,
            runtime="python3.13",
            architectures=["arm64"],
            handler=HANDLER,
            code=pulumi.AssetArchive({path: pulumi.FileAsset(str(args.root / path)) for path in CODE}),
            timeout=TIMEOUT_S,
            memory_size=MEMORY_MIB,
            environment=aws.lambda_.FunctionEnvironmentArgs(
                variables={Variable.BUCKET.value: args.bucket, Variable.WAITING.value: args.names.waiting}
            ),
            tags=self._tags("after"),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[log, allowed]),
        )
        pattern = pulumi.Output.all(*args.queue_arns).apply(
            lambda queues: json.dumps(notices.pattern(queues, [notices.STATE_CHANGE], notices.ENDED))
        )
        ended = aws.cloudwatch.EventRule(
            f"{name}-after",
            description="A job has ended, which submissions may wait for",
            event_pattern=pattern,
            tags=self._tags("after"),
            opts=self._child,
        )
        again = aws.cloudwatch.EventRule(
            f"{name}-after-missed",
            description="What an end that was not heard of has left",
            schedule_expression=AGAIN,
            tags=self._tags("after-missed"),
            opts=self._child,
        )
        for what, rule in (("after", ended), ("after-missed", again)):
            self._call(f"{name}-{what}", rule, function)
        self.register_outputs({"function": function.arn})

    def _tags(self, what: str) -> dict[str, str]:
        return {**self._args.tags, "Name": f"{self._name}-{what}"}

    def _call(self, name: str, rule: aws.cloudwatch.EventRule, function: aws.lambda_.Function) -> None:
        """Let a rule call the function, and make it do so."""
        allowed = aws.lambda_.Permission(
            name,
            function=function.name,
            action="lambda:InvokeFunction",
            principal=policies.EVENTS,
            source_arn=rule.arn,
            opts=self._child,
        )
        aws.cloudwatch.EventTarget(
            name,
            rule=rule.name,
            arn=function.arn,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[allowed]),
        )
