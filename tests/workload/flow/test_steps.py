"""Steps come in pairs; a single one is the same."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from workload.kernels.flow.case import Case


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_single_steps_are_those_of_pairs_to_the_last_bit_and_so_is_the_force(
    make_flow: Callable[..., Any], rough_cases: list[Case], dtype: str
) -> None:
    for case in rough_cases:
        pairs, singles = (make_flow(case, dtype=dtype) for _ in range(2))
        for _ in range(3):
            pairs.advance(2)
            singles.advance(1)
            singles.advance(1)
            for a, b in zip(
                [pairs.fields()[0], *pairs.fields()[1]], [singles.fields()[0], *singles.fields()[1]], strict=True
            ):
                np.testing.assert_array_equal(a, b, err_msg=case.name)
            np.testing.assert_array_equal(pairs.force_on_obstacle(), singles.force_on_obstacle(), err_msg=case.name)


def test_an_odd_number_of_steps_at_once_is_that_many_single_ones(
    make_flow: Callable[..., Any], rough_cases: list[Case]
) -> None:
    for case in rough_cases:
        once, singles = (make_flow(case) for _ in range(2))
        once.advance(5)
        for _ in range(5):
            singles.advance(1)
        np.testing.assert_array_equal(once.fields()[1][0], singles.fields()[1][0], err_msg=case.name)
        assert once.bad_cell() is None
        assert once.mass_excess() == singles.mass_excess()
