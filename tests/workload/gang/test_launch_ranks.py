"""Real launches: every MPI starts ranks on several nodes through the one agent and the one shim."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

HELLO = r"""
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv) {
    int rank, size, sum;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    printf("rank %d of %d sum %d node %s\n", rank, size, sum, getenv("X_NODE"));
    MPI_Finalize();
    return 0;
}
"""


def test_c_program_runs_on_every_node_with_its_nodes_own_environment(
    gang_of: Callable[..., Any], compiled: Callable[[str], str]
) -> None:
    gang = gang_of(nodes=3, environ={"TUTTI_SECRET": "hidden"})
    assert gang.run([compiled(HELLO)]) == 0
    assert sorted(gang.output()) == [f"rank {r} of 3 sum 3 node {r}" for r in range(3)]
    assert [(r.rank, r.code) for r in sorted(gang.ended(), key=lambda r: r.rank)] == [(0, 0), (1, 0), (2, 0)]
