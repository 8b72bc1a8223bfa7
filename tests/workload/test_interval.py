"""How often to save."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workload.contract import Variable
from workload.interval import DEFAULT_NODE_MTBF_S, Every, FailureRate, automatic, optimum


@pytest.mark.parametrize(
    ("cost_min", "mtbf_min", "least_min", "most_min"),
    # Daly 2006, figures 3 to 5: the new model predicts 117, 57 and 9.1 minutes. He plots the compute time between the
    # ends of two dumps; to a minute's rounding that is eq. 37.
    [(5, 24 * 60, 116, 118), (5, 6 * 60, 56, 58), (5, 15, 9.0, 9.2)],
)
def test_the_interval_is_dalys_own_for_his_own_examples(
    cost_min: float, mtbf_min: float, least_min: float, most_min: float
) -> None:
    assert least_min <= optimum(cost_min * 60, mtbf_min * 60) / 60 <= most_min


@given(st.floats(0.01, 10), st.floats(1e6, 1e9))
def test_where_saves_are_cheap_the_interval_is_youngs(cost: float, mtbf: float) -> None:
    assert optimum(cost, mtbf) == pytest.approx(math.sqrt(2 * cost * mtbf), rel=0.01)


def _loss(interval: float, cost: float, mtbf: float) -> float:
    """The run time per second of computing, exactly, for Poisson failures (Daly 2006, eq. 20, no restart time)."""
    return mtbf * math.expm1((interval + cost) / mtbf) / interval


@given(st.floats(1e-3, 0.4), st.floats(1e3, 1e7))
def test_no_other_interval_loses_much_less(ratio: float, mtbf: float) -> None:
    cost = ratio * mtbf
    best = min(_loss(mtbf * 10 ** (k / 40), cost, mtbf) for k in range(-160, 41))
    assert _loss(optimum(cost, mtbf), cost, mtbf) <= 1.01 * best


def test_a_save_that_costs_more_than_two_lifetimes_is_made_once_a_lifetime() -> None:
    assert optimum(300, 100) == 100


@pytest.mark.parametrize(("cost", "mtbf"), [(-1, 10), (1, 0), (1, -5), (1, math.nan)])
def test_what_is_no_cost_or_no_time_is_refused(cost: float, mtbf: float) -> None:
    with pytest.raises(ValueError, match="allowed"):
        optimum(cost, mtbf)


def test_the_log_line_has_formula_source_and_every_input() -> None:
    pool = FailureRate.find(None, {Variable.NODE_MTBF.value: "3600000"})
    interval = automatic([3.0, 2.0, 100.0], nodes=16, rate=pool)
    text = str(interval)
    for part in (
        "C = 3 s",
        "median of 3 saves",
        "M = 2.25e+05 s",
        "1000 h a node, the pool's, TUTTI_NODE_MTBF, over 16 nodes",
        "eq. 37",
    ):
        assert part in text
    assert interval.overhead == pytest.approx(3 / (interval.seconds + 3))


def test_the_failure_rate_is_the_programs_then_the_pools_then_an_assumption_that_names_its_source() -> None:
    pool = {Variable.NODE_MTBF.value: "5000"}
    assert FailureRate.find(70.0, pool) == FailureRate(node_mtbf=70.0, source="the program's")
    assert FailureRate.find(None, pool).node_mtbf == 5000
    assumed = automatic([1.0], nodes=1, rate=FailureRate.find(None, {}))
    assert "assumed from Schroeder and Gibson 2006, for the pool has no measured rate" in str(assumed)
    assert assumed.node_mtbf == DEFAULT_NODE_MTBF_S


@pytest.mark.parametrize("said", ["0", "-1", "often", "inf", "nan"])
def test_a_failure_rate_that_is_no_time_is_refused(said: str) -> None:
    with pytest.raises(ValueError, match=r"node_mtbf \(the pool's, TUTTI_NODE_MTBF\): got .* allowed: seconds above 0"):
        FailureRate.find(None, {Variable.NODE_MTBF.value: said})


@pytest.mark.parametrize(
    ("text", "steps", "seconds"),
    [
        ("500", 500, None),
        (7, 7, None),
        ("90s", None, 90),
        ("10m", None, 600),
        ("1.5h", None, 5400),
        ("auto", None, None),
    ],
)
def test_every_is_steps_or_a_time_or_auto(text: str | int, steps: int | None, seconds: float | None) -> None:
    every = Every.parse(text)
    assert (every.steps, every.seconds) == (steps, seconds)
    assert every.auto == (text == "auto")


@pytest.mark.parametrize("text", ["", "0", "-5", "0s", "10 m", "5d", "1.5", "often"])
def test_every_other_word_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="allowed: auto, a number of steps"):
        Every.parse(text)
