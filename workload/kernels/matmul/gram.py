"""G = A Aᵀ, A spread over ranks by rows: every block of G computed once, the work shared evenly.

Ranks sit in a ring. Rank r computes its diagonal block (a symmetric rank-k update, half the work of a product) and the
blocks between its rows and those of the next P // 2 ranks, and sends each of these to where it is needed transposed.
With an even number of ranks the farthest block would be computed from both sides: each does half of it.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

Matrix = NDArray[Any]
TAG_ROWS, TAG_BLOCK = 11, 12
TILE: Final = 128  # a tile and its transpose stay in the L2 cache: 2 x 128 KiB in float64


@dataclass(frozen=True, kw_only=True)
class Span:
    """Rows `start` to `stop` of the whole matrix."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def halves(self) -> tuple["Span", "Span"]:
        middle = (self.start + self.stop) // 2
        return Span(start=self.start, stop=middle), Span(start=middle, stop=self.stop)


@dataclass(frozen=True, kw_only=True)
class Task:
    """One block of G: rows `mine`, columns `theirs`, which belong to rank `peer`."""

    peer: int
    mine: Span
    theirs: Span


def rows_of(rank: int, size: int, rows: int) -> Span:
    """The rows of `rank`: as even as can be, the first ranks one more."""
    each, more = divmod(rows, size)
    start = rank * each + min(rank, more)
    return Span(start=start, stop=start + each + (rank < more))


def task_at(step: int, rank: int, size: int, rows: int) -> Task:
    """What `rank` computes at `step` (1 to size // 2; step 0, its diagonal block, is no task between two)."""
    peer = (rank + step) % size
    mine, theirs = rows_of(rank, size, rows), rows_of(peer, size, rows)
    if 2 * step == size:  # the peer is as far in the other direction: half each
        if rank < peer:
            theirs = theirs.halves()[0]
        else:
            mine = mine.halves()[1]
    return Task(peer=peer, mine=mine, theirs=theirs)


def flops(rows: int, columns: int) -> int:
    """Additions and multiplications that G takes where its symmetry is used: `rows * (rows + 1) * columns`."""
    return rows * (rows + 1) * columns


def transpose_into(target: Matrix, source: Matrix) -> None:
    """`target[:] = source.T`, tile by tile: NumPy's own walks one of the two across the grain."""
    rows, columns = source.shape
    for i in range(0, rows, TILE):
        for j in range(0, columns, TILE):
            target[j : j + TILE, i : i + TILE] = source[i : i + TILE, j : j + TILE].T


def gram(block: Matrix, rows: int, comm: MPI.Comm) -> Matrix:
    """Compute this rank's rows of A Aᵀ. Collective over `comm`.

    Parameters
    ----------
    block
        This rank's rows of A, shape (n, k), C-contiguous, float32 or float64: rows `rows_of(rank, size, rows)`.
    rows
        All rows of A.

    Returns
    -------
    ndarray
        Shape (n, rows), of `block`'s type.
    """
    rank, size = comm.rank, comm.size
    own = rows_of(rank, size, rows)
    result = np.empty((len(own), rows), dtype=block.dtype)
    steps = size // 2
    coming = _fetch(block, 1, rows, comm) if steps else None
    # NumPy sees that both factors are the same memory and calls SYRK.
    np.matmul(block, block.T, out=result[:, own.start : own.stop])
    for step in range(1, steps + 1):
        task = task_at(step, rank, size, rows)
        theirs, requests = coming if coming is not None else _fetch(block, step, rows, comm)
        MPI.Request.Waitall(requests)
        coming = _fetch(block, step + 1, rows, comm) if step < steps else None
        mine = slice(task.mine.start - own.start, task.mine.stop - own.start)
        there = result[mine, task.theirs.start : task.theirs.stop]
        np.matmul(block[mine], theirs.T, out=there)
        _exchange(result, np.ascontiguousarray(there), step, rows, comm)
    return result


def _fetch(block: Matrix, step: int, rows: int, comm: MPI.Comm) -> tuple[Matrix, list[MPI.Request]]:
    """Ask for the rows of A that `step` needs, and give the rank that needs ours what it needs."""
    rank, size = comm.rank, comm.size
    own = rows_of(rank, size, rows)
    task = task_at(step, rank, size, rows)
    back = (rank - step) % size
    wanted = task_at(step, back, size, rows).theirs
    theirs = np.empty((len(task.theirs), block.shape[1]), dtype=block.dtype)
    given = block[wanted.start - own.start : wanted.stop - own.start]
    return theirs, [comm.Irecv(theirs, source=task.peer, tag=TAG_ROWS), comm.Isend(given, dest=back, tag=TAG_ROWS)]


def _exchange(result: Matrix, computed: Matrix, step: int, rows: int, comm: MPI.Comm) -> None:
    """Send the block just computed to the rank that has its columns as rows, and put in place what comes likewise."""
    rank, size = comm.rank, comm.size
    own = rows_of(rank, size, rows)
    back = (rank - step) % size
    task = task_at(step, back, size, rows)
    incoming = np.empty((len(task.mine), len(task.theirs)), dtype=result.dtype)
    sending = comm.Isend(computed, dest=(rank + step) % size, tag=TAG_BLOCK)
    comm.Recv(incoming, source=back, tag=TAG_BLOCK)
    there = result[task.theirs.start - own.start : task.theirs.stop - own.start, task.mine.start : task.mine.stop]
    transpose_into(there, incoming)
    sending.Wait()
