"""The network's addresses: one block a zone, each with a private and a small public subnet. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Final

BLOCKS: Final = 8  # no region has more than six zones; a fixed number keeps blocks where they are when a zone is added
BLOCK_BITS: Final = 3
PUBLIC_PREFIX: Final = 28  # AWS's smallest subnet: a NAT gateway needs one address
RESERVED: Final = 5  # addresses that AWS keeps of every subnet
VPC_PREFIXES: Final = range(16, 23)  # below /16 AWS refuses; beyond /22 a zone holds fewer than 25 nodes
ADDRESSES_PER_NODE: Final = 2  # the instance's and its task's


@dataclass(frozen=True, kw_only=True)
class ZoneSubnets:
    private: IPv4Network
    public: IPv4Network


def plan(vpc: IPv4Network, zones: int) -> list[ZoneSubnets]:
    """The subnets of the first `zones` zones.

    A zone's block is an eighth of the network; its first half is the private subnet, the public one opens the second
    half. Block i depends on i alone, so that a zone added at the end moves no other.

    Raises
    ------
    ValueError
        A network or a number of zones that does not fit.
    """
    if vpc.prefixlen not in VPC_PREFIXES:
        raise ValueError(f"got /{vpc.prefixlen}; allowed: /{VPC_PREFIXES.start} to /{VPC_PREFIXES.stop - 1}")
    if not 1 <= zones <= BLOCKS:
        raise ValueError(f"got {zones} zones; allowed: 1-{BLOCKS}")
    blocks = list(vpc.subnets(prefixlen_diff=BLOCK_BITS))[:zones]
    return [_zone(block) for block in blocks]


def nodes_that_fit(subnet: IPv4Network) -> int:
    """Nodes that a subnet has addresses for, two a node."""
    return (subnet.num_addresses - RESERVED) // ADDRESSES_PER_NODE


def _zone(block: IPv4Network) -> ZoneSubnets:
    private, rest = block.subnets(prefixlen_diff=1)
    return ZoneSubnets(private=private, public=next(rest.subnets(new_prefix=PUBLIC_PREFIX)))
