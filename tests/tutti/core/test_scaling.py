"""Amdahl's law fitted to runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutti.core.scaling import fit


@given(st.floats(0.01, 100), st.floats(0.01, 1000), st.sets(st.integers(1, 256), min_size=2, max_size=8))
def test_times_that_follow_the_law_give_their_own_parts_back(serial: float, parallel: float, sizes: set[int]) -> None:
    model = fit([(n, serial + parallel / n) for n in sizes])
    assert model is not None
    assert model.serial_s == pytest.approx(serial, rel=1e-3, abs=1e-3)
    assert model.parallel_s == pytest.approx(parallel, rel=1e-3, abs=1e-2)
    assert model.most == pytest.approx((serial + parallel) / serial, rel=1e-2)


@given(st.lists(st.tuples(st.integers(1, 64), st.floats(0.1, 1e4)), min_size=2, max_size=10))
def test_no_part_is_negative_and_more_nodes_never_take_longer(points: list[tuple[int, float]]) -> None:
    model = fit(points)
    if len({n for n, _ in points}) < 2:
        assert model is None
        return
    assert model is not None
    assert model.serial_s >= 0
    assert model.parallel_s >= 0
    assert model.seconds(64) <= model.seconds(1)
