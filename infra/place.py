"""Where nodes run: a VPC and a subnet for each zone, whether new, existing or a shared stack's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pulumi


@dataclass(frozen=True, kw_only=True)
class Place:
    """Subnets by zone, in the configuration's order. `s3_prefix_list` is empty where nodes may reach everything."""

    vpc_id: pulumi.Input[str]
    cidr: pulumi.Input[str]
    subnets: Mapping[str, pulumi.Input[str]]
    s3_prefix_list: pulumi.Input[str] = ""

    def subnet_ids(self, zones: Sequence[str]) -> list[pulumi.Input[str]]:
        return [self.subnets[zone] for zone in zones]


def shared_place(outputs: pulumi.Output[Any], stack: str, zones: Sequence[str], egress: str) -> Place:
    """The network that a shared stack exports. What it lacks is told when its outputs are known: in the preview."""

    def exported(name: str) -> pulumi.Output[str]:
        return outputs.apply(partial(field_of, stack, egress, name))

    return Place(
        vpc_id=exported("vpcId"),
        cidr=exported("cidr"),
        subnets={zone: outputs.apply(partial(subnet_of, stack, zone)) for zone in zones},
        s3_prefix_list=exported("s3PrefixList"),
    )


def field_of(stack: str, egress: str, name: str, network: Any) -> str:
    """One field of a shared stack's `network`.

    Raises
    ------
    ValueError
        It exports none, or nodes get out of it in another way.
    """
    if network is None:
        raise ValueError(f"shared: the stack {stack} exports no network; it must be a tutti stack with pools []")
    if network["egress"] != egress:
        raise ValueError(
            f"egress: got {egress}; the shared stack {stack} has {network['egress']}; "
            f"mend with: pulumi config set egress {network['egress']}"
        )
    return str(network[name])


def subnet_of(stack: str, zone: str, network: Any) -> str:
    """The subnet of one zone.

    Raises
    ------
    ValueError
        The shared stack has none there.
    """
    subnets = (network or {}).get("subnets", {})
    if zone not in subnets:
        have = sorted(subnets) or ["none"]
        raise ValueError(
            f"zones: got {zone}; the shared stack {stack} has subnets in {', '.join(have)}; "
            f"mend with: pulumi config set --path 'zones[0]' {have[0]}"
        )
    return str(subnets[zone])
