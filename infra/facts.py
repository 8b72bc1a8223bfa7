"""What the region and the account offer, asked of AWS before anything is made. Reads only: no resources."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeVar

import pulumi_aws as aws

from infra.instances import InstanceType

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Subnet:
    id: str
    vpc_id: str
    zone: str
    public: bool  # instances get a public address there


@dataclass(frozen=True, kw_only=True)
class Vpc:
    id: str
    cidr: str
    names: bool  # DNS support and host names are both on


class Facts(Protocol):
    """What the checks ask; `AwsFacts` answers from AWS."""

    @property
    def region(self) -> str: ...
    @property
    def account(self) -> str: ...
    @property
    def partition(self) -> str: ...
    def zones(self) -> tuple[str, ...]: ...
    def instance_type(self, name: str) -> InstanceType | None: ...
    def subnet(self, subnet_id: str) -> Subnet | None: ...
    def vpc(self, vpc_id: str) -> Vpc | None: ...


class AwsFacts:
    """Facts by the provider's lookups, each asked once."""

    @cached_property
    def region(self) -> str:
        return aws.get_region().region

    @cached_property
    def account(self) -> str:
        return aws.get_caller_identity().account_id

    @cached_property
    def partition(self) -> str:
        return aws.get_partition().partition

    def zones(self) -> tuple[str, ...]:
        """Availability zones, sorted; local and wavelength zones have neither Batch nor EFS."""
        own_zones = aws.GetAvailabilityZonesFilterArgs(name="opt-in-status", values=["opt-in-not-required"])
        return tuple(sorted(aws.get_availability_zones(state="available", filters=[own_zones]).names))

    def instance_type(self, name: str) -> InstanceType | None:
        """The type, or None where the region has none of that name."""
        found = _found(lambda: aws.ec2.get_instance_type(instance_type=name))
        if found is None:
            return None
        ena = found.ena_support or ("supported" if found.hypervisor == "nitro" else "unsupported")
        return InstanceType(
            name=name,
            vcpus=found.default_vcpus,
            cores=found.default_cores,
            memory_mib=found.memory_size,
            architectures=tuple(found.supported_architectures),
            gpus=sum(gpu.count for gpu in found.gpuses or []),
            storage_gb=found.total_instance_storage or 0,
            enhanced_networking=ena != "unsupported",
            placement_group="cluster" in (found.supported_placement_strategies or ["cluster"]),
            efa_interfaces=(found.efa_maximum_interfaces or 1) if found.efa_supported else 0,
            network_cards=found.maximum_network_cards or 1,
            interfaces=found.maximum_network_interfaces or 0,
        )

    def subnet(self, subnet_id: str) -> Subnet | None:
        """The subnet, or None where there is none of that id."""
        found = _found(lambda: aws.ec2.get_subnet(id=subnet_id))
        if found is None:
            return None
        public = bool(found.map_public_ip_on_launch)
        return Subnet(id=subnet_id, vpc_id=found.vpc_id, zone=found.availability_zone, public=public)

    def vpc(self, vpc_id: str) -> Vpc | None:
        """The VPC, or None where there is none of that id."""
        found = _found(lambda: aws.ec2.get_vpc(id=vpc_id))
        if found is None:
            return None
        names = found.enable_dns_support and found.enable_dns_hostnames
        return Vpc(id=vpc_id, cidr=found.cidr_block, names=names)


def _found(look_up: Callable[[], T]) -> T | None:
    """What a lookup finds; None where there is no such thing."""
    try:
        return look_up()
    except Exception as error:
        if _unknown(error):
            return None
        raise


def _unknown(error: Exception) -> bool:
    """Whether a lookup failed because there is no such thing; the provider raises a bare Exception for everything."""
    return any(said in str(error) for said in ("no matching", "InvalidInstanceType", "InvalidSubnetID", "InvalidVpcID"))
