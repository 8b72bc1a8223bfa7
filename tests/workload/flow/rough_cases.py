"""Small cases with everything in them: every kind of side, random obstacles, a force. Run by itself, under mpiexec:

    python -m mpi4py rough_cases.py FILE.json

writes, for each case, dtype and cut, a checksum of the whole field after 8 steps.
"""

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from workload.kernels.flow import startup
from workload.kernels.flow.case import PERIODIC, WALL, Case, Obstacle, Side

INLET = Side(kind="inlet", velocity=(0.05, 0.01, 0.0), profile="parabolic")
OUTLET = Side(kind="outlet")
LID = Side(kind="wall", velocity=(0.05, 0.0, 0.02))
OPEN = (PERIODIC, PERIODIC)


def rough_cases() -> list[Case]:
    """The cases; 24, 12 or 6 cells along each axis, so that 6 ranks can cut any way."""
    rng = np.random.default_rng(1)

    def case(name: str, grid: tuple[int, int, int], *sides: Any, solid: float = 0.0, **others: Any) -> Case:
        mask = rng.random(grid[::-1]) < solid
        obstacle = Obstacle(mask=mask, size=3.0) if solid else None
        return Case(
            name=name, grid=grid, sides=sides, viscosity=0.02, velocity=0.05, length=10.0, obstacle=obstacle, **others
        )

    walls = (WALL, WALL)
    return [
        case("pores", (13, 11, 9), OPEN, OPEN, OPEN, solid=0.2, force=(1e-5, 2e-5, -1e-5), initial="taylor-green"),
        case("duct", (12, 7, 11), (INLET, OUTLET), walls, OPEN, solid=0.2, initial="inlet"),
        case("flat lid", (17, 13, 1), walls, (WALL, LID), OPEN),
        case("box", (9, 8, 7), walls, (LID, WALL), walls, solid=0.2),
        case("shaft", (6, 5, 24), OPEN, (OUTLET, INLET), (WALL, LID), solid=0.2),
        case("thread", (24, 3, 3), OPEN, OPEN, OPEN, initial="taylor-green"),
    ]


def main(path: str) -> None:
    startup.prepare(os.environ)
    from mpi4py import MPI

    from workload.kernels.flow import output, solver
    from workload.kernels.flow.cpu import Cpu

    comm = MPI.COMM_WORLD
    sums: dict[str, str] = {}
    cuts: set[tuple[int, ...]] = set()
    # Each axis is cut in turn; the second tile makes another order of the same steps, and so do other groups of them.
    for cost, tile, dtypes, groups in (
        ((8.0, 1.0, 1.0), 16, ("float64", "float32"), (6, 2)),
        ((0.01, 1.0, 1.0), 3, ("float64",), (3, 5)),
        ((1.0, 0.01, 1.0), 3, ("float64",), (1, 6, 1)),
    ):
        solver.FACE_COST, solver.TILE = cost, tile
        for dtype in dtypes:
            for case in rough_cases():
                flow = solver.Flow(case, comm, dtype=dtype, kernel=Cpu)
                for steps in groups:
                    flow.advance(steps)
                fields = output.collect(flow, 0, case.grid[2])
                cuts.add(flow.part.decomposition.parts)
                flow.close()
                if fields is not None:
                    whole = np.stack(list(fields.values()))
                    assert np.isfinite(whole).all()
                    found = hashlib.sha256(whole.tobytes()).hexdigest()
                    assert sums.setdefault(f"{case.name} {dtype}", found) == found, (
                        "the cut, or how steps are grouped, changed the field"
                    )
    if comm.rank == 0:
        Path(path).write_text(json.dumps({"sums": sums, "cuts": sorted(cuts)}))


if __name__ == "__main__":
    main(sys.argv[1])
