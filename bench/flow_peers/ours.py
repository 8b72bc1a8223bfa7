"""Our cavity: prints one JSON line with its speed.

mpiexec -n RANKS python -m mpi4py ours.py NXxNYxNZ STEPS DTYPE...
"""

import json
import os
import sys
import time
from collections.abc import Sequence

from mpi4py import MPI

from workload.kernels.flow import startup
from workload.kernels.flow.casefile import parse_grid
from workload.kernels.flow.cases import Asked, cavity


def main(grid: tuple[int, int, int], steps: int, dtypes: Sequence[str], comm: MPI.Intracomm) -> None:
    startup.prepare(os.environ)
    from workload.kernels.flow.cpu import Cpu
    from workload.kernels.flow.solver import Flow

    cells = grid[0] * grid[1] * grid[2]
    found = {}
    for dtype in dtypes:
        flow = Flow(cavity(Asked(grid=grid, reynolds=100.0)), comm, dtype=dtype, kernel=Cpu)
        flow.advance(4)
        halo_before = flow.halo[0]
        comm.Barrier()
        began = time.perf_counter()
        flow.advance(steps)
        comm.Barrier()
        seconds = time.perf_counter() - began
        halo = comm.allreduce(flow.halo[0] - halo_before, MPI.MAX)
        values = flow.memory() / (cells * flow.dtype.itemsize)
        flow.close()
        found[dtype] = {
            "mlups": cells * steps / seconds / 1e6,
            "halo_ms_per_step": 1e3 * halo / steps,
            "halo_share": halo / seconds,
            "values_per_cell": values,
        }
    if comm.rank == 0:
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(parse_grid(sys.argv[1]), int(sys.argv[2]), sys.argv[3:], MPI.COMM_WORLD)
