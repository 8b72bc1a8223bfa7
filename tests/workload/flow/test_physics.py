"""The flow against exact solutions and published values. Tolerances come from the method's order and the sources."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from workload.kernels.flow.case import PERIODIC, WALL, Case
from workload.kernels.flow.cases import Asked, cavity, channel, cylinder, taylor_green
from workload.kernels.flow.summary import Forces

MakeFlow = Callable[..., Any]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_poiseuille_flow_is_exact_with_the_magic_parameter(make_flow: MakeFlow, axis: int) -> None:
    """I. Ginzburg, F. Verhaeghe, D. d'Humieres (2008): 3/16 puts the walls exactly half-way for a parabola."""
    width, velocity, viscosity = 12, 1e-3, 0.1
    across = (axis + 1) % 3
    grid, force = [3, 3, 3], [0.0, 0.0, 0.0]
    grid[across] = width
    force[axis] = 8 * viscosity * velocity / width**2
    sides = [(PERIODIC, PERIODIC)] * 3
    sides[across] = (WALL, WALL)
    case = Case(
        name="channel",
        grid=(grid[0], grid[1], grid[2]),
        sides=(sides[0], sides[1], sides[2]),
        viscosity=viscosity,
        velocity=velocity,
        length=width,
        force=(force[0], force[1], force[2]),
    )
    flow = make_flow(case)
    flow.advance(20_000)
    _, u = flow.fields()
    s = (np.arange(width) + 0.5) / width
    exact = np.moveaxis(np.broadcast_to(4 * velocity * s * (1 - s), (3, 3, width)), 2, 2 - across)
    assert np.abs(u[axis] - exact).max() < 1e-10 * velocity
    assert max(np.abs(u[k]).max() for k in range(3) if k != axis) < 1e-10 * velocity


def test_another_magic_parameter_moves_the_wall(make_flow: MakeFlow) -> None:
    flow = make_flow(channel(Asked(grid=(3, 12, 1), reynolds=1.0, velocity=1e-3, magic=1.0)))
    flow.advance(4000)
    s = (np.arange(12) + 0.5) / 12
    assert np.abs(flow.fields()[1][0][0, :, 0] - 4e-3 * s * (1 - s)).max() > 1e-3 * 1e-3


def decay_error(make_flow: MakeFlow, case: Case, steps: int) -> tuple[float, float]:
    """Relative error of the kinetic energy's decay, and of the velocity in the mean square."""
    flow = make_flow(case)
    start = [u.astype(np.float64) for u in flow.fields()[1]]
    flow.advance(steps)
    after = [u.astype(np.float64) for u in flow.fields()[1]]
    kx, ky = 2 * math.pi / case.grid[0], 2 * math.pi / case.grid[1]
    factor = math.exp(-case.viscosity * (kx**2 + ky**2) * steps)
    energy, first = (sum(float((u**2).sum()) for u in field) for field in (after, start))
    error = sum(float(((a - factor * b) ** 2).sum()) for a, b in zip(after, start, strict=True)) ** 0.5
    return abs(math.log(energy / first) / (2 * math.log(factor)) - 1), error / (factor * first**0.5)


def test_taylor_green_vortices_decay_within_a_percent_at_64_cubed(make_flow: MakeFlow) -> None:
    rate_error, error = decay_error(make_flow, taylor_green(Asked(grid=(64, 64, 64))), 400)
    assert rate_error < 0.01
    assert error < 0.01


def test_taylor_green_error_falls_with_the_square_of_the_spacing(make_flow: MakeFlow) -> None:
    errors = []
    for cells in (16, 32, 64):
        # Diffusive scaling: the velocity falls with the spacing, so that compressibility's error falls with its square.
        case = taylor_green(Asked(grid=(cells, cells, 1), reynolds=20.0, velocity=0.8 / cells))
        errors.append(decay_error(make_flow, case, cells**2 // 8)[1])
    orders = [math.log2(coarse / fine) for coarse, fine in itertools.pairwise(errors)]
    assert min(orders) > 1.8, (errors, orders)


def test_cylinder_drag_and_strouhal_number_are_schaefer_and_tureks(make_flow: MakeFlow) -> None:
    """Benchmark 2D-2: drag 3.22-3.24 at most, Strouhal number 0.295-0.305 (Notes Numer. Fluid Mech. 52 (1996) 547)."""
    case = cylinder(Asked(grid=(660, 123, 1), reynolds=100.0, velocity=0.0533))
    flow, forces = make_flow(case, dtype="float32"), Forces(case=case)
    for step in range(forces.period, int(46 * case.length / case.velocity), forces.period):
        flow.advance(forces.period)
        forces.add(step, flow.force_on_obstacle())
    found = forces.summary()
    assert found["drag_max"] == pytest.approx(3.23, rel=0.05)
    assert found["strouhal"] == pytest.approx(0.30, rel=0.05)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-14), ("float32", 1e-6)])
def test_mass_is_kept_to_round_off(make_flow: MakeFlow, dtype: str, tolerance: float) -> None:
    flow = make_flow(cavity(Asked(grid=(24, 20, 12), reynolds=50.0)), dtype=dtype)
    flow.advance(2000)
    assert abs(flow.mass_excess()) / flow.fluid_cells() < tolerance


def test_float32_follows_float64(make_flow: MakeFlow) -> None:
    case = cavity(Asked(grid=(33, 33, 1), reynolds=100.0))
    fields = []
    for dtype in ("float64", "float32"):
        flow = make_flow(case, dtype=dtype)
        flow.advance(4000)
        fields.append(flow.fields()[1][0].astype(np.float64))
    assert np.abs(fields[0] - fields[1]).max() < 1e-5 * case.velocity * 10
