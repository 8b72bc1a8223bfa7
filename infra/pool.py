"""Pool: one compute environment for one (zone, instance type), or Spot, On-Demand and Fargate for single jobs.

Each pool has a high and a low priority queue. A queue has one environment of gangs, for a second would never be tried
(B15): whoever wants another pool cancels and submits there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_aws as aws

from infra.naming import Names
from infra.pool_config import PoolPlan, Scratch
from infra.user_data import HostArgs, user_data
from workload.contract import Limits, PoolKind, QueuePriority

ROOT_DEVICE: Final = "/dev/xvda"  # of the ECS-optimized AL2023
IMAGE_TYPES: Final = {PoolKind.GPU: "ECS_AL2023_NVIDIA"}
AL2023: Final = "ECS_AL2023"
GP3_IOPS_FREE: Final = 3000
JOB_MINUTES_ON_UPDATE: Final = 30
NEVER_FITS_S: Final = Limits.STATE_TIME_LIMIT_S.start


@dataclass(frozen=True, kw_only=True)
class PoolArgs:
    """Inputs of Pool. `subnet_ids`: of the plan's zones. `depends_on`: roles, that must outlive the environments.

    `guard`: asked before a queue is deleted (infra/queue_guard.py).
    """

    plan: PoolPlan
    names: Names
    subnet_ids: Sequence[pulumi.Input[str]]
    security_group_id: pulumi.Input[str]
    instance_profile_arn: pulumi.Input[str]
    lustre_source: pulumi.Input[str]
    keep: bool
    guard: pulumi.ResourceHook
    depends_on: Sequence[pulumi.Resource]
    tags: Mapping[str, str]


class Pool(pulumi.ComponentResource):
    queue_arns: Mapping[QueuePriority, pulumi.Output[str]]

    def __init__(self, name: str, args: PoolArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tutti:pool:Pool", name, {}, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        config = args.plan.config
        if config.fargate:
            environments = [self._fargate()]
        elif config.kind is PoolKind.SINGLE:
            spot = [self._ec2("spot", spot=True, vcpus=args.plan.spot_vcpus)] if args.plan.spot_vcpus else []
            paid = (
                [self._ec2("ondemand", spot=False, vcpus=args.plan.on_demand_vcpus)]
                if args.plan.on_demand_vcpus
                else []
            )
            environments = spot + paid
        else:
            environments = [self._ec2("gang", spot=False, vcpus=config.max_vcpus)]
        self.queue_arns = {priority: self._queue(priority, environments) for priority in QueuePriority}
        self.register_outputs({"queue_arns": {p.name.lower(): arn for p, arn in self.queue_arns.items()}})

    def _tags(self, what: str) -> dict[str, str]:
        return {**self._args.tags, "Name": f"{self._name}-{what}"}

    def _fargate(self) -> aws.batch.ComputeEnvironment:
        """Named by Pulumi, as every environment: an attached one cannot be deleted before its successor is there."""
        return aws.batch.ComputeEnvironment(
            f"{self._name}-fargate",
            type="MANAGED",
            compute_resources=aws.batch.ComputeEnvironmentComputeResourcesArgs(
                type="FARGATE",
                max_vcpus=self._args.plan.config.max_vcpus,
                subnets=list(self._args.subnet_ids),
                security_group_ids=[self._args.security_group_id],
            ),
            tags=self._tags("fargate"),
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(self._args.depends_on)),
        )

    def _ec2(self, what: str, *, spot: bool, vcpus: int) -> aws.batch.ComputeEnvironment:
        args, plan, config = self._args, self._args.plan, self._args.plan.config
        template = self._template(what, spot=spot)
        group = None
        if config.multi_node:
            group = aws.ec2.PlacementGroup(
                f"{self._name}-{what}", strategy="cluster", tags=self._tags(what), opts=self._child
            ).name
        return aws.batch.ComputeEnvironment(
            f"{self._name}-{what}",
            type="MANAGED",  # no service role: the service-linked one, which infrastructure updates ask for
            compute_resources=aws.batch.ComputeEnvironmentComputeResourcesArgs(
                type="SPOT" if spot else "EC2",
                allocation_strategy="SPOT_PRICE_CAPACITY_OPTIMIZED" if spot else "BEST_FIT_PROGRESSIVE",
                min_vcpus=0,
                max_vcpus=vcpus,
                instance_types=[kind.name for kind in plan.types],
                instance_role=args.instance_profile_arn,
                subnets=list(args.subnet_ids),
                # Multi-node jobs take the task's group from here, never from the launch template.
                security_group_ids=[args.security_group_id],
                placement_group=group,
                ec2_configurations=[
                    aws.batch.ComputeEnvironmentComputeResourcesEc2ConfigurationArgs(
                        image_type=IMAGE_TYPES.get(config.kind, AL2023), image_id_override=config.ami or None
                    )
                ],
                launch_template=aws.batch.ComputeEnvironmentComputeResourcesLaunchTemplateArgs(
                    launch_template_id=template.id, version=template.latest_version.apply(str)
                ),
                tags=self._tags(what),
            ),
            update_policy=aws.batch.ComputeEnvironmentUpdatePolicyArgs(
                terminate_jobs_on_update=False, job_execution_timeout_minutes=JOB_MINUTES_ON_UPDATE
            ),
            tags=self._tags(what),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=list(args.depends_on),
                ignore_changes=["computeResources.desiredVcpus"],  # Batch's own
            ),
        )

    def _template(self, what: str, *, spot: bool) -> aws.ec2.LaunchTemplate:
        args, plan, config = self._args, self._args.plan, self._args.plan.config
        data = pulumi.Output.from_input(args.lustre_source).apply(
            lambda source: user_data(
                HostArgs(
                    stop_timeout=config.stop_timeout,
                    spot=spot,
                    instance_store=config.scratch is Scratch.INSTANCE_STORE,
                    efa_interfaces=plan.efa_interfaces,
                    lustre_source=source,
                )
            )
        )
        disk = aws.ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
            volume_size=config.disk_gib,
            volume_type="gp3",
            throughput=config.disk_mibps,
            iops=max(GP3_IOPS_FREE, config.disk_mibps * 4),  # gp3 gives 0.25 MiB/s for each
            encrypted="true",
            delete_on_termination="true",
        )
        tags = self._tags(what)
        return aws.ec2.LaunchTemplate(
            f"{self._name}-{what}",
            update_default_version=True,
            user_data=data,
            ebs_optimized="true",
            metadata_options=aws.ec2.LaunchTemplateMetadataOptionsArgs(
                http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
            ),
            block_device_mappings=[aws.ec2.LaunchTemplateBlockDeviceMappingArgs(device_name=ROOT_DEVICE, ebs=disk)],
            network_interfaces=[self._efa(card) for card in range(plan.efa_interfaces)],
            capacity_reservation_specification=self._reservation(),
            tag_specifications=[
                aws.ec2.LaunchTemplateTagSpecificationArgs(resource_type=kind, tags=tags)
                for kind in ("instance", "volume")
            ],
            tags=tags,
            opts=self._child,
        )

    def _efa(self, card: int) -> aws.ec2.LaunchTemplateNetworkInterfaceArgs:
        """One a network card; the first carries the instance's address, the others have device index 1 (EC2's rule)."""
        return aws.ec2.LaunchTemplateNetworkInterfaceArgs(
            interface_type="efa",
            device_index=0 if card == 0 else 1,
            network_card_index=card,
            associate_public_ip_address="false",
            delete_on_termination="true",
            security_groups=[self._args.security_group_id],
        )

    def _reservation(self) -> aws.ec2.LaunchTemplateCapacityReservationSpecificationArgs | None:
        if not (named := self._args.plan.config.reservation):
            return None
        target = aws.ec2.LaunchTemplateCapacityReservationSpecificationCapacityReservationTargetArgs(
            capacity_reservation_id=named if named.startswith("cr-") else None,
            capacity_reservation_resource_group_arn=None if named.startswith("cr-") else named,
        )
        return aws.ec2.LaunchTemplateCapacityReservationSpecificationArgs(capacity_reservation_target=target)

    def _queue(
        self, priority: QueuePriority, environments: Sequence[aws.batch.ComputeEnvironment]
    ) -> pulumi.Output[str]:
        """A queue keeps the state that the budget gave it, and is guarded: deleting one would end every job in it."""
        config = self._args.plan.config
        name = self._args.names.queue(config.name, priority)
        waits = {
            "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY": config.capacity_wait_minutes * 60,
            "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE": NEVER_FITS_S,
            "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT": NEVER_FITS_S,
        }
        queue = aws.batch.JobQueue(
            f"{self._name}-{priority.name.lower()}",
            name=name,
            state="ENABLED",
            priority=int(priority),
            compute_environment_orders=[
                aws.batch.JobQueueComputeEnvironmentOrderArgs(order=order, compute_environment=environment.arn)
                for order, environment in enumerate(environments, 1)
            ],
            job_state_time_limit_actions=[
                aws.batch.JobQueueJobStateTimeLimitActionArgs(
                    action="CANCEL", state="RUNNABLE", reason=reason, max_time_seconds=seconds
                )
                for reason, seconds in waits.items()
            ],
            tags=self._tags(priority.name.lower()),
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=self._args.keep,
                ignore_changes=["state"],
                hooks=pulumi.ResourceHookBinding(before_delete=[self._args.guard]),
            ),
        )
        return queue.arn
