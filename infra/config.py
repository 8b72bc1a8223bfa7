"""The stack's configuration: the only reader of `pulumi.Config`. All problems are told at once, before any resource.

Types, defaults and meanings stand in Pulumi.yaml; `Keys` has one field for each key there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network
from typing import Final

import pulumi
from pulumi.runtime import config as engine

from infra import checks
from infra.access import AccessPoint
from infra.facts import Facts, Vpc
from infra.image_config import ImageConfig
from infra.naming import Names
from infra.pool_config import PoolConfig, PoolPlan, Surroundings, plan_pool
from infra.reading import Problems, read_stack

PROJECT: Final = "tutti"
USUAL_ZONES: Final = 2


class Egress(StrEnum):
    NAT = "nat"
    ENDPOINTS = "endpoints"


class LustreType(StrEnum):
    SCRATCH_2 = "SCRATCH_2"
    PERSISTENT_2 = "PERSISTENT_2"


class Intensity(StrEnum):
    MEDIUM = "medium"
    LOW = "low"
    HIGH = "high"


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Every key of the stack, typed. No defaults: those are in Pulumi.yaml."""

    group: str
    vpc_cidr: IPv4Network
    vpc_id: str
    subnet_ids: tuple[str, ...]
    shared: str
    egress: Egress
    zones: tuple[str, ...]
    flow_logs: bool
    efs_throughput_mibps: int
    efs_lifecycle_days: int
    access_points: tuple[AccessPoint, ...]
    lustre_gib: int
    lustre_type: LustreType
    images: tuple[ImageConfig, ...]
    pools: tuple[PoolConfig, ...]
    mpi_nodes: int
    mpi_timeout_minutes: int
    parameterized_nodes: int
    parameterized_timeout_minutes: int
    input_data_path: str
    output_data_path: str
    compute_intensity: Intensity
    single_vcpus: int
    single_memory_mib: int
    single_timeout_minutes: int
    attempts: int
    alarm_addresses: tuple[str, ...]
    budget_usd: int
    budget_stops: bool
    budget_stop_roles: tuple[str, ...]
    log_retention_days: int
    debug: bool
    audit: bool
    keep_data: bool
    tags: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    """The configuration, checked against what the region offers. `subnets` are those of the existing `vpc`, by zone."""

    keys: Keys
    names: Names
    zones: tuple[str, ...]
    vpc: Vpc | None
    subnets: Mapping[str, str]
    pools: tuple[PoolPlan, ...]

    @property
    def tags(self) -> dict[str, str]:
        return self.names.tags(self.keys.tags)

    @property
    def shares_only(self) -> bool:
        return not self.pools


def load(facts: Facts, stack: str) -> StackConfig:
    """Read and check the configuration of the running stack.

    Raises
    ------
    ConfigError
        With every problem that there is: unknown keys, wrong types, values out of range, contradictions.
    """
    return check(_texts(), facts, stack)


def check(texts: Mapping[str, str], facts: Facts, stack: str) -> StackConfig:
    """`load` for configuration given as the engine keeps it: strings, structured values as JSON."""
    problems = Problems()
    keys, unread = read_stack(Keys, texts, problems)
    readable = len(problems)
    names = Names(stack=stack, group=keys.group or stack)
    checks.check_stack(stack, names.group, problems)
    vpc = _vpc(keys, facts, problems) if keys.vpc_id else None
    zones, subnets = _zones(keys, facts, problems)
    checks.check_keys(keys, names.group, facts, problems)
    around = Surroundings(
        instance_type=facts.instance_type,
        zones=zones,
        images=keys.images,
        endpoints_only=keys.egress is Egress.ENDPOINTS,
        single_vcpus=keys.single_vcpus,
        single_memory_mib=keys.single_memory_mib,
    )
    pools = [plan_pool(pool, f"pools[{i}]", around, problems) for i, pool in enumerate(keys.pools)]
    made = tuple(pool for pool in pools if pool is not None)
    checks.check_pools(keys, made, problems)
    problems.finish(unread, readable=readable)
    return StackConfig(keys=keys, names=names, zones=zones, vpc=vpc, subnets=subnets, pools=made)


def _texts() -> dict[str, str]:
    """Our project's keys as the engine gives them: in the process's environment, or set by a test."""
    everything = {**(engine.get_config_env() or {}), **engine.CONFIG.get()}
    prefix = f"{pulumi.get_project()}:"
    return {key.removeprefix(prefix): value for key, value in everything.items() if key.startswith(prefix)}


def _zones(keys: Keys, facts: Facts, problems: Problems) -> tuple[tuple[str, ...], dict[str, str]]:
    """The zones in use and, in an existing VPC, the subnet of each."""
    if keys.vpc_id:
        return _existing(keys, facts, problems)
    offered = facts.zones()
    for zone in keys.zones:
        if zone not in offered:
            allowed = f"zones of {facts.region}: {', '.join(offered)}"
            problems.refuse("zones", zone, allowed, example=list(offered[:USUAL_ZONES]))
    if len(set(keys.zones)) < len(keys.zones):
        problems.refuse("zones", list(keys.zones), "each zone once", example=sorted(set(keys.zones)))
    return keys.zones or offered[:USUAL_ZONES], {}


def _vpc(keys: Keys, facts: Facts, problems: Problems) -> Vpc | None:
    found = facts.vpc(keys.vpc_id)
    if found is None:
        problems.refuse("vpcId", keys.vpc_id, f"a VPC of this account in {facts.region}", example="vpc-...")
    elif not found.names:
        allowed = "a VPC with DNS support and DNS host names on: file systems and endpoints are found by name"
        problems.refuse("vpcId", keys.vpc_id, allowed, example="vpc-...")
    return found


def _existing(keys: Keys, facts: Facts, problems: Problems) -> tuple[tuple[str, ...], dict[str, str]]:
    subnets: dict[str, str] = {}
    for subnet_id in keys.subnet_ids:
        subnet = facts.subnet(subnet_id)
        if subnet is None or subnet.vpc_id != keys.vpc_id:
            problems.refuse("subnetIds", subnet_id, f"subnets of {keys.vpc_id}", example=["subnet-..."])
        elif subnet.zone in subnets:
            allowed = f"one subnet a zone; {subnets[subnet.zone]} is in {subnet.zone} already"
            problems.refuse("subnetIds", subnet_id, allowed, example=list(subnets.values()))
        elif subnet.public:
            allowed = "private subnets: multi-node jobs have no public address, so nothing leads out of a public one"
            problems.refuse("subnetIds", subnet_id, allowed, example=["subnet-..."])
        else:
            subnets[subnet.zone] = subnet_id
    if keys.zones:
        problems.refuse("zones", list(keys.zones), "[] in an existing VPC: its subnets say the zones", example=[])
    return tuple(subnets), subnets
