"""Subnets, routes, endpoints, security groups and the file system of a pool, asked of EC2 and EFS."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from tutti.why.facts import Environment, FileSystem, Network, SecurityGroup, Subnet
from tutti.why.mounting import mount_of, policy_allows

if TYPE_CHECKING:
    from tutti.cluster import Cluster

ANYWHERE: Final = "0.0.0.0/0"
NFS: Final = 2049


def network_of(cluster: Cluster, environment: Environment) -> Network:
    """The network that an environment's nodes live in."""
    ec2 = cluster.client("ec2")
    described = ec2.describe_subnets(SubnetIds=list(environment.subnets))["Subnets"]
    vpcs = sorted({subnet["VpcId"] for subnet in described})
    in_vpcs = [{"Name": "vpc-id", "Values": vpcs}]
    tables = ec2.describe_route_tables(Filters=in_vpcs)["RouteTables"]
    endpoints = ec2.describe_vpc_endpoints(Filters=in_vpcs)["VpcEndpoints"]
    groups = ec2.describe_security_groups(GroupIds=list(environment.security_groups))["SecurityGroups"]
    gateways = {
        table
        for endpoint in endpoints
        if endpoint.get("VpcEndpointType") == "Gateway" and endpoint["ServiceName"].endswith(".s3")
        for table in endpoint.get("RouteTableIds", [])
    }
    return Network(
        subnets=tuple(_subnet(subnet, tables, gateways) for subnet in described),
        groups=tuple(security_group(group) for group in groups),
        endpoints=frozenset(
            service_of(endpoint["ServiceName"], cluster.card.region)
            for endpoint in endpoints
            if endpoint.get("VpcEndpointType") == "Interface" and endpoint.get("State", "").lower() == "available"
        ),
    )


def service_of(name: str, region: str) -> str:
    """`com.amazonaws.eu-west-1.ecr.api` -> `ecr.api`."""
    return name.partition(f".{region}.")[2]


def _subnet(subnet: dict[str, Any], tables: list[dict[str, Any]], gateways: set[str]) -> Subnet:
    """A subnet under its own route table, or the VPC's main one where it has none."""
    table: dict[str, Any] = {}
    for candidate in tables:
        for association in candidate.get("Associations", []):
            if association.get("SubnetId") == subnet["SubnetId"]:
                table = candidate
                break
            if association.get("Main") and candidate["VpcId"] == subnet["VpcId"] and not table:
                table = candidate
        else:
            continue
        break
    way_out = [
        r
        for r in table.get("Routes", [])
        if r.get("DestinationCidrBlock") == ANYWHERE and r.get("State") != "blackhole"
    ]
    return Subnet(
        id=subnet["SubnetId"],
        zone=subnet["AvailabilityZone"],
        free_addresses=subnet["AvailableIpAddressCount"],
        nat=any(r.get("NatGatewayId") or r.get("TransitGatewayId") or r.get("InstanceId") for r in way_out),
        public=any(str(r.get("GatewayId", "")).startswith("igw-") for r in way_out),
        s3_gateway=table.get("RouteTableId", "") in gateways,
    )


def security_group(group: dict[str, Any]) -> SecurityGroup:
    """What a group lets through among its own members."""

    def to_itself(rules: list[dict[str, Any]]) -> bool:
        return any(
            rule.get("IpProtocol") == "-1"
            and any(pair.get("GroupId") == group["GroupId"] for pair in rule.get("UserIdGroupPairs", []))
            for rule in rules
        )

    out = group.get("IpPermissionsEgress", [])
    everywhere = any(
        rule.get("IpProtocol") == "-1" and any(r.get("CidrIp") == ANYWHERE for r in rule.get("IpRanges", []))
        for rule in out
    )
    return SecurityGroup(
        id=group["GroupId"],
        self_in=to_itself(group.get("IpPermissions", [])),
        self_out=to_itself(out),
        out_all=everywhere,
    )


def file_system_of(cluster: Cluster, node_groups: tuple[str, ...], container: Mapping[str, Any]) -> FileSystem:
    """The shared file system, and whether nodes in these groups reach it, and their container may mount it."""
    efs, ec2 = cluster.client("efs"), cluster.client("ec2")
    card = cluster.card
    system = efs.describe_file_systems(FileSystemId=card.file_system)["FileSystems"][0]
    targets = efs.describe_mount_targets(FileSystemId=card.file_system)["MountTargets"]
    ids = sorted(
        {
            g
            for t in targets
            for g in efs.describe_mount_target_security_groups(MountTargetId=t["MountTargetId"])["SecurityGroups"]
        }
    )
    groups = ec2.describe_security_groups(GroupIds=ids)["SecurityGroups"] if ids else []
    policy: str | None = None
    try:
        policy = efs.describe_file_system_policy(FileSystemId=card.file_system)["Policy"]
    except efs.exceptions.PolicyNotFound:
        policy = None
    return FileSystem(
        id=card.file_system,
        state=system["LifeCycleState"],
        zones=frozenset(target["AvailabilityZoneName"] for target in targets),
        nfs_open=any(nfs_open(group, node_groups) for group in groups),
        policy_allows=None
        if policy is None
        else policy_allows(json.loads(policy), mount_of(container, card.file_system)),
    )


def nfs_open(group: dict[str, Any], node_groups: tuple[str, ...]) -> bool:
    """Whether a mount target's group lets NFS in from one of the nodes' groups."""
    for rule in group.get("IpPermissions", []):
        everything = rule.get("IpProtocol") == "-1"
        if not everything and not (rule.get("FromPort", NFS + 1) <= NFS <= rule.get("ToPort", NFS - 1)):
            continue
        if any(pair.get("GroupId") in node_groups for pair in rule.get("UserIdGroupPairs", [])) or rule.get("IpRanges"):
            return True
    return False
