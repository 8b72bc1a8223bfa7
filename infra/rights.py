"""Rights: what the job and execution roles may do, and the file system's policy, on exactly the stack's own things."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from infra import policies


@dataclass(frozen=True, kw_only=True)
class RightsArgs:
    """Inputs of Rights. `prefix` ends in "/"; `secrets_arn` is the pattern of the secrets that jobs may fetch."""

    job_role: aws.iam.Role
    execution_role: aws.iam.Role
    bucket_arn: pulumi.Input[str]
    prefix: str
    file_system: pulumi.Input[str]
    file_system_arn: pulumi.Input[str]
    access_point_arn: pulumi.Input[str]
    secrets_arn: str
    gang_secret_arn: pulumi.Input[str]
    repository_arns: Sequence[pulumi.Input[str]]
    log_group_arn: pulumi.Input[str]
    debug: bool


class Rights(pulumi.ComponentResource):
    def __init__(self, name: str, args: RightsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tutti:identity:Rights", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)

        def job(known: dict[str, Any]) -> str:
            return json.dumps(policies.job(**known, prefix=args.prefix, secrets_arn=args.secrets_arn, debug=args.debug))

        aws.iam.RolePolicy(
            f"{name}-job",
            role=args.job_role.id,
            policy=pulumi.Output.all(
                bucket_arn=args.bucket_arn,
                file_system_arn=args.file_system_arn,
                access_point=args.access_point_arn,
                gang_secret_arn=args.gang_secret_arn,
            ).apply(job),
            opts=child,
        )

        def execution(known: dict[str, Any]) -> str:
            known["repository_arns"] = [arn for arn in known["repository_arns"] if arn]  # images outside ECR have none
            return json.dumps(policies.execution(**known))

        aws.iam.RolePolicy(
            f"{name}-execution",
            role=args.execution_role.id,
            policy=pulumi.Output.all(
                repository_arns=list(args.repository_arns),
                log_group_arns=[args.log_group_arn],
                gang_secret_arn=args.gang_secret_arn,
            ).apply(execution),
            opts=child,
        )

        def file_system(known: dict[str, Any]) -> str:
            return json.dumps(policies.file_system(known["arn"], job_role=known["role"], access_point=known["point"]))

        aws.efs.FileSystemPolicy(
            f"{name}-shared",
            file_system_id=args.file_system,
            policy=pulumi.Output.all(
                arn=args.file_system_arn, role=args.job_role.arn, point=args.access_point_arn
            ).apply(file_system),
            opts=child,
        )
        self.register_outputs({"job_role": args.job_role.arn})
