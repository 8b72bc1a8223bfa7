"""Lustre: an FSx for Lustre file system that shows the bucket's objects as files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_aws as aws

VERSION: Final = "2.15"
PERSISTENT: Final = "PERSISTENT_2"
MBPS_PER_TIB: Final = 125  # the smallest of PERSISTENT_2
FOLDER: Final = "lustre"  # in the bucket, below the group's prefix


@dataclass(frozen=True, kw_only=True)
class LustreArgs:
    """Inputs of Lustre. `gib`: 1200 or a multiple of 2400; `kind`: SCRATCH_2 or PERSISTENT_2."""

    gib: int
    kind: str
    subnet_id: pulumi.Input[str]
    security_group_id: pulumi.Input[str]
    bucket: pulumi.Input[str]
    prefix: str
    keep: bool
    tags: Mapping[str, str]


class Lustre(pulumi.ComponentResource):
    """In the zone of the first pool: a file system in another costs latency and 0.01 USD/GB."""

    file_system: pulumi.Output[str]
    mount: pulumi.Output[str]

    def __init__(self, name: str, args: LustreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tutti:storage:Lustre", name, {}, opts)
        persistent = args.kind == PERSISTENT
        tags = {**args.tags, "Name": f"{name}-lustre"}
        source = pulumi.Output.concat("s3://", args.bucket, "/", args.prefix, FOLDER)
        system = aws.fsx.LustreFileSystem(
            f"{name}-lustre",
            deployment_type=args.kind,
            storage_type="SSD",
            storage_capacity=args.gib,
            file_system_type_version=VERSION,
            per_unit_storage_throughput=MBPS_PER_TIB if persistent else None,
            data_compression_type="LZ4",
            # SCRATCH_2 is linked by its own arguments, PERSISTENT_2 by an association.
            import_path=None if persistent else source,
            export_path=None if persistent else source,
            auto_import_policy=None if persistent else "NEW_CHANGED_DELETED",
            subnet_ids=args.subnet_id,
            security_group_ids=[args.security_group_id],
            tags=tags,
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=args.keep,
                # Linked once: another link would be another, empty file system.
                ignore_changes=["importPath", "exportPath", "autoImportPolicy"],
            ),
        )
        if persistent:
            events = ["NEW", "CHANGED", "DELETED"]
            aws.fsx.DataRepositoryAssociation(
                f"{name}-lustre",
                file_system_id=system.id,
                data_repository_path=source,
                file_system_path="/",
                s3=aws.fsx.DataRepositoryAssociationS3Args(
                    auto_import_policy=aws.fsx.DataRepositoryAssociationS3AutoImportPolicyArgs(events=events),
                    auto_export_policy=aws.fsx.DataRepositoryAssociationS3AutoExportPolicyArgs(events=events),
                ),
                tags=tags,
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.file_system = system.id
        self.mount = pulumi.Output.concat(system.dns_name, "@tcp:/", system.mount_name)
        self.register_outputs({"file_system": self.file_system, "mount": self.mount})
