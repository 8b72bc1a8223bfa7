"""The checks of the stack's configuration that are no pool's, image's or access point's own. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Final

from infra import cidr
from infra.access import check_access_points
from infra.facts import Facts
from infra.image_config import check_images
from infra.naming import STACK_NAME
from infra.pool_config import PoolPlan
from infra.reading import Problems
from workload.contract import Limits

if TYPE_CHECKING:  # Keys is made of what is checked here
    from infra.config import Keys

IA_DAYS: Final = (0, 1, 7, 14, 30, 60, 90, 180, 270, 365)
RETENTION_DAYS: Final = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 3653)
EFS_MIBPS: Final = 3414
LUSTRE_SMALLEST: Final = 1200
LUSTRE_STEP: Final = 2400
MOST_MINUTES: Final = 14 * 24 * 60
FARGATE_MEMORY: Final = {  # vCPUs -> least, most, step of memory in MiB (AWS Fargate task sizes)
    1: (2048, 8192, 1024),
    2: (4096, 16_384, 1024),
    4: (8192, 30_720, 1024),
    8: (16_384, 61_440, 4096),
    16: (32_768, 122_880, 8192),
}
# A host's own networks: Docker's bridge, and the link-local addresses of ECS's credentials and metadata.
TAKEN: Final = (IPv4Network("172.17.0.0/16"), IPv4Network("169.254.0.0/16"))
SHARED: Final = re.compile(r"[^/\s]+/[^/\s]+/[^/\s]+")
TAG: Final = re.compile(r"(?!aws:)[\w .:/=+@-]{1,128}")
OWN_TAGS: Final = 4
BUDGET_ADDRESSES: Final = 10  # to which AWS Budgets sends one notification


def check_stack(stack: str, group: str, problems: Problems) -> None:
    for key, name in (("stack", stack), ("group", group)):
        if not STACK_NAME.fullmatch(name):
            allowed = "a lower-case letter, then letters, digits and dashes, 24 at most"
            problems.refuse(key, name, allowed, example="astro")


def check_keys(keys: Keys, group: str, facts: Facts, problems: Problems) -> None:
    """Every key that says nothing of pools."""
    _check_network(keys, facts, problems)
    check_access_points(keys.access_points, group, problems)
    check_images(keys.images, shared=keys.shared, problems=problems)
    if keys.pools and not keys.images:
        problems.refuse("images", [], "one image or more for the pools", example=[{"name": "tutti"}])
    _check_numbers(keys, problems)
    for address in keys.alarm_addresses:
        if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", address):
            problems.refuse("alarmAddresses", address, "e-mail addresses", example=["ops@example.org"])
    if keys.budget_usd and len(keys.alarm_addresses) > BUDGET_ADDRESSES:
        allowed = f"{BUDGET_ADDRESSES} addresses at most where budgetUsd is set: AWS Budgets mails no more"
        problems.refuse("alarmAddresses", len(keys.alarm_addresses), allowed, example=["ops@example.org"])
    for name in keys.tags:
        if not TAG.fullmatch(name):
            problems.refuse("tags", name, "tag keys that do not start with aws:", example={"project": "x"})
    if len(keys.tags) > Limits.TAGS - OWN_TAGS:
        problems.refuse("tags", len(keys.tags), f"{Limits.TAGS - OWN_TAGS} tags at most", example={})
    if keys.audit and keys.pools:
        allowed = "false: an account has one recorder a region, so it belongs to a stack that only shares (pools [])"
        problems.refuse("audit", True, allowed, example=False)
    if keys.budget_stops and not (keys.budget_usd and keys.budget_stop_roles):
        allowed = "false, or a budgetUsd above 0 and the roles of budgetStopRoles, which are then denied SubmitJob"
        problems.refuse("budgetStops", True, allowed, example=False)


def check_pools(keys: Keys, pools: Sequence[PoolPlan], problems: Problems) -> None:
    """What pools must be among each other, and what the network must hold for them."""
    seen: set[str] = set()
    images = {image.name for image in keys.images}
    for i, pool in enumerate(keys.pools):
        if pool.name in seen:
            problems.refuse(f"pools[{i}].name", pool.name, "a name that no other pool has", example=f"{pool.name}2")
        if pool.name in images:
            allowed = "a name that no image has: definitions are named after both"
            problems.refuse(f"pools[{i}].name", pool.name, allowed, example=f"{pool.name}2")
        seen.add(pool.name)
        if pool.fargate:
            _check_fargate(keys, problems)
    if keys.vpc_id or keys.shared or keys.vpc_cidr.prefixlen not in cidr.VPC_PREFIXES:
        return
    room = cidr.nodes_that_fit(cidr.plan(keys.vpc_cidr, 1)[0].private)
    for plan in pools:
        if plan.config.multi_node and plan.most_nodes > room:
            at = next(i for i, pool in enumerate(keys.pools) if pool is plan.config)
            allowed = f"1-{room * plan.vcpus}: a zone of {keys.vpc_cidr} has addresses for {room} nodes"
            problems.refuse(f"pools[{at}].max_vcpus", plan.config.max_vcpus, allowed, example=room * plan.vcpus)


def _check_network(keys: Keys, facts: Facts, problems: Problems) -> None:
    if keys.vpc_cidr.prefixlen not in cidr.VPC_PREFIXES:
        allowed = f"/{cidr.VPC_PREFIXES.start} to /{cidr.VPC_PREFIXES.stop - 1}"
        problems.refuse("vpcCidr", str(keys.vpc_cidr), allowed, example="10.0.0.0/16")
    for taken in TAKEN:
        if keys.vpc_cidr.overlaps(taken):
            allowed = f"a network that does not overlap {taken}, which the hosts use themselves"
            problems.refuse("vpcCidr", str(keys.vpc_cidr), allowed, example="10.0.0.0/16")
    if len(keys.zones) > cidr.BLOCKS:
        problems.refuse("zones", len(keys.zones), f"{cidr.BLOCKS} zones at most", example=list(facts.zones()[:2]))
    if bool(keys.vpc_id) != bool(keys.subnet_ids):
        allowed = "both vpcId and subnetIds, or neither"
        problems.refuse("subnetIds", list(keys.subnet_ids), allowed, example=["subnet-..."])
    if keys.shared and keys.vpc_id:
        problems.refuse("vpcId", keys.vpc_id, "none where `shared` names a stack: its network is used", example="")
    if keys.shared and not SHARED.fullmatch(keys.shared):
        problems.refuse("shared", keys.shared, "organization/project/stack", example="organization/tutti/shared")
    if keys.shared and not keys.pools:
        problems.refuse("pools", [], "a pool or more: a stack that only shares has a network of its own", example=None)


def _check_numbers(keys: Keys, problems: Problems) -> None:
    nodes, minutes = (Limits.NODES.start, Limits.NODES.stop - 1), (1, MOST_MINUTES)
    for key, value, (least, most), usual in (
        ("mpiNodes", keys.mpi_nodes, nodes, 2),
        ("parameterizedNodes", keys.parameterized_nodes, nodes, 4),
        ("mpiTimeoutMinutes", keys.mpi_timeout_minutes, minutes, 60),
        ("parameterizedTimeoutMinutes", keys.parameterized_timeout_minutes, minutes, 120),
        ("singleTimeoutMinutes", keys.single_timeout_minutes, minutes, 60),
        ("attempts", keys.attempts, (Limits.ATTEMPTS.start, Limits.ATTEMPTS.stop - 1), 3),
        ("efsThroughputMibps", keys.efs_throughput_mibps, (0, EFS_MIBPS), 0),
        ("singleVcpus", keys.single_vcpus, (1, 1024), 4),
        ("singleMemoryMib", keys.single_memory_mib, (4, 2**25), 8192),
        ("budgetUsd", keys.budget_usd, (0, 10**9), 0),
    ):
        if not least <= value <= most:
            problems.refuse(key, value, f"{least}-{most}", example=usual)
    for key, value, choices in (
        ("efsLifecycleDays", keys.efs_lifecycle_days, IA_DAYS),
        ("logRetentionDays", keys.log_retention_days, RETENTION_DAYS),
    ):
        if value not in choices:
            problems.refuse(key, value, "one of " + ", ".join(map(str, choices)), example=30)
    if keys.lustre_gib not in (0, LUSTRE_SMALLEST) and (keys.lustre_gib % LUSTRE_STEP or keys.lustre_gib < 0):
        allowed = f"0, {LUSTRE_SMALLEST} or a multiple of {LUSTRE_STEP}"
        problems.refuse("lustreGib", keys.lustre_gib, allowed, example=LUSTRE_SMALLEST)
    for key, path in (("inputDataPath", keys.input_data_path), ("outputDataPath", keys.output_data_path)):
        if not path.startswith("/"):
            problems.refuse(key, path, "an absolute path in the container", example="/mnt/efs/input")


def _check_fargate(keys: Keys, problems: Problems) -> None:
    if (sizes := FARGATE_MEMORY.get(keys.single_vcpus)) is None:
        allowed = f"{', '.join(map(str, FARGATE_MEMORY))} on Fargate"
        problems.refuse("singleVcpus", keys.single_vcpus, allowed, example=4)
        return
    least, most, step = sizes
    if not least <= keys.single_memory_mib <= most or keys.single_memory_mib % step:
        allowed = f"{least}-{most} in steps of {step}, with {keys.single_vcpus} vCPUs on Fargate"
        problems.refuse("singleMemoryMib", keys.single_memory_mib, allowed, example=least)
