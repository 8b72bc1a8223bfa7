"""A case of the user's own: a YAML file, read and checked as a whole, every problem told at once.

name: note
grid: 240x80x1           # cells along x, y, z
reynolds: 100
velocity: 0.05           # cells a step: what the Reynolds number is made with
length: 40               # cells: the same
sides:
  x: [{inlet: [0.075, 0, 0], profile: parabolic}, outlet]
  y: [wall, {wall: [0.1, 0, 0]}]
  z: periodic
obstacle: {image: note.png, at: [40, 20], darker_than: 0.5, size: 40}
initial: inlet           # or rest, or taylor-green
"""

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from workload.kernels.flow.case import PERIODIC, WALL, WALLS_HALF_WAY, Case, Obstacle, Side
from workload.kernels.flow.obstacles import ObstacleError, from_file

AXES: Final = ("x", "y", "z")
PROFILES: Final = ("flat", "parabolic")
INITIAL: Final = ("rest", "inlet", "taylor-green")
COLLISIONS: Final = ("trt", "bgk")
KEYS: Final = (
    *("name", "grid", "reynolds", "velocity", "length", "sides", "force", "obstacle", "initial", "collision", "magic"),
)
OBSTACLE_KEYS: Final = ("image", "mask", "at", "darker_than", "size")


class CaseError(ValueError):
    """A case that cannot be run; `problems` are all that is wrong with it."""

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        super().__init__(
            f"{source}: {len(problems)} problem{'s' * (len(problems) > 1)}\n" + "\n".join(f"  - {p}" for p in problems)
        )
        self.problems = tuple(problems)


def parse_grid(text: object) -> tuple[int, int, int]:
    """`129x129x1` as three numbers; two mean one cell along z.

    Raises
    ------
    ValueError
        It is something else.
    """
    parts = str(text).lower().split("x")
    if not 2 <= len(parts) <= 3 or not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise ValueError(f"got {text!r}; allowed: NXxNYxNZ, cells from 1, as in 129x129x1")
    x, y, z = (int(part) for part in (*parts, "1")[:3])
    return x, y, z


@dataclass
class _Reader:
    """Takes values out of a mapping and keeps what is wrong with them."""

    problems: list[str] = field(default_factory=list)

    def keys(self, where: str, given: Mapping[Any, Any], allowed: Sequence[str]) -> None:
        for key in given:
            if key not in allowed:
                close = difflib.get_close_matches(str(key), allowed, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                self.problems.append(f"{where}{key}: no such key{hint} Allowed: {', '.join(allowed)}")

    def number(self, where: str, value: object, *, above: float | None = None, default: float = 1.0) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            self.problems.append(f"{where}: got {value!r}; allowed: a number")
            return default
        if above is not None and value <= above:
            self.problems.append(f"{where}: got {value!r}; allowed: a number above {above:g}")
            return default
        return float(value)

    def choice(self, where: str, value: object, allowed: Sequence[str]) -> str:
        if value not in allowed:
            self.problems.append(f"{where}: got {value!r}; allowed: {', '.join(allowed)}")
            return allowed[0]
        return str(value)

    def vector(self, where: str, value: object) -> tuple[float, float, float]:
        if not isinstance(value, list) or len(value) != 3:
            self.problems.append(f"{where}: got {value!r}; allowed: three numbers, as in [0.05, 0, 0]")
            return 0.0, 0.0, 0.0
        x, y, z = (self.number(f"{where}[{i}]", component) for i, component in enumerate(value))
        return x, y, z

    def side(self, where: str, value: object) -> Side:
        if value in ("wall", "outlet"):
            return Side(kind=value)
        if isinstance(value, dict):
            self.keys(f"{where}.", value, ("wall", "inlet", "profile"))
            profile = self.choice(f"{where}.profile", value.get("profile", "flat"), PROFILES)
            if ("wall" in value) != ("inlet" in value):
                kind = "wall" if "wall" in value else "inlet"
                velocity = self.vector(f"{where}.{kind}", value[kind])
                return Side(kind=kind, velocity=velocity, profile=profile)  # type: ignore[arg-type]  # choice checked it
        self.problems.append(
            f"{where}: got {value!r}; allowed: wall, outlet, {{wall: [u, v, w]}}, "
            "{inlet: [u, v, w], profile: parabolic}, and periodic for both ends"
        )
        return WALL

    def sides(self, given: object) -> tuple[tuple[Side, Side], tuple[Side, Side], tuple[Side, Side]]:
        if not isinstance(given, dict):
            self.problems.append(f"sides: got {given!r}; allowed: x, y and z, each `periodic` or two ends")
            given = {}
        self.keys("sides.", given, AXES)
        found = []
        for axis in AXES:
            value = given.get(axis, "periodic")
            if value == "periodic":
                found.append((PERIODIC, PERIODIC))
            elif isinstance(value, list) and len(value) == 2:
                low, high = (self.side(f"sides.{axis}[{i}]", end) for i, end in enumerate(value))
                found.append((low, high))
            else:
                self.problems.append(
                    f"sides.{axis}: got {value!r}; allowed: periodic, or a list of the low and the high end"
                )
                found.append((WALL, WALL))
        x, y, z = found
        return x, y, z

    def obstacle(self, given: object, grid: tuple[int, int, int], folder: Path) -> Obstacle | None:
        if given is None:
            return None
        if not isinstance(given, dict) or ("image" in given) == ("mask" in given):
            self.problems.append("obstacle: needs either `image: FILE.png` or `mask: FILE.npy`")
            return None
        self.keys("obstacle.", given, OBSTACLE_KEYS)
        at = given.get("at", [0, 0])
        if not (isinstance(at, list) and len(at) == 2 and all(isinstance(c, int) and c >= 0 for c in at)):
            self.problems.append(
                f"obstacle.at: got {at!r}; allowed: two whole numbers, cells from the low ends of x and y"
            )
            at = [0, 0]
        darker = self.number("obstacle.darker_than", given.get("darker_than", 0.5), above=0.0)
        size = given.get("size")
        size = None if size is None else self.number("obstacle.size", size, above=0.0)
        try:
            return from_file(
                folder / str(given.get("image") or given["mask"]),
                grid,
                at=(at[0], at[1]),
                darker_than=darker,
                size=size,
            )
        except ObstacleError as error:
            self.problems.append(f"obstacle: {error}")
            return None


def load(path: Path) -> Case:
    """The case in a file. Paths in it count from its folder.

    Raises
    ------
    CaseError
        With every problem of the file.
    """
    try:
        given = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CaseError(str(path), [f"cannot be read: {error}"]) from error
    if not isinstance(given, dict):
        raise CaseError(str(path), [f"got {type(given).__name__}; allowed: a mapping with the keys {', '.join(KEYS)}"])
    reader = _Reader()
    reader.keys("", given, KEYS)
    reader.problems += [f"{key}: is missing" for key in ("grid", "reynolds", "velocity", "length") if key not in given]
    grid = (1, 1, 1)
    try:
        grid = parse_grid(given.get("grid", "1x1x1"))
    except ValueError as error:
        reader.problems.append(f"grid: {error}")
    velocity, length, reynolds = (
        reader.number(key, given.get(key, 1.0), above=0.0) for key in ("velocity", "length", "reynolds")
    )
    magic: float | None = reader.number("magic", given.get("magic", WALLS_HALF_WAY), above=0.0)
    if reader.choice("collision", given.get("collision", "trt"), COLLISIONS) == "bgk":
        magic = None
    sides = reader.sides(given.get("sides", {}))
    initial = reader.choice("initial", given.get("initial", "rest"), INITIAL)
    if initial == "inlet" and not any(side.kind == "inlet" for ends in sides for side in ends):
        reader.problems.append("initial: inlet needs a side that is an inlet")
    force = reader.vector("force", given.get("force", [0, 0, 0]))
    obstacle = reader.obstacle(given.get("obstacle"), grid, path.parent)
    if reader.problems:
        raise CaseError(str(path), reader.problems)
    return Case(
        name=str(given.get("name", path.stem)),
        grid=grid,
        sides=sides,
        viscosity=velocity * length / reynolds,
        velocity=velocity,
        length=length,
        force=force,
        obstacle=obstacle,
        initial=initial,  # type: ignore[arg-type]  # choice checked it
        magic=magic,
    )
