"""What the configuration may say of a pool, and what follows from it once its instance types are known. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from infra.image_config import ImageConfig
from infra.instances import InstanceType
from infra.naming import PART_NAME
from infra.reading import Problems
from workload.contract import PoolKind
from workload.documents import usable_memory_mib

DEFAULT_TYPES: Final = {
    PoolKind.MPI: ("c7i.2xlarge",),
    PoolKind.GPU: (),
    PoolKind.SINGLE: ("c7i.2xlarge", "m7i.2xlarge", "c6i.2xlarge", "m6i.2xlarge"),
}
DEFAULT_SPOT_PERCENT: Final = 75
RESERVATION: Final = re.compile(r"cr-[0-9a-f]{17}|arn:aws[a-z-]*:resource-groups:.+")
AMI: Final = re.compile(r"ami-[0-9a-f]{8,17}")
RANGES: Final = {
    "max_vcpus": (1, 200_000, 256),
    "disk_gib": (30, 16_384, 100),  # the image of ECS needs 30
    "disk_mibps": (125, 1000, 500),  # gp3
    "stop_timeout": (30, 120, 30),  # seconds from SIGTERM to SIGKILL; a Spot notice comes 120 s ahead
    "capacity_wait_minutes": (10, 1440, 240),  # jobStateTimeLimitActions
    "node_mtbf_days": (0, 36_500, 365),  # 0: not measured
}


class Scratch(StrEnum):
    DISK = "disk"
    INSTANCE_STORE = "instance-store"


@dataclass(frozen=True, kw_only=True)
class PoolConfig:
    name: str
    kind: PoolKind
    instance_types: tuple[str, ...] = ()
    zone: str = ""
    max_vcpus: int = 256
    images: tuple[str, ...] = ()
    efa: bool = False
    efa_interfaces: int = 0
    ami: str = ""
    disk_gib: int = 100
    disk_mibps: int = 500
    scratch: Scratch = Scratch.DISK
    reservation: str = ""
    stop_timeout: int = 30
    capacity_wait_minutes: int = 240
    node_mtbf_days: int = 0
    spot_percent: int | None = None
    fargate: bool = False

    @property
    def types(self) -> tuple[str, ...]:
        return () if self.fargate else self.instance_types or DEFAULT_TYPES[self.kind]

    @property
    def multi_node(self) -> bool:
        return self.kind is not PoolKind.SINGLE


@dataclass(frozen=True, kw_only=True)
class PoolPlan:
    """A pool as it will be made. vCPUs, cores, memory (MiB) and GPUs are a node's, and memory is what a job may ask."""

    config: PoolConfig
    types: tuple[InstanceType, ...]
    zones: tuple[str, ...]
    images: tuple[ImageConfig, ...]
    vcpus: int
    cores: int
    memory_mib: int
    gpus: int
    efa_interfaces: int
    nitro: int

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def spot_vcpus(self) -> int:
        percent = DEFAULT_SPOT_PERCENT if self.config.spot_percent is None else self.config.spot_percent
        single = self.config.kind is PoolKind.SINGLE and not self.config.fargate
        return math.floor(self.config.max_vcpus * percent / 100) if single else 0

    @property
    def on_demand_vcpus(self) -> int:
        return self.config.max_vcpus - self.spot_vcpus

    @property
    def most_nodes(self) -> int:
        """Whole nodes under the pool's limit, at least one."""
        return max(self.config.max_vcpus // self.vcpus, 1)


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a pool is checked against."""

    instance_type: Callable[[str], InstanceType | None]
    zones: tuple[str, ...]  # those with a subnet
    images: Sequence[ImageConfig]
    endpoints_only: bool
    single_vcpus: int
    single_memory_mib: int


def plan_pool(pool: PoolConfig, at: str, around: Surroundings, problems: Problems) -> PoolPlan | None:
    """The pool's plan, or None with the problems noted. `at` is the pool's place in the configuration."""
    before = len(problems)
    _check_alone(pool, at, problems)
    if pool.zone and pool.zone not in around.zones:
        problems.refuse(
            f"{at}.zone", pool.zone, f"a zone with a subnet: {', '.join(around.zones)}", example=_first(around.zones)
        )
    types = []
    for name in pool.types:
        if (known := around.instance_type(name)) is None:
            problems.refuse(
                f"{at}.instance_types", name, "instance types that the region offers", example=["c7i.2xlarge"]
            )
        else:
            types.append(known)
            _check_type(pool, known, at, problems)
    if pool.efa and around.endpoints_only and not pool.ami:
        reason = "an AMI with EFA in it: with egress `endpoints` the installer cannot be fetched"
        problems.refuse(f"{at}.ami", pool.ami, reason, example="ami-...")
    images = _images(pool, types, at, around, problems)
    if len(problems) > before or not (types or pool.fargate):
        return None
    planned = _plan(pool, types, images, around)
    _check_fit(planned, at, around, problems)
    return planned if len(problems) == before else None


def _check_alone(pool: PoolConfig, at: str, problems: Problems) -> None:
    if not PART_NAME.fullmatch(pool.name):
        problems.refuse(f"{at}.name", pool.name, "lower-case letters and digits, 16 at most", example="mpi")
    for name, (least, most, usual) in RANGES.items():
        if not least <= getattr(pool, name) <= most:
            problems.refuse(f"{at}.{name}", getattr(pool, name), f"{least}-{most}", example=usual)
    if pool.multi_node:
        for name, value in (("spot_percent", pool.spot_percent), ("fargate", pool.fargate)):
            if value:
                reason = "nothing: multi-node jobs run on On-Demand EC2 alone, elsewhere they wait RUNNABLE for ever"
                problems.refuse(f"{at}.{name}", value, reason, example=0 if name == "spot_percent" else False)
        if len(pool.types) != 1:
            problems.refuse(
                f"{at}.instance_types",
                list(pool.instance_types),
                "one instance type: all nodes of a gang are alike",
                example=["p4d.24xlarge" if pool.kind is PoolKind.GPU else "c7i.2xlarge"],
            )
    elif pool.efa:
        problems.refuse(f"{at}.efa", True, "false: only gangs use it", example=False)
    if pool.spot_percent is not None and not 0 <= pool.spot_percent <= 100:
        problems.refuse(f"{at}.spot_percent", pool.spot_percent, "0-100", example=DEFAULT_SPOT_PERCENT)
    if pool.fargate and (pool.instance_types or pool.spot_percent or pool.ami or pool.reservation):
        reason = "alone: Fargate has no instance_types, spot_percent, ami or reservation"
        problems.refuse(f"{at}.fargate", True, reason, example=False)
    if pool.efa_interfaces and not pool.efa:
        problems.refuse(f"{at}.efa_interfaces", pool.efa_interfaces, "0 without efa", example=0)
    if pool.ami and not AMI.fullmatch(pool.ami):
        problems.refuse(f"{at}.ami", pool.ami, "an AMI's id", example="ami-0123456789abcdef0")
    if pool.reservation and not RESERVATION.fullmatch(pool.reservation):
        problems.refuse(
            f"{at}.reservation",
            pool.reservation,
            "a capacity reservation's id or a resource group's ARN",
            example="cr-0123456789abcdef0",
        )


def _check_type(pool: PoolConfig, kind: InstanceType, at: str, problems: Problems) -> None:
    types = f"{at}.instance_types"
    if not kind.enhanced_networking:
        problems.refuse(types, kind.name, "types with enhanced networking (ENA)", example=["c7i.2xlarge"])
    if pool.multi_node and not kind.placement_group:
        problems.refuse(types, kind.name, "types that a cluster placement group takes", example=["c7i.2xlarge"])
    if pool.kind is PoolKind.GPU and not kind.gpus:
        problems.refuse(types, kind.name, "types with a GPU", example=["p4d.24xlarge"])
    if pool.efa and not kind.efa_interfaces:
        problems.refuse(f"{at}.efa", True, f"false: {kind.name} has no EFA", example=False)
    elif pool.efa and pool.efa_interfaces > kind.most_efa_interfaces:
        reason = (
            f"0-{kind.most_efa_interfaces}: {kind.name} has {kind.network_cards} network card(s) and "
            f"{kind.interfaces or 'an unknown number of'} interfaces, of which the task needs one"
        )
        problems.refuse(f"{at}.efa_interfaces", pool.efa_interfaces, reason, example=kind.most_efa_interfaces)
    if pool.scratch is Scratch.INSTANCE_STORE and not kind.storage_gb:
        problems.refuse(f"{at}.scratch", "instance-store", f"disk: {kind.name} has no instance store", example="disk")


def _images(
    pool: PoolConfig, types: Sequence[InstanceType], at: str, around: Surroundings, problems: Problems
) -> tuple[ImageConfig, ...]:
    """The images that run on the pool: those it names, else all of its architecture."""
    known = {image.name: image for image in around.images}
    architectures = {kind.architecture for kind in types}
    if len(architectures) > 1:
        problems.refuse(f"{at}.instance_types", list(pool.types), "types of one architecture", example=[pool.types[0]])
        return ()
    for name in pool.images:
        if name not in known:
            problems.refuse(f"{at}.images", name, f"names of images: {', '.join(known)}", example=sorted(known))
        elif types and known[name].architecture not in architectures:
            reason = f"images for {next(iter(architectures))}, as {pool.types[0]} is"
            problems.refuse(f"{at}.images", f"{name} for {known[name].architecture}", reason, example=[])
    chosen = [known[n] for n in pool.images if n in known] if pool.images else list(known.values())
    fitting = tuple(i for i in chosen if not types or i.architecture in architectures)
    if known and types and not fitting and not pool.images:
        platform = "linux/arm64" if architectures == {"arm64"} else "linux/amd64"
        reason = f"types for an image that there is; no image is built for {platform}"
        problems.refuse(f"{at}.instance_types", list(pool.types), reason, example=["c7i.2xlarge"])
    return fitting[:1] if pool.fargate and len({i.architecture for i in fitting}) > 1 else fitting


def _plan(
    pool: PoolConfig, types: Sequence[InstanceType], images: tuple[ImageConfig, ...], around: Surroundings
) -> PoolPlan:
    if not types:  # Fargate: each job has a machine of its own size
        size = (around.single_vcpus, around.single_vcpus, around.single_memory_mib, 0)
        efa = 0
    else:
        widest = max(types, key=lambda kind: kind.memory_mib)
        size = (widest.vcpus, widest.cores, usable_memory_mib(widest.memory_mib), widest.gpus)
        efa = (pool.efa_interfaces or widest.most_efa_interfaces) if pool.efa else 0
    zones = (pool.zone,) if pool.zone else around.zones[:1] if pool.multi_node else around.zones
    return PoolPlan(
        config=pool,
        types=tuple(types),
        zones=zones,
        images=images,
        vcpus=size[0],
        cores=size[1],
        memory_mib=size[2],
        gpus=size[3],
        efa_interfaces=efa,
        nitro=max((kind.nitro for kind in types), default=0),
    )


def _check_fit(plan: PoolPlan, at: str, around: Surroundings, problems: Problems) -> None:
    if plan.config.multi_node or plan.config.fargate:
        return
    if around.single_vcpus > plan.vcpus:
        problems.refuse("singleVcpus", around.single_vcpus, f"1-{plan.vcpus}, what {at} offers", example=plan.vcpus)
    if around.single_memory_mib > plan.memory_mib:
        allowed = f"1-{plan.memory_mib}, what an instance of {at} offers a task (0.92 of its memory)"
        problems.refuse("singleMemoryMib", around.single_memory_mib, allowed, example=plan.memory_mib)


def _first(zones: Sequence[str]) -> str:
    return zones[0] if zones else "..."
