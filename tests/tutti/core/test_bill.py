"""Bills: nodes x billed seconds x price, never a guess."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutti.core.bill import Bill, Price, bill, billed_seconds, efficiency, money, most, total

PRICE = Price(usd_per_hour=3.6, as_of="2026-01-01", source="a table")
times = st.floats(0, 10**6)
spans = st.lists(st.tuples(times, times).map(lambda pair: (min(pair), max(pair))), max_size=5)


def test_a_plain_run() -> None:
    done = bill(nodes=4, attempts=[(0.0, 1800.0)], price=PRICE, now=9999.0)
    assert done == Bill(nodes=4, seconds=1800.0, usd=7.2)
    assert done.node_hours == 2.0


def test_every_attempt_is_paid_and_each_for_a_minute_at_least() -> None:
    assert billed_seconds([(0.0, 600.0), (700.0, 705.0)], now=0.0) == 660.0


def test_an_attempt_that_never_started_costs_nothing() -> None:
    assert billed_seconds([(None, None), (None, 5.0)], now=100.0) == 0.0


def test_a_run_that_goes_on_is_paid_until_now() -> None:
    assert billed_seconds([(100.0, None)], now=400.0) == 300.0


def test_an_unknown_price_stays_unknown() -> None:
    assert bill(nodes=1, attempts=[(0.0, 100.0)], price=None, now=0.0).usd is None
    assert most(nodes=1, timeout_s=60, attempts=1, price=None) is None
    known = Bill(nodes=1, seconds=60, usd=2.0)
    assert total([known, Bill(nodes=1, seconds=60, usd=None), known]) == (4.0, 1)


@given(spans, st.integers(1, 1000))
def test_no_run_costs_more_than_the_most_that_was_announced(attempts: list[tuple[float, float]], nodes: int) -> None:
    longest = max((stop - start for start, stop in attempts), default=0.0)
    done = bill(nodes=nodes, attempts=attempts, price=PRICE, now=0.0)
    limit = most(nodes=nodes, timeout_s=longest, attempts=len(attempts), price=PRICE)
    assert done.usd is not None
    assert limit is not None
    assert done.usd <= limit * (1 + 1e-12)


def test_efficiency_is_the_useful_share_of_what_was_paid() -> None:
    phases = {"assembled": 10.0, "computed": 60.0}
    assert efficiency(phases, nodes=4, useful="computed", paid_node_seconds=480.0) == pytest.approx(0.5)
    assert efficiency({}, nodes=4, useful="computed", paid_node_seconds=480.0) is None
    assert efficiency(phases, nodes=4, useful="computed", paid_node_seconds=0.0) is None


@pytest.mark.parametrize(
    ("usd", "words"), [(0.0, "0.00"), (0.003, "0.0030"), (0.5355, "0.5355"), (1.0, "1.00"), (12_345.678, "12,345.68")]
)
def test_small_amounts_do_not_vanish_among_cents(usd: float, words: str) -> None:
    assert money(usd) == words
