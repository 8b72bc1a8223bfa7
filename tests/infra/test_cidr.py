"""The network's addresses: disjoint, inside, and where they were when a zone is added."""

from __future__ import annotations

from ipaddress import IPv4Network
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.cidr import ADDRESSES_PER_NODE, BLOCKS, RESERVED, VPC_PREFIXES, nodes_that_fit, plan

vpcs = st.builds(
    lambda address, prefix: IPv4Network((address, prefix), strict=False),
    st.integers(0x0A000000, 0x0AFFFFFF),
    st.sampled_from(list(VPC_PREFIXES)),
)
zones = st.integers(1, BLOCKS)


@given(vpcs, zones)
def test_subnets_are_inside_and_disjoint(vpc: IPv4Network, count: int) -> None:
    subnets = [subnet for zone in plan(vpc, count) for subnet in (zone.private, zone.public)]
    assert len(subnets) == 2 * count
    assert all(subnet.subnet_of(vpc) for subnet in subnets)
    assert not any(a.overlaps(b) for a, b in combinations(subnets, 2))


@given(vpcs, zones, zones)
def test_a_zone_added_at_the_end_moves_no_other(vpc: IPv4Network, few: int, many: int) -> None:
    few, many = sorted((few, many))
    assert plan(vpc, many)[:few] == plan(vpc, few)


@given(vpcs, zones)
def test_subnets_have_a_size_that_aws_allows(vpc: IPv4Network, count: int) -> None:
    assert all(16 <= subnet.prefixlen <= 28 for zone in plan(vpc, count) for subnet in (zone.private, zone.public))


@given(vpcs)
def test_the_nodes_that_fit_have_addresses(vpc: IPv4Network) -> None:
    private = plan(vpc, 1)[0].private
    nodes = nodes_that_fit(private)
    assert (
        nodes * ADDRESSES_PER_NODE + RESERVED <= private.num_addresses < (nodes + 1) * ADDRESSES_PER_NODE + RESERVED + 1
    )


def test_the_default_network_holds_a_gang_of_a_thousand_nodes() -> None:
    assert nodes_that_fit(plan(IPv4Network("10.0.0.0/16"), 1)[0].private) > 1000


@pytest.mark.parametrize("cidr", ["10.0.0.0/15", "10.0.0.0/23"])
def test_networks_that_are_too_big_or_small_are_refused(cidr: str) -> None:
    with pytest.raises(ValueError, match="allowed: /16 to /22"):
        plan(IPv4Network(cidr), 1)


@pytest.mark.parametrize("count", [0, 9])
def test_zones_that_no_region_has_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="allowed: 1-8"):
        plan(IPv4Network("10.0.0.0/16"), count)
