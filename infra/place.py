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

    def subnet(zone: str, network: Any) -> str:
        if zone not in network["subnets"]:
            have = sorted(network["subnets"])
            raise ValueError(
                f"zones: got {zone}; the shared stack {stack} has subnets in {', '.join(have)}; "
                f"mend with: pulumi config set --path 'zones[0]' {have[0]}"
            )
        return str(network["subnets"][zone])

    def field(network: Any, name: str) -> str:
        if network is None:
            raise ValueError(f"shared: the stack {stack} exports no network; it must be a tutti stack with pools []")
        if network["egress"] != egress:
            raise ValueError(
                f"egress: got {egress}; the shared stack {stack} has {network['egress']}; "
                f"mend with: pulumi config set egress {network['egress']}"
            )
        return str(network[name])

    return Place(
        vpc_id=outputs.apply(lambda network: field(network, "vpcId")),
        cidr=outputs.apply(lambda network: field(network, "cidr")),
        subnets={zone: outputs.apply(partial(subnet, zone)) for zone in zones},
        s3_prefix_list=outputs.apply(lambda network: field(network, "s3PrefixList")),
    )
