"""The arithmetic that every device's kernel is generated from, run with numpy arrays."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workload.kernels.flow.collision import collide, equilibrium, magic_odd_rate, moments, open_end, total
from workload.kernels.flow.stencil import DIRECTIONS, OPPOSITE, SOUND_SPEED_SQUARED, WEIGHTS, Q

RNG = np.random.default_rng(3)
POPULATIONS = list(1e-2 * RNG.standard_normal((Q, 50)))
RATES = (np.float64(1.3), np.float64(0.9))


def test_the_stencil_is_isotropic_to_fourth_order() -> None:
    assert sum(WEIGHTS) == 1
    for a in range(3):
        for b in range(3):
            second = sum(w * e[a] * e[b] for w, e in zip(WEIGHTS, DIRECTIONS, strict=True))
            assert second == (SOUND_SPEED_SQUARED if a == b else 0)
            for c in range(3):
                assert sum(w * e[a] * e[b] * e[c] for w, e in zip(WEIGHTS, DIRECTIONS, strict=True)) == 0
                for d in range(3):
                    fourth = sum(w * e[a] * e[b] * e[c] * e[d] for w, e in zip(WEIGHTS, DIRECTIONS, strict=True))
                    pairs = (a == b) * (c == d) + (a == c) * (b == d) + (a == d) * (b == c)
                    assert fourth == SOUND_SPEED_SQUARED**2 * pairs


def test_directions_come_in_opposite_pairs() -> None:
    assert len(set(DIRECTIONS)) == Q
    assert all(
        tuple(-c for c in DIRECTIONS[i]) == DIRECTIONS[OPPOSITE[i]] and OPPOSITE[OPPOSITE[i]] == i for i in range(Q)
    )


def test_a_collision_keeps_mass_and_momentum() -> None:
    after = collide(POPULATIONS, RATES, None, np.float64)
    for before_moment, after_moment in zip(
        (moments(POPULATIONS, np.float64)[0], *moments(POPULATIONS, np.float64)[2]),
        (moments(after, np.float64)[0], *moments(after, np.float64)[2]),
        strict=True,
    ):
        np.testing.assert_allclose(after_moment, before_moment, atol=1e-16)


def test_a_force_adds_its_momentum_in_each_step() -> None:
    force = [np.float64(v) for v in (1e-3, -2e-3, 5e-4)]
    after = collide(POPULATIONS, RATES, force, np.float64)
    for axis in range(3):
        gained = moments(after, np.float64)[2][axis] - moments(POPULATIONS, np.float64)[2][axis]
        np.testing.assert_allclose(gained, force[axis], rtol=1e-12)
    np.testing.assert_allclose(moments(after, np.float64)[0], moments(POPULATIONS, np.float64)[0], atol=1e-16)


@given(
    excess=st.floats(-0.05, 0.05),
    velocity=st.tuples(*[st.floats(-0.1, 0.1)] * 3),
)
def test_equilibrium_has_its_moments_and_does_not_change(excess: float, velocity: tuple[float, float, float]) -> None:
    density = np.float64(1 + excess)
    u = [np.float64(component) for component in velocity]
    f = equilibrium(np.float64(excess), density, u, np.float64)
    found_excess, found_density, momentum = moments(f, np.float64)
    assert found_excess == pytest.approx(excess, abs=1e-15)
    assert [float(j / found_density) for j in momentum] == pytest.approx(velocity, abs=1e-15)
    np.testing.assert_allclose(collide(f, RATES, None, np.float64), f, atol=1e-16)


def test_equal_rates_are_bgk() -> None:
    rate = np.float64(1.4)
    excess, density, momentum = moments(POPULATIONS, np.float64)
    rest = equilibrium(excess, density, [j / density for j in momentum], np.float64)
    bgk = [f - rate * (f - e) for f, e in zip(POPULATIONS, rest, strict=True)]
    np.testing.assert_allclose(collide(POPULATIONS, (rate, rate), None, np.float64), bgk, atol=1e-16)


def test_the_magic_parameter_is_what_was_asked() -> None:
    even = 1.7
    odd = magic_odd_rate(even, 3 / 16)
    assert (1 / even - 0.5) * (1 / odd - 0.5) == pytest.approx(3 / 16, rel=1e-14)


def test_an_open_end_returns_the_equilibrium_that_leaves_density_1() -> None:
    u = [np.float64(v) for v in (0.03, -0.01, 0.02)]
    f = equilibrium(np.float64(0), np.float64(1), u, np.float64)
    for i in range(1, Q):
        assert open_end(f, i, np.float64) == pytest.approx(f[OPPOSITE[i]], abs=1e-16)


def test_sums_keep_one_order_for_any_type() -> None:
    assert total([Fraction(k) for k in range(19)]) == 171
    assert total([f"{k}," for k in range(5)]) == "0,1,2,3,4,"  # type: ignore[type-var]  # text shows the order
