"""Audit: who did what (CloudTrail) and what is not as it should be (Config). One an account and region."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_aws as aws

from infra import buckets, policies

KEPT_DAYS: Final = 365
# AWS Config managed rules: encryption, and ports open to the world.
RULES: Final[Mapping[str, str]] = {
    "encrypted-volumes": "ENCRYPTED_VOLUMES",
    "efs-encrypted": "EFS_ENCRYPTED_CHECK",
    "s3-encrypted": "S3_BUCKET_SERVER_SIDE_ENCRYPTION_ENABLED",
    "s3-tls-only": "S3_BUCKET_SSL_REQUESTS_ONLY",
    "s3-not-public": "S3_BUCKET_LEVEL_PUBLIC_ACCESS_PROHIBITED",
    "no-open-ssh": "INCOMING_SSH_DISABLED",
    "no-open-ports": "VPC_SG_OPEN_ONLY_TO_AUTHORIZED_PORTS",
    "default-group-closed": "VPC_DEFAULT_SECURITY_GROUP_CLOSED",
    "imdsv2": "EC2_IMDSV2_CHECK",
}
CONFIG_ROLE: Final = "service-role/AWS_ConfigRole"


@dataclass(frozen=True, kw_only=True)
class AuditArgs:
    """Inputs of Audit."""

    stack: str
    region: str
    account: str
    partition: str
    keep: bool
    tags: Mapping[str, str]


class Audit(pulumi.ComponentResource):
    def __init__(self, name: str, args: AuditArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tutti:audit:Audit", name, {}, opts)
        self._name, self._args, self._child = name, args, pulumi.ResourceOptions(parent=self)
        bucket, allowed = self._bucket()
        self._trail(bucket, allowed)
        self._recorder(bucket, allowed)
        self.register_outputs({"bucket": bucket.bucket})

    def _tags(self, what: str) -> dict[str, str]:
        return {**self._args.tags, "Name": f"{self._name}-{what}"}

    @property
    def _trail_name(self) -> str:
        return f"tutti-{self._args.stack}"

    def _bucket(self) -> tuple[aws.s3.Bucket, pulumi.Resource]:
        name, args, child = self._name, self._args, self._child
        bucket = aws.s3.Bucket(
            f"{name}-audit",
            force_destroy=not args.keep,
            tags=self._tags("audit"),
            opts=pulumi.ResourceOptions(parent=self, protect=args.keep),
        )
        blocked = buckets.protect(f"{name}-audit", bucket, child)
        aws.s3.BucketLifecycleConfiguration(
            f"{name}-audit",
            bucket=bucket.id,
            rules=[
                aws.s3.BucketLifecycleConfigurationRuleArgs(
                    id="kept-a-year",
                    status="Enabled",
                    filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
                    expiration=aws.s3.BucketLifecycleConfigurationRuleExpirationArgs(days=KEPT_DAYS),
                    noncurrent_version_expiration=(
                        aws.s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs(noncurrent_days=1)
                    ),
                    abort_incomplete_multipart_upload=(
                        aws.s3.BucketLifecycleConfigurationRuleAbortIncompleteMultipartUploadArgs(
                            days_after_initiation=7
                        )
                    ),
                )
            ],
            opts=child,
        )
        trail = f"arn:{args.partition}:cloudtrail:{args.region}:{args.account}:trail/{self._trail_name}"
        allowed = aws.s3.BucketPolicy(
            f"{name}-audit",
            bucket=bucket.id,
            policy=bucket.arn.apply(
                lambda arn: json.dumps(policies.audit_bucket(arn, account=args.account, trail_arn=trail))
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[blocked]),
        )
        return bucket, allowed

    def _trail(self, bucket: aws.s3.Bucket, allowed: pulumi.Resource) -> None:
        aws.cloudtrail.Trail(
            f"{self._name}-trail",
            name=self._trail_name,
            s3_bucket_name=bucket.bucket,
            is_multi_region_trail=True,
            include_global_service_events=True,
            enable_log_file_validation=True,
            tags=self._tags("trail"),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[allowed]),
        )

    def _recorder(self, bucket: aws.s3.Bucket, allowed: pulumi.Resource) -> None:
        name, args, child = self._name, self._args, self._child
        role = aws.iam.Role(
            f"{name}-config",
            assume_role_policy=json.dumps(policies.trust("config.amazonaws.com", account=args.account)),
            tags=self._tags("config"),
            opts=child,
        )
        aws.iam.RolePolicyAttachment(
            f"{name}-config",
            role=role.name,
            policy_arn=f"arn:{args.partition}:iam::aws:policy/{CONFIG_ROLE}",
            opts=child,
        )
        aws.iam.RolePolicy(
            f"{name}-config",
            role=role.id,
            policy=bucket.arn.apply(lambda arn: json.dumps(policies.deliver_config(arn, account=args.account))),
            opts=child,
        )
        recorder = aws.cfg.Recorder(
            f"{name}-recorder",
            role_arn=role.arn,
            recording_group=aws.cfg.RecorderRecordingGroupArgs(all_supported=True, include_global_resource_types=True),
            opts=child,
        )
        channel = aws.cfg.DeliveryChannel(
            f"{name}-channel",
            s3_bucket_name=bucket.bucket,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[recorder, allowed]),
        )
        started = aws.cfg.RecorderStatus(
            f"{name}-recorder",
            name=recorder.name,
            is_enabled=True,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[channel]),
        )
        for what, identifier in RULES.items():
            aws.cfg.Rule(
                f"{name}-{what}",
                source=aws.cfg.RuleSourceArgs(owner="AWS", source_identifier=identifier),
                tags=self._tags(what),
                opts=pulumi.ResourceOptions(parent=self, depends_on=[started]),
            )
