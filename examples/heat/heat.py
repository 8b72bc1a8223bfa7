"""A heated plate that survives: mpiexec -n 4 python -m mpi4py heat.py out/plate 2000

Explicit heat equation on N x N points, split by rows, with checkpoints of its own. Kill it and start it again, with
any number of ranks: it goes on from the last checkpoint, and the result is the same to the last bit.
"""

import os
import sys

import numpy as np
from mpi4py import MPI

from workload.checkpoint import Block, Checkpoints
from workload.progress import Progress

N = int(os.environ.get("HEAT_POINTS", "512"))
D = 0.2  # diffusivity x time step / spacing^2; stable up to 1/4


def main(target: str, steps: int, comm: MPI.Intracomm) -> None:
    first, last = comm.rank * N // comm.size, (comm.rank + 1) * N // comm.size  # my rows
    u = np.zeros((last - first + 2, N))  # and a row of each neighbour
    if comm.rank == 0:
        u[1, N // 4 : -N // 4] = 100.0  # a hot piece of the edge
    up, down = (comm.rank - 1 if comm.rank else MPI.PROC_NULL), (comm.rank + 1 if last < N else MPI.PROC_NULL)
    mine = {"u": Block(data=u[1:-1], shape=(N, N), offset=(first, 0))}  # what a checkpoint holds: no neighbour's rows
    inner = slice(2 if comm.rank == 0 else 1, -2 if last == N else -1)  # the plate's edges keep their temperature

    progress = Progress(steps, rank=comm.rank)
    with Checkpoints.open(
        target, comm, every=os.environ.get("HEAT_EVERY", "auto"), case={"N": N, "D": D}
    ) as checkpoints:
        start = checkpoints.restore(mine)
        for step in range(start.step + 1, steps + 1):
            comm.Sendrecv(u[1], up, recvbuf=u[-1], source=down)
            comm.Sendrecv(u[-2], down, recvbuf=u[0], source=up)
            around = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:]
            u[inner, 1:-1] += D * (around[inner.start - 1 : inner.stop + 1 or None] - 4 * u[inner, 1:-1])
            progress.step(step)
            checkpoints.after(step, mine)
        checkpoints.finish(steps, mine)
    print(f"rank {comm.rank}: rows {first} to {last - 1}, mean {u[1:-1].mean():.6f}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), MPI.COMM_WORLD)
