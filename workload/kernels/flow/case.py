"""What is simulated: a case in lattice units (a cell, a step, the density of the fluid at rest are 1)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from workload.kernels.flow.collision import magic_odd_rate

Reals = npt.NDArray[np.float64]

WALLS_HALF_WAY: Final = 3 / 16  # the magic parameter for which a straight wall lies exactly half-way


@dataclass(frozen=True, kw_only=True)
class Side:
    """One end of the domain. velocity: of a wall or an inlet; profile of an inlet: flat or parabolic."""

    kind: Literal["periodic", "wall", "inlet", "outlet"]
    velocity: tuple[float, float, float] = (0.0, 0.0, 0.0)
    profile: Literal["flat", "parabolic"] = "flat"


PERIODIC: Final = Side(kind="periodic")
WALL: Final = Side(kind="wall")


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """Solid cells: a mask (z, y, x) whose axes of length 1 stand for all cells; `size` is its extent for the numbers.

    size: the length that drag and lift are related to, in cells.
    """

    mask: npt.NDArray[np.bool_]
    size: float

    def around(self, where: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.bool_]:
        """The mask at the product of indices along z, y, x."""
        indices = [index * (count > 1) for index, count in zip(where, self.mask.shape, strict=True)]
        return self.mask[np.ix_(*indices)]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A flow.

    grid: cells along x, y, z. sides: (low, high) of each axis. viscosity: kinematic. velocity, length: the scales of
    the Reynolds number. force: body force a volume. initial: "rest", "inlet" (the inlet's velocity everywhere) or
    "taylor-green". magic: see collision; None is BGK.
    """

    name: str
    grid: tuple[int, int, int]
    sides: tuple[tuple[Side, Side], tuple[Side, Side], tuple[Side, Side]]
    viscosity: float
    velocity: float
    length: float
    force: tuple[float, float, float] = (0.0, 0.0, 0.0)
    obstacle: Obstacle | None = None
    initial: Literal["rest", "inlet", "taylor-green"] = "rest"
    magic: float | None = WALLS_HALF_WAY

    @property
    def reynolds(self) -> float:
        return self.velocity * self.length / self.viscosity

    @property
    def fastest(self) -> float:
        """The greatest velocity that the case prescribes."""
        return max(self.velocity, *(math.hypot(*side.velocity) for ends in self.sides for side in ends))

    @property
    def mach(self) -> float:
        """The greatest velocity over the lattice's speed of sound."""
        return self.fastest * math.sqrt(3.0)

    @property
    def relaxation_time(self) -> float:
        """Of the symmetric half, steps: the viscosity is (relaxation time - 1/2) / 3."""
        return 3.0 * self.viscosity + 0.5

    @property
    def rates(self) -> tuple[float, float]:
        """Relaxation rates of the symmetric and the antisymmetric halves."""
        even = 1.0 / self.relaxation_time
        return even, even if self.magic is None else magic_odd_rate(even, self.magic)

    @property
    def periodic(self) -> tuple[bool, bool, bool]:
        x, y, z = (low.kind == "periodic" for low, _ in self.sides)
        return x, y, z

    def profile(self, side: int, at: Sequence[Reals]) -> Reals:
        """Speed of side number 2 * axis + high at points (x, y, z in cells from the domain's corner), as a factor."""
        this = self.sides[side // 2][side % 2]
        factor = np.ones(np.broadcast_shapes(*(points.shape for points in at)))
        if this.profile == "parabolic":
            for axis in range(3):
                if axis != side // 2 and all(end.kind == "wall" for end in self.sides[axis]):
                    s = at[axis] / self.grid[axis]
                    factor = factor * (4.0 * s * (1.0 - s))
        return factor

    def side_order(self) -> list[int]:
        """Sides, the one that decides at a common edge last: resting walls over moving ones, inlets, outlets."""
        rank = {"outlet": 0, "inlet": 1, "wall": 2}
        sides = [(2 * axis + high, self.sides[axis][high]) for axis in range(3) for high in range(2)]
        kept = [(number, side) for number, side in sides if side.kind != "periodic"]
        kept.sort(key=lambda pair: (rank[pair[1].kind], not any(pair[1].velocity), pair[0]))
        return [number for number, _ in kept]


def initial_moments(case: Case, x: npt.NDArray[np.int64], y: npt.NDArray[np.int64]) -> tuple[Any, list[Any]]:
    """Density less 1 and velocity (x, y, z) at cells x, y of the domain (1-D), each broadcasting to (y, x).

    What varies is computed for the whole axis and then cut, so that a value does not depend on the rank's block.
    """
    zero = np.zeros((1, 1))
    if case.initial == "taylor-green":
        nx, ny, _ = case.grid
        kx, ky = 2 * math.pi / nx, 2 * math.pi / ny
        along_x, along_y = (np.arange(nx) + 0.5) * kx, (np.arange(ny) + 0.5) * ky
        sin_x, cos_x, cos_2x = np.sin(along_x)[x], np.cos(along_x)[x], np.cos(2 * along_x)[x]
        sin_y, cos_y, cos_2y = np.sin(along_y)[y], np.cos(along_y)[y], np.cos(2 * along_y)[y]
        u = case.velocity * np.outer(sin_y, cos_x)
        v = -case.velocity * kx / ky * np.outer(cos_y, sin_x)
        pressure = -0.25 * case.velocity**2 * (cos_2x[None, :] + (kx / ky) ** 2 * cos_2y[:, None])
        return 3.0 * pressure, [u, v, zero]
    if case.initial == "inlet":
        for axis in range(3):
            for high in range(2):
                side = case.sides[axis][high]
                if side.kind == "inlet":
                    at = [
                        np.full((1, 1), 0.5),
                        ((np.arange(case.grid[1]) + 0.5)[y])[:, None],
                        np.full((1, 1), case.grid[2] / 2),
                    ]
                    factor = case.profile(2 * axis + high, at)
                    return zero, [component * factor for component in side.velocity]
    return zero, [zero, zero, zero]
