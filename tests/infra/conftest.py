"""Fixtures for the Pulumi program's tests: the whole program in its variations, components alone, configurations."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Protocol

import pytest

from infra.config import StackConfig, check
from infra.facts import Facts, Subnet, Vpc
from infra.instances import InstanceType
from tests.infra.mocked_aws import (
    ACCOUNT,
    DIGEST,
    PUBLIC_SUBNETS,
    REGION,
    ROOT,
    SUBNETS,
    VPC,
    VPCS,
    Deployment,
    answer,
    configuration,
    deploy,
    instance_type,
)

# The stacks that must hold: keys that differ from Pulumi.yaml's defaults, by the variation's name.
CUDA = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/cuda@sha256:{'1' * 64}"
VARIATIONS: dict[str, dict[str, Any]] = {
    "dev": {},
    "kept": {"keepData": True},
    "endpoints": {"egress": "endpoints", "debug": True, "flowLogs": True},
    "existing": {"vpcId": VPC, "subnetIds": ["subnet-a", "subnet-b"]},
    "existing-endpoints": {"vpcId": VPC, "subnetIds": ["subnet-a"], "egress": "endpoints"},
    "three-pools": {
        "pools": [
            {
                "name": "mpi",
                "kind": "mpi",
                "instance_types": ["hpc7a.96xlarge"],
                "zone": f"{REGION}b",
                "efa": True,
                "max_vcpus": 3840,
                "stop_timeout": 120,
                "reservation": "cr-0123456789abcdef0",
            },
            {
                "name": "gpu",
                "kind": "gpu",
                "instance_types": ["p4d.24xlarge"],
                "images": ["cuda"],
                "max_vcpus": 960,
                "efa": True,
                "scratch": "instance-store",
            },
            {"name": "single", "kind": "single", "spot_percent": 100},
        ],
        "zones": [f"{REGION}a", f"{REGION}b", f"{REGION}c"],
        "images": [{"name": "tutti"}, {"name": "cuda", "uri": CUDA, "mpi": ["openmpi"]}],
    },
    "fargate": {"pools": [{"name": "mpi", "kind": "mpi"}, {"name": "single", "kind": "single", "fargate": True}]},
    "lustre": {"lustreGib": 1200},
    "lustre-kept": {"lustreGib": 2400, "lustreType": "PERSISTENT_2", "keepData": True, "efsThroughputMibps": 100},
    "shared": {"pools": [], "keepData": True},
    "audit": {"pools": [], "audit": True},
    "group": {"shared": "acme/tutti/shared", "images": [{"name": "tutti", "shared": True}], "keepData": True},
    "budget": {
        "budgetUsd": 500,
        "budgetStops": True,
        "budgetStopRoles": ["researchers"],
        "alarmAddresses": ["ops@example.org"],
        "accessPoints": [{"name": "data", "path": "/data", "uid": 2000, "gid": 2000, "mode": "0750"}],
        "tags": {"project": "x"},
    },
}
# What a shared stack exports, as a group's stack reads it.
SHARED_OUTPUTS: dict[str, dict[str, Any]] = {
    "acme/tutti/shared": {
        "network": {
            "vpcId": "vpc-shared",
            "cidr": "10.0.0.0/16",
            "subnets": {f"{REGION}a": "subnet-sa", f"{REGION}b": "subnet-sb"},
            "s3PrefixList": "pl-s3",
            "egress": "nat",
        },
        "images": {
            "tutti": {
                "uri": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/tutti/shared/tutti@{DIGEST}",
                "repositoryArn": f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/tutti/shared/tutti",
                "platform": "linux/amd64",
            }
        },
    }
}


def program() -> None:
    runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__")


@cache
def whole(stack: str, preview: bool, config: str, stacks: str) -> Deployment:
    return deploy(program, json.loads(config), stack=stack, preview=preview, stacks=json.loads(stacks))


class TableFacts:
    """Facts from the tables above, without Pulumi."""

    region, account, partition = REGION, ACCOUNT, "aws"

    def zones(self) -> tuple[str, ...]:
        return tuple(sorted(answer(":getAvailabilityZones", {})["names"]))

    def instance_type(self, name: str) -> InstanceType | None:
        if (row := instance_type(name)) is None:
            return None
        return InstanceType(
            name=name,
            vcpus=row["defaultVcpus"],
            cores=row["defaultCores"],
            memory_mib=row["memorySize"],
            architectures=tuple(row["supportedArchitectures"]),
            gpus=sum(gpu["count"] for gpu in row["gpuses"]),
            storage_gb=row["totalInstanceStorage"],
            enhanced_networking=row["enaSupport"] != "unsupported",
            placement_group="cluster" in row["supportedPlacementStrategies"],
            efa_interfaces=row["efaMaximumInterfaces"],
            network_cards=row["maximumNetworkCards"],
            interfaces=row["maximumNetworkInterfaces"],
        )

    def subnet(self, subnet_id: str) -> Subnet | None:
        if subnet_id not in SUBNETS:
            return None
        return Subnet(id=subnet_id, vpc_id=VPC, zone=SUBNETS[subnet_id], public=subnet_id in PUBLIC_SUBNETS)

    def vpc(self, vpc_id: str) -> Vpc | None:
        if vpc_id not in VPCS:
            return None
        return Vpc(id=vpc_id, cidr=VPCS[vpc_id]["cidrBlock"], names=VPCS[vpc_id]["enableDnsHostnames"])


@pytest.fixture
def facts() -> Facts:
    return TableFacts()


@pytest.fixture
def checked() -> Callable[..., StackConfig]:
    """The configuration of a stack, checked without running the program: `checked(egress="endpoints")`."""

    def run(name: str = "dev", **overrides: Any) -> StackConfig:
        texts = {k.removeprefix("tutti:"): v for k, v in configuration(name, **overrides).items() if k != "aws:region"}
        return check(texts, TableFacts(), name)

    return run


class StackRun(Protocol):
    def __call__(
        self,
        name: str = "dev",
        *,
        preview: bool = False,
        stacks: Mapping[str, Mapping[str, Any]] | None = None,
        **overrides: Any,
    ) -> Deployment: ...


@pytest.fixture
def build() -> Callable[..., Deployment]:
    """Builds components under mocks: `build(lambda: Network("n", NetworkArgs(...)))`."""
    return deploy


@pytest.fixture
def stack() -> StackRun:
    """The whole program with some keys overridden, run once for each set: `stack(egress="endpoints")`."""

    def run(
        name: str = "dev",
        *,
        preview: bool = False,
        stacks: Mapping[str, Mapping[str, Any]] | None = None,
        **overrides: Any,
    ) -> Deployment:
        config = configuration(name, **overrides)
        known = SHARED_OUTPUTS if stacks is None else stacks
        return whole(name, preview, json.dumps(config, sort_keys=True), json.dumps(known, sort_keys=True))

    return run


@pytest.fixture
def variations() -> dict[str, dict[str, Any]]:
    return VARIATIONS


@pytest.fixture(params=VARIATIONS)
def variation(request: pytest.FixtureRequest) -> dict[str, Any]:
    """One variation's keys, and its name as `_name`."""
    return {"_name": request.param, **VARIATIONS[request.param]}


@pytest.fixture
def varied(variation: dict[str, Any], stack: StackRun) -> Deployment:
    """The whole program in one variation."""
    return stack(**{k: v for k, v in variation.items() if k != "_name"})
