"""Numbers of a run that people compare: centre lines of the cavity, drag, lift and Strouhal number of an obstacle."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from workload.kernels.flow import output
from workload.kernels.flow.case import Case
from workload.kernels.flow.solver import STEPS_AT_ONCE, Flow

SAMPLES = 50  # of the force, in the time in which the flow passes the obstacle once
SETTLED = 0.75  # drag and lift are those of the run's last quarter


def centerlines(flow: Flow) -> dict[str, list[list[float]]]:
    """Of the cavity: u along y and v along x through the middle, as [coordinate / width, velocity / lid velocity].

    The walls' own values stand at both ends. Collective; empty but on rank 0, and for other cases.
    """
    case = flow.case
    section = output.middle(flow) if case.name == "cavity" else None
    if section is None:
        return {}
    nx, ny, _ = case.grid

    def across(values: npt.NDArray[Any], axis: int) -> npt.NDArray[np.float64]:
        low, high = (values.shape[axis] - 1) // 2, values.shape[axis] // 2
        line: npt.NDArray[np.float64] = (values.take(low, axis) + values.take(high, axis)).astype(np.float64) / 2
        return line / case.velocity

    def pairs(line: npt.NDArray[np.float64], cells: int, end: float) -> list[list[float]]:
        coordinates = (np.arange(cells) + 0.5) / cells
        return [[0.0, 0.0], *([float(c), float(v)] for c, v in zip(coordinates, line, strict=True)), [1.0, end]]

    return {
        "u_centerline": pairs(across(section["u"], 1), ny, 1.0),
        "v_centerline": pairs(across(section["v"], 0), nx, 0.0),
    }


@dataclass
class Forces:
    """Force on the obstacle over time."""

    case: Case
    steps: list[int] = field(default_factory=list)
    values: list[list[float]] = field(default_factory=list)

    @property
    def period(self) -> int:
        """Steps between two samples."""
        passing = self.case.length / self.case.velocity
        return max(STEPS_AT_ONCE, int(passing / SAMPLES) // STEPS_AT_ONCE * STEPS_AT_ONCE)

    def add(self, step: int, force: npt.NDArray[np.float64]) -> None:
        self.steps.append(step)
        self.values.append([float(component) for component in force])

    def notes(self) -> dict[str, Any]:
        """What a checkpoint must keep."""
        return {"force_steps": self.steps, "forces": self.values} if self.steps else {}

    def restore(self, notes: Mapping[str, Any]) -> None:
        self.steps = list(notes.get("force_steps", []))
        self.values = [list(value) for value in notes.get("forces", [])]

    def summary(self) -> dict[str, float]:
        """Drag and lift coefficients (force / (density velocity^2 size depth / 2)) and the Strouhal number.

        Of the last quarter of the samples; the Strouhal number (frequency size / velocity) from the times at which
        the lift rises through its mean, if it does so three times.
        """
        obstacle = self.case.obstacle
        if obstacle is None or len(self.steps) < 4:
            return {}
        recent = slice(int(SETTLED * len(self.steps)), None)
        scale = 2.0 / (self.case.velocity**2 * obstacle.size * self.case.grid[2])
        drag, lift = (np.array(self.values)[recent, axis] * scale for axis in (0, 1))
        found = {
            "drag_mean": float(drag.mean()),
            "drag_max": float(drag.max()),
            "lift_min": float(lift.min()),
            "lift_max": float(lift.max()),
        }
        frequency = rising_frequency(np.array(self.steps[recent], dtype=np.float64), lift)
        if math.isfinite(frequency):
            found["strouhal"] = frequency * obstacle.size / self.case.velocity
        return found


def rising_frequency(times: npt.NDArray[np.float64], values: npt.NDArray[np.float64]) -> float:
    """Frequency with which values rise through their mean (times interpolated); NaN for fewer than 3 rises."""
    above = values - values.mean()
    rises = np.nonzero((above[:-1] < 0) & (above[1:] >= 0))[0]
    if len(rises) < 3:
        return math.nan
    share = -above[rises] / (above[rises + 1] - above[rises])
    crossings = times[rises] + share * (times[rises + 1] - times[rises])
    return float((len(crossings) - 1) / (crossings[-1] - crossings[0]))
