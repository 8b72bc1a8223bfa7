"""Network: a VPC with a private subnet in each zone, and, with egress `nat`, one NAT gateway."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

import pulumi
import pulumi_aws as aws

from infra import cidr, policies

ANYWHERE = "0.0.0.0/0"


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """Inputs of Network. `flow_log_days`: 0 for no flow logs, else the days they are kept."""

    cidr: IPv4Network
    zones: Sequence[str]
    nat: bool
    flow_log_days: int
    account: str
    tags: Mapping[str, str]


class Network(pulumi.ComponentResource):
    """Nodes have no public address (B14), so public subnets hold nothing but the NAT gateway."""

    vpc_id: pulumi.Output[str]
    subnets: Mapping[str, pulumi.Output[str]]
    route_table_ids: Sequence[pulumi.Output[str]]

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tutti:network:Network", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        self._name, self._args, self._child = name, args, child
        vpc = aws.ec2.Vpc(
            f"{name}-vpc",
            cidr_block=str(args.cidr),
            enable_dns_support=True,  # file systems and endpoints are found by name
            enable_dns_hostnames=True,
            tags=self._tags("vpc"),
            opts=child,
        )
        # The group that everything without one would fall into: no rules, so nothing can.
        aws.ec2.DefaultSecurityGroup(
            f"{name}-default", vpc_id=vpc.id, ingress=[], egress=[], tags=self._tags("default"), opts=child
        )
        table = aws.ec2.RouteTable(f"{name}-private", vpc_id=vpc.id, tags=self._tags("private"), opts=child)
        planned = cidr.plan(args.cidr, len(args.zones))
        subnets = {}
        for zone, blocks in zip(args.zones, planned, strict=True):
            subnet = aws.ec2.Subnet(
                f"{name}-private-{zone}",
                vpc_id=vpc.id,
                availability_zone=zone,
                cidr_block=str(blocks.private),
                map_public_ip_on_launch=False,
                tags=self._tags(f"private-{zone}"),
                opts=child,
            )
            aws.ec2.RouteTableAssociation(
                f"{name}-private-{zone}", subnet_id=subnet.id, route_table_id=table.id, opts=child
            )
            subnets[zone] = subnet.id
        if args.nat:
            self._nat(vpc, table, str(planned[0].public))
        if args.flow_log_days:
            self._flow_logs(vpc)
        self.vpc_id = vpc.id
        self.subnets = subnets
        self.route_table_ids = [table.id]
        self.register_outputs({"vpc_id": self.vpc_id, "subnets": self.subnets})

    def _tags(self, what: str) -> dict[str, str]:
        return {**self._args.tags, "Name": f"{self._name}-{what}"}

    def _nat(self, vpc: aws.ec2.Vpc, private: aws.ec2.RouteTable, block: str) -> None:
        """One gateway in the first zone, for all zones: a second costs 33 USD a month and saves 0.01 USD/GB."""
        name, zone, child = self._name, self._args.zones[0], self._child
        gateway = aws.ec2.InternetGateway(f"{name}-internet", vpc_id=vpc.id, tags=self._tags("internet"), opts=child)
        subnet = aws.ec2.Subnet(
            f"{name}-public-{zone}",
            vpc_id=vpc.id,
            availability_zone=zone,
            cidr_block=block,
            map_public_ip_on_launch=False,
            tags=self._tags(f"public-{zone}"),
            opts=child,
        )
        table = aws.ec2.RouteTable(f"{name}-public", vpc_id=vpc.id, tags=self._tags("public"), opts=child)
        aws.ec2.Route(
            f"{name}-public",
            route_table_id=table.id,
            destination_cidr_block=ANYWHERE,
            gateway_id=gateway.id,
            opts=child,
        )
        routed = aws.ec2.RouteTableAssociation(
            f"{name}-public-{zone}", subnet_id=subnet.id, route_table_id=table.id, opts=child
        )
        address = aws.ec2.Eip(f"{name}-nat", domain="vpc", tags=self._tags("nat"), opts=child)
        nat = aws.ec2.NatGateway(
            f"{name}-nat",
            subnet_id=subnet.id,
            allocation_id=address.id,
            tags=self._tags("nat"),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[gateway, routed]),
        )
        aws.ec2.Route(
            f"{name}-private",
            route_table_id=private.id,
            destination_cidr_block=ANYWHERE,
            nat_gateway_id=nat.id,
            opts=child,
        )

    def _flow_logs(self, vpc: aws.ec2.Vpc) -> None:
        name, child = self._name, self._child
        group = aws.cloudwatch.LogGroup(
            f"{name}-flow", retention_in_days=self._args.flow_log_days, tags=self._tags("flow"), opts=child
        )
        role = aws.iam.Role(
            f"{name}-flow",
            assume_role_policy=json.dumps(policies.trust("vpc-flow-logs.amazonaws.com", account=self._args.account)),
            tags=self._tags("flow"),
            opts=child,
        )
        aws.iam.RolePolicy(
            f"{name}-flow",
            role=role.id,
            policy=group.arn.apply(lambda arn: json.dumps(policies.write_logs(arn))),
            opts=child,
        )
        aws.ec2.FlowLog(
            f"{name}-flow",
            vpc_id=vpc.id,
            traffic_type="REJECT",
            log_destination=group.arn,
            iam_role_arn=role.arn,
            tags=self._tags("flow"),
            opts=child,
        )
