"""Identity: the roles of instances, jobs and their execution, and the gang's secret.

Roles are made without their rights: `Rights` adds those once what they name is there.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_aws as aws

from infra import policies

# What ECS's agent needs is AWS's to say, and it changes with the agent. Containers cannot reach it: IMDS is blocked.
INSTANCE_POLICY: Final = "service-role/AmazonEC2ContainerServiceforEC2Role"
SECRET_BYTES: Final = 32
RECOVERY_DAYS: Final = 7


@dataclass(frozen=True, kw_only=True)
class IdentityArgs:
    """Inputs of Identity. `keep`: a deleted secret can be had back for a week."""

    secret_name: str
    account: str
    partition: str
    keep: bool
    tags: Mapping[str, str]


class Identity(pulumi.ComponentResource):
    instance_profile_arn: pulumi.Output[str]
    instance_role: aws.iam.Role
    job_role: aws.iam.Role
    execution_role: aws.iam.Role
    gang_secret_arn: pulumi.Output[str]
    ready: list[pulumi.Resource]

    def __init__(self, name: str, args: IdentityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tutti:identity:Identity", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)

        def role(what: str, service: str, account: str | None) -> aws.iam.Role:
            return aws.iam.Role(
                f"{name}-{what}",
                assume_role_policy=json.dumps(policies.trust(service, account=account)),
                tags={**args.tags, "Name": f"{name}-{what}"},
                opts=child,
            )

        self.instance_role = role("instance", "ec2.amazonaws.com", None)
        attached = aws.iam.RolePolicyAttachment(
            f"{name}-instance",
            role=self.instance_role.name,
            policy_arn=f"arn:{args.partition}:iam::aws:policy/{INSTANCE_POLICY}",
            opts=child,
        )
        profile = aws.iam.InstanceProfile(
            f"{name}-instance", role=self.instance_role.name, tags={**args.tags, "Name": f"{name}-instance"}, opts=child
        )
        self.job_role = role("job", "ecs-tasks.amazonaws.com", args.account)
        self.execution_role = role("execution", "ecs-tasks.amazonaws.com", args.account)
        secret = aws.secretsmanager.Secret(
            f"{name}-gang",
            name=args.secret_name,
            description="Keys of the stack's gangs are derived from it; read by the execution role alone",
            recovery_window_in_days=RECOVERY_DAYS if args.keep else 0,
            tags={**args.tags, "Name": args.secret_name},
            opts=child,
        )
        # Made once: later runs draw another value and ignore it. In the state it is encrypted, as every secret is.
        aws.secretsmanager.SecretVersion(
            f"{name}-gang",
            secret_id=secret.id,
            secret_string=pulumi.Output.secret(secrets.token_hex(SECRET_BYTES)),
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=["secretString"]),
        )
        self.instance_profile_arn = profile.arn
        self.gang_secret_arn = secret.arn
        self.ready = [attached, profile]  # what must outlive a compute environment, else it sticks in DELETING
        self.register_outputs({"job_role": self.job_role.arn, "gang_secret_arn": self.gang_secret_arn})
