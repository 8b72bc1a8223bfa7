"""Endpoints: the S3 gateway, and with egress `endpoints` the services that multi-node jobs cannot start without."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_aws as aws

from infra import policies

# Without secretsmanager the gang's secret cannot be fetched and no container starts (traps 11).
NEEDED: Final = ("ecs", "ecs-agent", "ecs-telemetry", "ecr.api", "ecr.dkr", "logs", "secretsmanager")
FOR_DEBUG: Final = ("ssmmessages",)


@dataclass(frozen=True, kw_only=True)
class EndpointsArgs:
    """Inputs of Endpoints. `interfaces`: services with an endpoint in each subnet; none with egress `nat`."""

    vpc_id: pulumi.Input[str]
    cidr: pulumi.Input[str]
    subnets: Mapping[str, pulumi.Input[str]]
    route_table_ids: pulumi.Input[Sequence[pulumi.Input[str]]]
    interfaces: Sequence[str]
    region: str
    account: str
    partition: str
    tags: Mapping[str, str]


class Endpoints(pulumi.ComponentResource):
    s3_prefix_list: pulumi.Output[str]

    def __init__(self, name: str, args: EndpointsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tutti:network:Endpoints", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)

        def tags(what: str) -> dict[str, str]:
            return {**args.tags, "Name": f"{name}-{what}"}

        # The account's own buckets, ECR's layers and AL2023's packages: nothing can be carried to a stranger's bucket.
        gateway = aws.ec2.VpcEndpoint(
            f"{name}-s3",
            vpc_id=args.vpc_id,
            service_name=f"com.amazonaws.{args.region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=args.route_table_ids,
            policy=json.dumps(policies.s3_gateway(region=args.region, account=args.account, partition=args.partition)),
            tags=tags("s3"),
            opts=child,
        )
        if args.interfaces:
            group = aws.ec2.SecurityGroup(
                f"{name}-endpoints",
                vpc_id=args.vpc_id,
                description="AWS endpoints: HTTPS from the network's own addresses",
                tags=tags("endpoints"),
                opts=child,
            )
            aws.vpc.SecurityGroupIngressRule(
                f"{name}-endpoints",
                security_group_id=group.id,
                description="HTTPS from the network",
                cidr_ipv4=args.cidr,
                ip_protocol="tcp",
                from_port=443,
                to_port=443,
                tags=tags("endpoints"),
                opts=child,
            )
            for service in args.interfaces:
                aws.ec2.VpcEndpoint(
                    f"{name}-{service}",
                    vpc_id=args.vpc_id,
                    service_name=f"com.amazonaws.{args.region}.{service}",
                    vpc_endpoint_type="Interface",
                    private_dns_enabled=True,
                    subnet_ids=list(args.subnets.values()),
                    security_group_ids=[group.id],
                    tags=tags(service),
                    opts=child,
                )
        self.s3_prefix_list = gateway.prefix_list_id
        self.register_outputs({"s3_prefix_list": self.s3_prefix_list})
