"""Subnets, routes, endpoints, security groups and the file system of a pool, asked of EC2 and EFS."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from tutti.why.asker import Asker
from tutti.why.facts import Environment, FileSystem, Network, SecurityGroup, Subnet
from tutti.why.mounting import mount_of, policy_allows

if TYPE_CHECKING:
    from tutti.cluster import Cluster

ANYWHERE: Final = "0.0.0.0/0"
NFS: Final = 2049
DELETED: Final = "deleted"  # EFS's own word for a file system that it no longer knows


def network_of(cluster: Cluster, environment: Environment) -> Network:
    """The network that an environment's nodes live in."""
    ec2 = cluster.client("ec2")
    described = ec2.describe_subnets(SubnetIds=list(environment.subnets))["Subnets"]
    vpcs = sorted({subnet["VpcId"] for subnet in described})
    in_vpcs = [{"Name": "vpc-id", "Values": vpcs}]
    tables = ec2.describe_route_tables(Filters=in_vpcs)["RouteTables"]
    endpoints = ec2.describe_vpc_endpoints(Filters=in_vpcs)["VpcEndpoints"]
    own = list(environment.security_groups)  # to ask for none is to ask for all
    groups = ec2.describe_security_groups(GroupIds=own)["SecurityGroups"] if own else []
    ready = [endpoint for endpoint in endpoints if endpoint.get("State", "").lower() == "available"]
    gateways = {
        table
        for endpoint in ready
        if endpoint.get("VpcEndpointType") == "Gateway" and endpoint["ServiceName"].endswith(".s3")
        for table in endpoint.get("RouteTableIds", [])
    }
    return Network(
        subnets=tuple(_subnet(subnet, tables, gateways) for subnet in described),
        groups=tuple(security_group(group) for group in groups),
        endpoints=frozenset(
            service_of(endpoint["ServiceName"], cluster.card.region)
            for endpoint in ready
            if endpoint.get("VpcEndpointType") == "Interface"
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
        nat=any(not _to_internet_gateway(r) for r in way_out),
        public=any(_to_internet_gateway(r) for r in way_out),
        s3_gateway=table.get("RouteTableId", "") in gateways,
    )


def _to_internet_gateway(route: Mapping[str, Any]) -> bool:
    return str(route.get("GatewayId", "")).startswith("igw-")


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


def file_system_of(
    ask: Asker, cluster: Cluster, zone: str, node_groups: tuple[str, ...], container: Mapping[str, Any]
) -> FileSystem | None:
    """The shared file system, and whether nodes of this zone in these groups reach it, and their container may mount it."""
    name = cluster.card.file_system
    found = ask.part("the file system", lambda: _file_system(cluster, zone, node_groups), on=name)
    if found is None or found.state == DELETED:
        return found
    policy = ask.part("the file system's policy", lambda: _policy(cluster), on=name)
    allows = None if policy is None else policy_allows(json.loads(policy), mount_of(container, name))
    return replace(found, policy_allows=allows)


def _file_system(cluster: Cluster, zone: str, node_groups: tuple[str, ...]) -> FileSystem:
    efs, ec2 = cluster.client("efs"), cluster.client("ec2")
    name = cluster.card.file_system
    try:
        state = efs.describe_file_systems(FileSystemId=name)["FileSystems"][0]["LifeCycleState"]
    except efs.exceptions.FileSystemNotFound:
        return FileSystem(id=name, state=DELETED, zones=frozenset(), nfs_open=False)
    targets = [
        target
        for target in efs.describe_mount_targets(FileSystemId=name)["MountTargets"]
        if target["LifeCycleState"] == "available"
    ]
    near = [target for target in targets if target["AvailabilityZoneName"] == zone] or targets
    ids = sorted(
        {
            group
            for target in near
            for group in efs.describe_mount_target_security_groups(MountTargetId=target["MountTargetId"])[
                "SecurityGroups"
            ]
        }
    )
    groups = ec2.describe_security_groups(GroupIds=ids)["SecurityGroups"] if ids else []
    return FileSystem(
        id=name,
        state=state,
        zones=frozenset(target["AvailabilityZoneName"] for target in targets),
        nfs_open=not node_groups or any(nfs_open(group, node_groups) for group in groups),
    )


def _policy(cluster: Cluster) -> str | None:
    """The file system's own policy; None where it has none, which lets everybody in who reaches it."""
    efs = cluster.client("efs")
    try:
        return str(efs.describe_file_system_policy(FileSystemId=cluster.card.file_system)["Policy"])
    except efs.exceptions.PolicyNotFound:
        return None


def nfs_open(group: dict[str, Any], node_groups: tuple[str, ...]) -> bool:
    """Whether a mount target's group lets NFS in from one of the nodes' groups."""
    for rule in group.get("IpPermissions", []):
        everything = rule.get("IpProtocol") == "-1"
        if not everything and not (rule.get("FromPort", NFS + 1) <= NFS <= rule.get("ToPort", NFS - 1)):
            continue
        ranges = rule.get("IpRanges") or rule.get("PrefixListIds")
        if ranges or any(pair.get("GroupId") in node_groups for pair in rule.get("UserIdGroupPairs", [])):
            return True
    return False
