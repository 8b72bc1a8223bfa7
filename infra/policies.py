"""IAM and resource policies of the stack, as plain documents. Pure: strings in, dictionaries out.

Where a statement says `"*"`, AWS knows no narrower resource for the action (Service Authorization Reference).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

Document: TypeAlias = dict[str, Any]

OBJECT_ACTIONS: Final = (
    "s3:GetObject",
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
)
VERSION = "2012-10-17"
# AL2023's package repositories, which user data may install from (Amazon Linux 2023 User Guide, private networks).
AL2023_REPOSITORIES = "al2023-repos-{region}-de612dc2"


def document(*statements: Document) -> Document:
    return {"Version": VERSION, "Statement": list(statements)}


def allow(
    actions: Sequence[str], resources: str | Sequence[str], condition: Mapping[str, Any] | None = None
) -> Document:
    statement: Document = {
        "Effect": "Allow",
        "Action": list(actions),
        "Resource": [resources] if isinstance(resources, str) else list(resources),
    }
    return {**statement, "Condition": dict(condition)} if condition else statement


def deny(
    actions: Sequence[str], resources: str | Sequence[str], condition: Mapping[str, Any] | None = None
) -> Document:
    return {**allow(actions, resources, condition), "Effect": "Deny"}


def trust(service: str, *, account: str | None) -> Document:
    """Who may take a role: one service, on behalf of this account alone (no confused deputy).

    `account` is None for EC2, which names no source when it starts an instance.
    """
    statement: Document = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    if account is not None:
        statement["Condition"] = {"StringEquals": {"aws:SourceAccount": account}}
    return document(statement)


def write_logs(*group_arns: str) -> Document:
    return document(allow(["logs:CreateLogStream", "logs:PutLogEvents"], [f"{arn}:*" for arn in group_arns]))


def s3_gateway(*, region: str, account: str, partition: str) -> Document:
    """The S3 gateway's policy: buckets of this account, ECR's layers and AL2023's packages."""
    arn = f"arn:{partition}:s3:::"
    return document(
        {
            **allow(
                ["s3:ListBucket", "s3:GetBucketLocation", *OBJECT_ACTIONS],
                f"{arn}*",
                {"StringEquals": {"s3:ResourceAccount": account}},
            ),
            "Sid": "OwnBuckets",
            "Principal": "*",
        },
        {
            **allow(["s3:GetObject"], [f"{arn}prod-{region}-starport-layer-bucket/*"]),
            "Sid": "ImageLayers",
            "Principal": "*",
        },
        {
            **allow(["s3:GetObject"], [f"{arn}{AL2023_REPOSITORIES.format(region=region)}/*"]),
            "Sid": "Packages",
            "Principal": "*",
        },
    )


def bucket(bucket_arn: str) -> Document:
    """The bucket's policy: TLS or nothing."""
    return document(
        {
            **deny(["s3:*"], [bucket_arn, f"{bucket_arn}/*"], {"Bool": {"aws:SecureTransport": "false"}}),
            "Sid": "TlsOnly",
            "Principal": "*",
        }
    )


def file_system(file_system_arn: str, *, job_role: str, access_point: str) -> Document:
    """The file system's policy: TLS for everybody, and jobs by the group's access point alone.

    A policy on a file system replaces the default, under which every client of the network may mount it as root.
    """
    return document(
        {
            **allow(
                ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"],
                file_system_arn,
                {
                    "Bool": {"elasticfilesystem:AccessedViaMountTarget": "true"},
                    "StringEquals": {"elasticfilesystem:AccessPointArn": access_point},
                },
            ),
            "Sid": "JobsByTheGroupsAccessPoint",
            "Principal": {"AWS": job_role},
        },
        {
            **deny(["*"], file_system_arn, {"Bool": {"aws:SecureTransport": "false"}}),
            "Sid": "TlsOnly",
            "Principal": {"AWS": "*"},
        },
    )


def job(
    *,
    bucket_arn: str,
    prefix: str,
    file_system_arn: str,
    access_point: str,
    secrets_arn: str,
    gang_secret_arn: str,
    debug: bool,
) -> Document:
    """What a job's programs may do: the group's part of the bucket, its access point, its own secrets; nothing else.

    `prefix` ends in "/"; `secrets_arn` is a pattern that ends in "*".
    """
    return document(
        allow(["s3:ListBucket"], bucket_arn, {"StringLike": {"s3:prefix": [prefix, f"{prefix}*"]}}),
        allow(OBJECT_ACTIONS, f"{bucket_arn}/{prefix}*"),
        allow(
            ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"],
            file_system_arn,
            {"StringEquals": {"elasticfilesystem:AccessPointArn": access_point}},
        ),
        allow(["secretsmanager:GetSecretValue"], secrets_arn),
        deny(["secretsmanager:GetSecretValue"], gang_secret_arn),
        *([_exec_command()] if debug else []),
    )


def execution(*, repository_arns: Sequence[str], log_group_arns: Sequence[str], gang_secret_arn: str) -> Document:
    """What ECS does before a container runs: pull its image, fetch the gang's secret, open its log stream."""
    return document(
        allow(["ecr:GetAuthorizationToken"], "*"),
        *(
            [
                allow(
                    ["ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"],
                    repository_arns,
                )
            ]
            if repository_arns
            else []
        ),
        allow(["logs:CreateLogStream", "logs:PutLogEvents"], [f"{arn}:*" for arn in log_group_arns]),
        allow(["secretsmanager:GetSecretValue"], gang_secret_arn),
    )


EVENTS: Final = "events.amazonaws.com"


def publish(topic_arn: str, *, account: str, services: Sequence[str]) -> Document:
    """A topic's policy: services may publish, nobody else may do anything.

    On behalf of this account alone, but for EventBridge: it gives no context when it publishes to SNS, so with a
    condition nothing would ever arrive ("You can't use Condition blocks in Amazon SNS topic policies for EventBridge").
    """
    guarded = {"StringEquals": {"aws:SourceAccount": account}}
    return document(
        *(
            {
                **allow(["sns:Publish"], topic_arn, None if service == EVENTS else guarded),
                "Principal": {"Service": service},
            }
            for service in services
        )
    )


def events_to_logs(group_arns: str, *, rule_arns: str) -> Document:
    """EventBridge's right to write events to log groups, as its User Guide has it: the rule is known when it writes.

    Both ARNs are patterns.
    """
    services = {"Service": ["delivery.logs.amazonaws.com", EVENTS]}
    return document(
        {**allow(["logs:CreateLogStream"], f"{group_arns}:*"), "Principal": services},
        {
            **allow(["logs:PutLogEvents"], f"{group_arns}:*:*", {"ArnLike": {"aws:SourceArn": rule_arns}}),
            "Principal": services,
        },
    )


def attach(*, policy_arn: Any, role_arns: Sequence[Any]) -> Document:
    """AWS Budgets' right to attach one policy to some roles, and to take it away. The ARNs may be outputs."""
    condition = {"ArnEquals": {"iam:PolicyARN": policy_arn}}
    return document(
        {
            "Effect": "Allow",
            "Action": ["iam:AttachRolePolicy", "iam:DetachRolePolicy"],
            "Resource": list(role_arns),
            "Condition": condition,
        }
    )


def audit_bucket(bucket_arn: str, *, account: str, trail_arn: str) -> Document:
    """Who may write the account's trail and configuration into the audit bucket: those two services."""
    logs = f"{bucket_arn}/AWSLogs/{account}/*"
    from_trail = {"StringEquals": {"aws:SourceArn": trail_arn}}
    from_account = {"StringEquals": {"aws:SourceAccount": account}}
    owned = {"s3:x-amz-acl": "bucket-owner-full-control"}
    trail, config = {"Service": "cloudtrail.amazonaws.com"}, {"Service": "config.amazonaws.com"}
    return document(
        *bucket(bucket_arn)["Statement"],
        {**allow(["s3:GetBucketAcl"], bucket_arn, from_trail), "Principal": trail},
        {
            **allow(["s3:PutObject"], logs, {"StringEquals": {"aws:SourceArn": trail_arn, **owned}}),
            "Principal": trail,
        },
        {**allow(["s3:GetBucketAcl", "s3:ListBucket"], bucket_arn, from_account), "Principal": config},
        {
            **allow(["s3:PutObject"], logs, {"StringEquals": {"aws:SourceAccount": account, **owned}}),
            "Principal": config,
        },
    )


def deliver_config(bucket_arn: str, *, account: str) -> Document:
    return document(
        allow(["s3:GetBucketAcl", "s3:ListBucket"], bucket_arn),
        allow(["s3:PutObject"], f"{bucket_arn}/AWSLogs/{account}/*"),
    )


def _exec_command() -> Document:
    channels = ("CreateControlChannel", "CreateDataChannel", "OpenControlChannel", "OpenDataChannel")
    return allow([f"ssmmessages:{name}" for name in channels], "*")
