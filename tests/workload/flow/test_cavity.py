"""The lid-driven cavity against published tables: u along y and v along x through the middle, over the lid's velocity.

Ghia: U. Ghia, K. N. Ghia, C. T. Shin, J. Comput. Phys. 48 (1982) 387, tables I and II (finite differences, 129^2 points).
Botella: O. Botella, R. Peyret, Comput. Fluids 27 (1998) 421, tables 9 and 10 (spectral, seven digits), their lid turned.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from workload.kernels.flow.cases import Asked, cavity
from workload.kernels.flow.summary import centerlines

MakeFlow = Callable[..., Any]
Steady = Callable[..., Any]
Reals = npt.NDArray[np.float64]

WANTED = 0.01  # of the lid's velocity
COLUMNS = (100, 400, 1000, "Botella 1000")
TABLES = {
    "u": """
        0.0547  -0.03717  -0.08186  -0.18109  -0.1812881
        0.0625  -0.04192  -0.09266  -0.20196  -0.2023300
        0.0703  -0.04775  -0.10338  -0.22220  -0.2228955
        0.1016  -0.06434  -0.14612  -0.29730  -0.3004561
        0.1719  -0.10150  -0.24299  -0.38289  -0.3885691
        0.2813  -0.15662  -0.32726  -0.27805  -0.2803696
        0.4531  -0.21090  -0.17119  -0.10648  -0.1081999
        0.5000  -0.20581  -0.11477  -0.06080  -0.0620561
        0.6172  -0.13641   0.02135   0.05702   0.0570178
        0.7344   0.00332   0.16256   0.18719   0.1886747
        0.8516   0.23151   0.29093   0.33304   0.3372212
        0.9531   0.68717   0.55892   0.46604   0.4723329
        0.9609   0.73722   0.61756   0.51117   0.5169277
        0.9688   0.78871   0.68439   0.57492   0.5808359
        0.9766   0.84123   0.75837   0.65928   0.6644227""",
    "v": """
        0.0625   0.09233   0.18360   0.27485   0.2807056
        0.0703   0.10091   0.19713   0.29012   0.2962703
        0.0781   0.10890   0.20920   0.30353   0.3099097
        0.0938   0.12317   0.22965   0.32627   0.3330442
        0.1563   0.16077   0.28124   0.37095   0.3769189
        0.2266   0.17507   0.30203   0.33075   0.3339924
        0.2344   0.17527   0.30174   0.32235   0.3253592
        0.5000   0.05454   0.05186   0.02526   0.0257995
        0.8047  -0.24533  -0.38598  -0.31966  -0.3202137
        0.8594  -0.22445  -0.44993  -0.42665  -0.4264545
        0.9063  -0.16914  -0.23827  -0.51550  -0.5264392
        0.9453  -0.10313  -0.22847  -0.39188  -0.4103754
        0.9531  -0.08864  -0.19254  -0.33714  -0.3553213
        0.9609  -0.07391  -0.15663  -0.27669  -0.2936869
        0.9688  -0.05906  -0.12146  -0.21388  -0.2279225""",
}
MISPRINT = ("v", 0.9063)  # of Ghia at Reynolds number 400: see the test of that name


def table(line: str, column: int | str) -> tuple[Reals, Reals]:
    """Points of a line, and a column's values there."""
    rows = np.array(TABLES[line].split(), dtype=np.float64).reshape(-1, 1 + len(COLUMNS))
    return rows[:, 0], rows[:, 1 + COLUMNS.index(column)]


def at(points: Reals, line: Sequence[Sequence[float]]) -> Reals:
    """A centre line at other points: cubics through the four nearest."""
    x, values = np.array(line).T
    found = []
    for point in points:
        first = int(np.clip(np.searchsorted(x, point) - 2, 0, len(x) - 4))
        near, here = x[first : first + 4], values[first : first + 4]
        weights = [np.prod([(point - near[b]) / (near[a] - near[b]) for b in range(4) if b != a]) for a in range(4)]
        found.append(float(np.dot(weights, here)))
    return np.array(found)


def differences(lines: Any, column: int | str) -> dict[tuple[str, float], float]:
    """How far our lines are from a column, at each of its points."""
    found: dict[tuple[str, float], float] = {}
    for line in TABLES:
        points, published = table(line, column)
        away = np.abs(at(points, lines[f"{line}_centerline"]) - published)
        found |= {(line, float(point)): float(value) for point, value in zip(points, away, strict=True)}
    return found


@pytest.fixture(scope="module")
def steady(make_flow: MakeFlow) -> Steady:
    """`steady(reynolds, steps, cells=129)`: centre lines of the flow after so many steps."""

    @cache
    def lines(reynolds: int, steps: int, cells: int = 129) -> Any:
        flow = make_flow(cavity(Asked(grid=(cells, cells, 1), reynolds=float(reynolds), velocity=0.08)))
        flow.advance(steps)
        assert abs(flow.mass_excess()) / cells**2 < 1e-13
        return centerlines(flow)

    return lines


@pytest.mark.parametrize(("reynolds", "steps", "left_out"), [(100, 20_000, set()), (400, 40_000, {MISPRINT})])
def test_every_point_is_ghia_ghia_and_shins_within_a_percent(
    steady: Steady, reynolds: int, steps: int, left_out: set[tuple[str, float]]
) -> None:
    away = differences(steady(reynolds, steps), reynolds)
    assert {point for point, value in away.items() if value >= WANTED} == left_out


def test_at_reynolds_1000_every_point_is_the_spectral_solutions_and_ghias_where_that_is_so_near_itself(
    steady: Steady,
) -> None:
    lines = steady(1000, 75_000)
    spectral = differences(lines, "Botella 1000")
    assert max(spectral.values()) < WANTED, spectral
    # Five points of the older table are farther from the spectral solution than we may be from the table: who meets
    # it there is wrong. At all others we do.
    points, ghia = table("v", 1000)
    off = {
        ("v", float(point)): abs(a - b) for point, a, b in zip(points, ghia, table("v", "Botella 1000")[1], strict=True)
    }
    doubtful = {point for point, value in off.items() if value > WANTED}
    assert doubtful == {("v", x) for x in (0.9063, 0.9453, 0.9531, 0.9609, 0.9688)}
    away = differences(lines, 1000)
    assert all(value < WANTED for point, value in away.items() if point not in doubtful), away
    assert all(spectral[point] < off[point] for point in doubtful), "we are nearer the spectral solution than the table"


def test_the_misprint_in_ghias_table_is_one(steady: Steady) -> None:
    """At Reynolds number 400, x = 0.9063 the table has v = -0.23827, between -0.44993 and -0.22847.

    The grid does not explain it: 65^2 and 129^2 cells give -0.381 and -0.387 and, second order taken out, -0.389. All
    other 29 points of that Reynolds number agree within a percent.
    """
    coarse, fine = (
        float(at(np.array([MISPRINT[1]]), steady(400, steps, cells)["v_centerline"])[0])
        for cells, steps in ((65, 16_000), (129, 40_000))
    )
    limit = fine + (fine - coarse) / ((129 / 65) ** 2 - 1)
    assert abs(limit - fine) < 0.005
    points, ghia = table("v", 400)
    (tabulated,) = ghia[points == MISPRINT[1]]
    assert abs(limit - tabulated) > 0.14
