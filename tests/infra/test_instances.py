"""Rules about instance types, against EC2's own table."""

from __future__ import annotations

import pytest
from moto.ec2.models.instance_types import INSTANCE_TYPES

from infra.instances import NITRO_V6, InstanceType

SHORT_IDLE_S = 350


def test_the_families_that_drop_idle_connections_are_all_known() -> None:
    """`DefaultTcpEstablishedTimeout` is 350 s there and 5 days elsewhere."""
    found = {
        name.split(".")[0]
        for name, row in INSTANCE_TYPES.items()
        if row["NetworkInfo"].get("ConnectionTrackingConfiguration", {}).get("DefaultTcpEstablishedTimeout")
        == SHORT_IDLE_S
    }
    assert found == NITRO_V6


def kind(name: str, **changes: int) -> InstanceType:
    row = INSTANCE_TYPES[name]
    network = row["NetworkInfo"]
    values = {
        "vcpus": row["VCpuInfo"]["DefaultVCpus"],
        "cores": row["VCpuInfo"]["DefaultCores"],
        "memory_mib": row["MemoryInfo"]["SizeInMiB"],
        "efa_interfaces": network.get("EfaInfo", {}).get("MaximumEfaInterfaces", 0),
        "network_cards": network["MaximumNetworkCards"],
        "interfaces": network["MaximumNetworkInterfaces"],
    }
    return InstanceType(
        name=name, architectures=tuple(row["ProcessorInfo"]["SupportedArchitectures"]), **(values | changes)
    )


@pytest.mark.parametrize(
    ("name", "interfaces"),
    [("hpc6a.48xlarge", 1), ("hpc6id.32xlarge", 1), ("hpc7a.96xlarge", 2), ("p4d.24xlarge", 4), ("c7i.2xlarge", 0)],
)
def test_efa_leaves_an_interface_for_the_task(name: str, interfaces: int) -> None:
    assert kind(name).most_efa_interfaces == interfaces


def test_where_nobody_says_how_many_interfaces_there_are_one_efa_is_sure() -> None:
    assert kind("p4d.24xlarge", interfaces=0).most_efa_interfaces == 1
    assert kind("hpc6id.32xlarge", interfaces=0).most_efa_interfaces == 1
    assert kind("hpc7a.96xlarge", interfaces=0).most_efa_interfaces == 2


def test_architectures_and_cards() -> None:
    assert kind("hpc7g.16xlarge").architecture == "arm64"
    assert kind("c7i.2xlarge").architecture == "x86_64"
    assert kind("c7i.2xlarge").nitro == 0
    assert kind("c8i.2xlarge").nitro == 6
