"""Storage: the group's bucket and its shared file system with access points."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_aws as aws

from infra import buckets, policies
from infra.access import AccessPoint
from workload.contract import PASSING

UNFINISHED_DAYS: Final = 7
OLD_VERSION_DAYS: Final = 30
PASSING_DAYS: Final = 7  # what waits for another try of a `tutti data` that did not come to its end
TRACE_DAYS: Final = 30  # what became of submissions that waited; AWS Batch forgets jobs sooner
OLD_CHECKPOINT_DAYS: Final = 3  # programs prune checkpoints themselves: what they removed must not be paid for long


@dataclass(frozen=True, kw_only=True)
class StorageArgs:
    """Inputs of Storage. `throughput_mibps` 0: elastic. `lifecycle_days` 0: files stay where they are.

    `access_points`: the group's own first, which alone the jobs use.
    """

    subnets: Mapping[str, pulumi.Input[str]]
    security_group_id: pulumi.Input[str]
    prefix: str
    waiting: str
    access_points: Sequence[AccessPoint]
    throughput_mibps: int
    lifecycle_days: int
    keep: bool
    tags: Mapping[str, str]


class Storage(pulumi.ComponentResource):
    bucket: pulumi.Output[str]
    bucket_arn: pulumi.Output[str]
    file_system: pulumi.Output[str]
    file_system_arn: pulumi.Output[str]
    access_point: pulumi.Output[str]
    access_point_arn: pulumi.Output[str]
    mount_targets: Sequence[pulumi.Resource]

    def __init__(self, name: str, args: StorageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tutti:storage:Storage", name, {}, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._kept = pulumi.ResourceOptions(parent=self, protect=args.keep)
        bucket = self._bucket()
        system = self._file_system()
        own, *_ = [self._access_point(system, point) for point in args.access_points]
        self.bucket = bucket.bucket
        self.bucket_arn = bucket.arn
        self.file_system = system.id
        self.file_system_arn = system.arn
        self.access_point = own.id
        self.access_point_arn = own.arn
        self.register_outputs({"bucket": self.bucket, "file_system": self.file_system})

    def _tags(self, what: str) -> dict[str, str]:
        return {**self._args.tags, "Name": f"{self._name}-{what}"}

    def _bucket(self) -> aws.s3.Bucket:
        name, child = self._name, self._child
        bucket = aws.s3.Bucket(
            f"{name}-data", force_destroy=not self._args.keep, tags=self._tags("data"), opts=self._kept
        )
        blocked = buckets.protect(f"{name}-data", bucket, child)
        aws.s3.BucketOwnershipControls(
            f"{name}-data",
            bucket=bucket.id,
            rule=aws.s3.BucketOwnershipControlsRuleArgs(object_ownership="BucketOwnerEnforced"),
            opts=child,
        )
        aws.s3.BucketPolicy(
            f"{name}-data",
            bucket=bucket.id,
            policy=bucket.arn.apply(lambda arn: json.dumps(policies.bucket(arn))),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[blocked]),
        )
        aws.s3.BucketLifecycleConfiguration(f"{name}-data", bucket=bucket.id, rules=self._lifecycle(), opts=child)
        return bucket

    def _lifecycle(self) -> list[aws.s3.BucketLifecycleConfigurationRuleArgs]:
        rule, filtered = aws.s3.BucketLifecycleConfigurationRuleArgs, aws.s3.BucketLifecycleConfigurationRuleFilterArgs
        old = aws.s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs
        unfinished = aws.s3.BucketLifecycleConfigurationRuleAbortIncompleteMultipartUploadArgs
        expired = aws.s3.BucketLifecycleConfigurationRuleExpirationArgs
        return [
            rule(
                id="unfinished-uploads",
                status="Enabled",
                filter=filtered(prefix=""),
                abort_incomplete_multipart_upload=unfinished(days_after_initiation=UNFINISHED_DAYS),
                noncurrent_version_expiration=old(noncurrent_days=OLD_VERSION_DAYS),
            ),
            rule(
                id="checkpoints",
                status="Enabled",
                filter=filtered(prefix=f"{self._args.prefix}checkpoints/"),
                noncurrent_version_expiration=old(noncurrent_days=OLD_CHECKPOINT_DAYS),
            ),
            rule(
                id="passing",
                status="Enabled",
                filter=filtered(prefix=f"{self._args.prefix}{PASSING}"),
                expiration=expired(days=PASSING_DAYS),
                noncurrent_version_expiration=old(noncurrent_days=1),
            ),
            *(
                rule(
                    id=folder,
                    status="Enabled",
                    filter=filtered(prefix=f"{self._args.waiting}{folder}/"),
                    expiration=expired(days=TRACE_DAYS),
                )
                for folder in ("submitted", "refused")
            ),
        ]

    def _file_system(self) -> aws.efs.FileSystem:
        name, args, child = self._name, self._args, self._child
        cold = aws.efs.FileSystemLifecyclePolicyArgs(
            transition_to_ia=f"AFTER_{args.lifecycle_days}_DAY{'S' if args.lifecycle_days > 1 else ''}"
        )
        warm = aws.efs.FileSystemLifecyclePolicyArgs(transition_to_primary_storage_class="AFTER_1_ACCESS")
        system = aws.efs.FileSystem(
            f"{name}-shared",
            encrypted=True,
            performance_mode="generalPurpose",
            throughput_mode="provisioned" if args.throughput_mibps else "elastic",
            provisioned_throughput_in_mibps=args.throughput_mibps or None,
            lifecycle_policies=[cold, warm] if args.lifecycle_days else [],
            tags=self._tags("shared"),
            opts=self._kept,
        )
        aws.efs.BackupPolicy(
            f"{name}-shared",
            file_system_id=system.id,
            backup_policy=aws.efs.BackupPolicyBackupPolicyArgs(status="ENABLED"),
            opts=child,
        )
        self.mount_targets = [
            aws.efs.MountTarget(
                f"{name}-shared-{zone}",
                file_system_id=system.id,
                subnet_id=subnet,
                security_groups=[args.security_group_id],
                opts=child,
            )
            for zone, subnet in args.subnets.items()
        ]
        return system

    def _access_point(self, system: aws.efs.FileSystem, point: AccessPoint) -> aws.efs.AccessPoint:
        return aws.efs.AccessPoint(
            f"{self._name}-{point.name}",
            file_system_id=system.id,
            posix_user=aws.efs.AccessPointPosixUserArgs(uid=point.uid, gid=point.gid),
            root_directory=aws.efs.AccessPointRootDirectoryArgs(
                path=point.path,
                creation_info=aws.efs.AccessPointRootDirectoryCreationInfoArgs(
                    owner_uid=point.uid, owner_gid=point.gid, permissions=point.mode
                ),
            ),
            tags=self._tags(point.name),
            opts=self._child,
        )
