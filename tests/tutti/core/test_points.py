"""The points of a sweep: all of a grid, the same draws everywhere, values where the job says them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutti.core.points import digest, draw, filled, grid, unused, wrong_draw


@given(
    st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(), min_size=1, max_size=4, unique=True), min_size=1)
)
def test_a_grid_has_every_combination_once(axes: dict[str, list[int]]) -> None:
    points = grid(axes)
    size = 1
    for axis in axes.values():
        size *= len(axis)
    assert len({tuple(p.items()) for p in points}) == len(points) == size


@given(st.integers(0, 2**32), st.integers(1, 50))
def test_random_points_are_the_same_for_the_same_seed_and_within_their_bounds(seed: int, count: int) -> None:
    axes: dict[str, dict[str, Any]] = {
        "u": {"uniform": [0, 1]},
        "l": {"log_uniform": [1e-3, 10]},
        "i": {"integer": [2, 5]},
        "c": {"choice": ["x"]},
    }
    points = draw(axes, count=count, seed=seed)
    assert points == draw(axes, count=count, seed=seed)
    assert len(points) == count
    for p in points:
        assert 0 <= p["u"] <= 1
        assert 1e-3 * 0.999 <= p["l"] <= 10 * 1.001
        assert p["i"] in range(2, 6)
        assert p["c"] == "x"


@pytest.mark.parametrize(
    "axis",
    [
        1,
        {},
        {"normal": [0, 1]},
        {"uniform": [1]},
        {"uniform": [2, 1]},
        {"log_uniform": [0, 1]},
        {"integer": [0.5, 1]},
        {"choice": []},
    ],
)
def test_a_wrong_draw_is_told_with_what_is_allowed(axis: Any) -> None:
    told = wrong_draw(axis)
    assert told is not None
    assert "got" in told


def test_values_go_wherever_the_job_says_them_and_other_braces_stay() -> None:
    job = {"nodes": "{n}", "command": ["x", "--a={a}", "{b}"], "env": {"F": "{flag}"}, "threads": 2}
    assert filled(job, {"n": 4, "a": 0.5, "flag": True}) == {
        "nodes": "4",
        "command": ["x", "--a=0.5", "{b}"],
        "env": {"F": "true"},
        "threads": 2,
    }
    assert unused(job, ["n", "a", "z"]) == ["z"]


def test_the_same_content_is_the_same_sweep() -> None:
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1}) != digest({"a": 2, "b": [2]})
