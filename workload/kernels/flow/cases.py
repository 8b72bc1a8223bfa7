"""The cases that need no file: cavity, channel, taylor-green, cylinder."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from workload.kernels.flow.case import PERIODIC, WALL, WALLS_HALF_WAY, Case, Obstacle, Side

OUTLET: Final = Side(kind="outlet")
CHANNEL_WIDTHS: Final = 4.1  # of the channel of the cylinder benchmark, in diameters
MEAN_OF_PARABOLA: Final = 2 / 3


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the command line says of a case; None: the case's own."""

    grid: tuple[int, int, int] | None = None
    reynolds: float | None = None
    velocity: float | None = None
    magic: float | None = WALLS_HALF_WAY  # None: BGK


def cavity(asked: Asked) -> Case:
    """A box whose lid (y high) slides along x; one cell deep: periodic along z, which is a flat cavity.

    Reynolds number: lid velocity, width. U. Ghia, K. N. Ghia, C. T. Shin, J. Comput. Phys. 48 (1982) 387.
    """
    grid = asked.grid or (129, 129, 1)
    velocity = 0.05 if asked.velocity is None else asked.velocity
    reynolds = 100.0 if asked.reynolds is None else asked.reynolds
    lid = Side(kind="wall", velocity=(velocity, 0.0, 0.0))
    return Case(
        name="cavity",
        grid=grid,
        sides=((WALL, WALL), (WALL, lid), (PERIODIC, PERIODIC) if grid[2] == 1 else (WALL, WALL)),
        viscosity=velocity * grid[0] / reynolds,
        velocity=velocity,
        length=float(grid[0]),
        magic=asked.magic,
    )


def channel(asked: Asked) -> Case:
    """Plane Poiseuille flow along x between walls at both ends of y, driven by a force.

    Reynolds number: velocity in the middle, distance of the walls.
    """
    grid = asked.grid or (64, 64, 1)
    velocity = 0.05 if asked.velocity is None else asked.velocity
    reynolds = 10.0 if asked.reynolds is None else asked.reynolds
    viscosity = velocity * grid[1] / reynolds
    return Case(
        name="channel",
        grid=grid,
        sides=((PERIODIC, PERIODIC), (WALL, WALL), (PERIODIC, PERIODIC)),
        viscosity=viscosity,
        velocity=velocity,
        length=float(grid[1]),
        force=(8.0 * viscosity * velocity / grid[1] ** 2, 0.0, 0.0),
        magic=asked.magic,
    )


def taylor_green(asked: Asked) -> Case:
    """Decaying vortices, one wave along x and y, periodic everywhere: G. I. Taylor, Phil. Mag. 46 (1923) 671.

    Reynolds number: greatest velocity at the start, one wavelength along x.
    """
    grid = asked.grid or (64, 64, 64)
    velocity = 0.03 if asked.velocity is None else asked.velocity
    reynolds = 100.0 if asked.reynolds is None else asked.reynolds
    return Case(
        name="taylor-green",
        grid=grid,
        sides=((PERIODIC, PERIODIC),) * 3,
        viscosity=velocity * grid[0] / reynolds,
        velocity=velocity,
        length=float(grid[0]),
        initial="taylor-green",
        magic=asked.magic,
    )


def cylinder(asked: Asked) -> Case:
    """Vortex street behind a cylinder in a channel, a little off its middle: benchmark 2D-2 at Reynolds number 100.

    M. Schaefer, S. Turek, Notes Numer. Fluid Mech. 52 (1996) 547: a channel 4.1 diameters wide, the centre 2 from
    inlet and wall, a parabola at the inlet. Reynolds number: mean velocity at the inlet, diameter.
    """
    grid = asked.grid or (660, 123, 1)
    diameter = grid[1] / CHANNEL_WIDTHS
    mean = 0.05 if asked.velocity is None else asked.velocity
    reynolds = 100.0 if asked.reynolds is None else asked.reynolds
    x, y = np.arange(grid[0]) + 0.5 - 2 * diameter, np.arange(grid[1]) + 0.5 - 2 * diameter
    inside = x[None, :] ** 2 + y[:, None] ** 2 < (diameter / 2) ** 2
    inlet = Side(kind="inlet", velocity=(mean / MEAN_OF_PARABOLA, 0.0, 0.0), profile="parabolic")
    return Case(
        name="cylinder",
        grid=grid,
        sides=((inlet, OUTLET), (WALL, WALL), (PERIODIC, PERIODIC)),
        viscosity=mean * diameter / reynolds,
        velocity=mean,
        length=diameter,
        obstacle=Obstacle(mask=inside[None], size=diameter),
        initial="inlet",
        magic=asked.magic,
    )


CASES: Final[dict[str, Callable[[Asked], Case]]] = {
    "cavity": cavity,
    "channel": channel,
    "taylor-green": taylor_green,
    "cylinder": cylinder,
}


def description(name: str) -> str:
    """The first line of what a case is."""
    text: Any = CASES[name].__doc__
    return str(text).splitlines()[0]
