"""Jobs: the job definitions, as revisions that stay: old jobs, reruns and queued retries find theirs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from infra.definitions import Definition, Given, document
from workload import documents


@dataclass(frozen=True, kw_only=True)
class JobsArgs:
    """Inputs of Jobs. `image_uris`: by the image's name, with a digest. `access_point`: the group's own."""

    definitions: Sequence[Definition]
    image_uris: Mapping[str, pulumi.Input[str]]
    job_role_arn: pulumi.Input[str]
    execution_role_arn: pulumi.Input[str]
    secret_arn: pulumi.Input[str]
    file_system: pulumi.Input[str]
    access_point: pulumi.Input[str]
    bucket: pulumi.Input[str]
    log_group: str
    region: str
    stack: str
    lustre: bool
    debug: bool
    depends_on: Sequence[pulumi.Resource]
    tags: Mapping[str, str]


class Jobs(pulumi.ComponentResource):
    arns: Mapping[str, pulumi.Output[str]]

    def __init__(self, name: str, args: JobsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tutti:jobs:Jobs", name, {}, opts)
        self.arns = {d.name: self._define(d, args) for d in args.definitions}
        self.register_outputs({"arns": self.arns})

    def _define(self, definition: Definition, args: JobsArgs) -> pulumi.Output[str]:
        def properties(known: dict[str, Any]) -> str:
            given = Given(**known, log_group=args.log_group, region=args.region, stack=args.stack)
            return json.dumps(document(definition, given, lustre=args.lustre, debug=args.debug))

        text = pulumi.Output.all(
            image_uri=args.image_uris[definition.image.name],
            job_role_arn=args.job_role_arn,
            execution_role_arn=args.execution_role_arn,
            secret_arn=args.secret_arn,
            file_system=args.file_system,
            access_point=args.access_point,
            bucket=args.bucket,
        ).apply(properties)
        retry = documents.retry_strategy(definition.attempts)
        capability = "FARGATE" if definition.pool.config.fargate else "EC2"
        made = aws.batch.JobDefinition(
            definition.name,
            name=definition.name,
            type="multinode" if definition.multi_node else "container",
            node_properties=text if definition.multi_node else None,
            container_properties=None if definition.multi_node else text,
            # Gangs know no other than EC2, and Batch takes no word on it for them.
            platform_capabilities=None if definition.multi_node else [capability],
            parameters=dict(definition.parameters) or None,
            retry_strategy=aws.batch.JobDefinitionRetryStrategyArgs(
                attempts=retry["attempts"],
                evaluate_on_exits=[
                    aws.batch.JobDefinitionRetryStrategyEvaluateOnExitArgs(
                        action=rule["action"],
                        on_exit_code=rule.get("onExitCode"),
                        on_reason=rule.get("onReason"),
                        on_status_reason=rule.get("onStatusReason"),
                    )
                    for rule in retry["evaluateOnExit"]
                ],
            ),
            timeout=aws.batch.JobDefinitionTimeoutArgs(attempt_duration_seconds=definition.minutes * 60),
            propagate_tags=True,
            deregister_on_new_revision=False,
            tags={**args.tags, "Name": definition.name},
            # No revision is ever deregistered, not even when the definition leaves the stack.
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.depends_on), retain_on_delete=True),
        )
        return made.arn
