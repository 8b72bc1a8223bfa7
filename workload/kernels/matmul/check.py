"""Whether a product is right: some of its entries against dot products of their own."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from mpi4py import MPI

from workload.kernels.matmul.gram import Matrix, rows_of


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One entry of G = A Aᵀ, what it must be, and by how much it may differ."""

    row: int
    column: int
    got: float
    direct: float
    bound: float

    @property
    def is_right(self) -> bool:
        if not math.isfinite(self.bound):  # A has infinities or NaN in these rows: nothing can be said
            return True
        return abs(self.got - self.direct) <= self.bound


def error_bound(left: Matrix, right: Matrix) -> float:
    """By how much a dot product in the arithmetic of `left` may differ from the exact one.

    Both of shape (k,). |error| <= gamma_k |left|.|right| with gamma_k = k u / (1 - k u), u the unit roundoff, in
    whatever order the terms are added (Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., eq. 3.5).
    The direct product, in float64 and exactly added, has an error of at most one more u64 |left|.|right|.
    """
    unit = float(np.finfo(left.dtype).eps) / 2
    terms = len(left)
    gamma = terms * unit / (1 - terms * unit)
    weight = float(np.abs(left.astype(np.float64)) @ np.abs(right.astype(np.float64)))
    # The second part: results that underflow lose at most the smallest number each.
    return (gamma + 2.0**-52) * weight + terms * float(np.finfo(left.dtype).smallest_subnormal)


def direct_product(left: Matrix, right: Matrix) -> float:
    """The dot product of two vectors of shape (k,), products in float64, their sum exact until its last rounding."""
    return math.fsum(np.asarray(left, np.float64) * np.asarray(right, np.float64))


def check_sample(block: Matrix, result: Matrix, rows: int, comm: MPI.Comm, *, samples: int, seed: int) -> list[Entry]:
    """Compare `samples` random entries of G with direct products. Collective over `comm`.

    Parameters
    ----------
    block, result
        This rank's rows of A, shape (n, k), and of G, shape (n, rows).

    Returns
    -------
    list of Entry
        On rank 0 all entries, elsewhere an empty list.
    """
    span = rows_of(comm.rank, comm.size, rows)
    if rows == 0:
        return []
    pairs = np.random.default_rng(seed).integers(0, rows, size=(samples, 2)).tolist()
    own = range(span.start, span.stop)
    needed = {row for pair in pairs for row in pair if row in own}
    vectors: dict[int, Any] = {}
    entries: dict[tuple[int, int], float] = {}
    for some_vectors, some_entries in (
        comm.gather(
            (
                {row: np.array(block[row - span.start]) for row in needed},
                {(row, column): float(result[row - span.start, column]) for row, column in pairs if row in own},
            )
        )
        or []
    ):
        vectors |= some_vectors
        entries |= some_entries
    return [
        Entry(
            row=row,
            column=column,
            got=got,
            direct=direct_product(vectors[row], vectors[column]),
            bound=error_bound(vectors[row], vectors[column]),
        )
        for (row, column), got in entries.items()
    ]
