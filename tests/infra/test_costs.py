"""What a stack costs while nobody uses it."""

from __future__ import annotations

from typing import Any

import pytest

from infra import costs

MOST_IDLE_USD = 40


def idle(deployed: Any) -> dict[str, float]:
    return {item.what: item.usd for item in costs.idle((r.type, r.inputs) for r in deployed.resources)}


def test_dev_idles_under_forty_dollars(stack: Any) -> None:
    found = idle(stack())
    assert sum(found.values()) <= MOST_IDLE_USD
    assert found["NatGateway"] == pytest.approx(32.85)
    assert set(found) <= {"NatGateway", "Eip", "Secret", "MetricAlarm", "Parameter", "Image"}


def test_endpoints_cost_more_than_nat_in_two_zones(stack: Any) -> None:
    """7 endpoints in 2 zones: 102 USD a month; docs/operate.md says so."""
    assert idle(stack(egress="endpoints"))["VpcEndpoint"] == pytest.approx(7 * 2 * 7.30)


def test_a_group_on_a_shared_network_costs_next_to_nothing(stack: Any, variations: dict[str, dict[str, Any]]) -> None:
    assert sum(idle(stack("astro", **variations["group"])).values()) < 2


def test_what_is_billed_unused_is_counted(stack: Any) -> None:
    assert idle(stack(efsThroughputMibps=100))["FileSystem"] == 600
    assert idle(stack(lustreGib=1200))["LustreFileSystem"] == 168


def test_prices_have_a_date_and_a_source() -> None:
    assert costs.DATE
    assert "pricing" in costs.SOURCE
