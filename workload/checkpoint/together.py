"""What ranks decide together: an error on one is an error on all, so that none waits for one that is gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from mpi4py import MPI

from workload.checkpoint.errors import CheckpointError

T = TypeVar("T")


def on_rank_0(comm: MPI.Intracomm, work: Callable[[], T], error: type[CheckpointError]) -> T:
    """Do `work` on rank 0 and give every rank its result, which must be picklable. Collective over `comm`.

    Raises
    ------
    error
        With the text of what `work` raised, on all ranks; where that is a CheckpointError, its own kind.
    """
    outcome: tuple[T | None, type[CheckpointError] | None, str] = (None, None, "")
    if comm.rank == 0:
        outcome = _attempt(work, error)
    result, kind, text = comm.bcast(outcome)
    if kind is not None:
        raise kind(text)
    return cast("T", result)


def on_all(comm: MPI.Intracomm, work: Callable[[], T], error: type[CheckpointError]) -> T:
    """Do `work` on every rank; each gets its own result. Collective over `comm`.

    Raises
    ------
    error
        With the first rank's text, on all ranks.
    """
    result, kind, text = _attempt(work, error)
    failed = [(rank, k, t) for rank, (k, t) in enumerate(comm.allgather((kind, text))) if k is not None]
    if failed:
        rank, first, text = failed[0]
        more = f" (and {len(failed) - 1} more ranks)" if failed[1:] else ""
        raise first(f"rank {rank}: {text}{more}")
    return cast("T", result)


def node_count(comm: MPI.Intracomm) -> int:
    """How many hosts the ranks of `comm` are on. Collective over `comm`."""
    here = comm.Split_type(MPI.COMM_TYPE_SHARED)
    try:
        return int(comm.allreduce(int(here.rank == 0)))
    finally:
        here.Free()


def _attempt(work: Callable[[], T], error: type[CheckpointError]) -> tuple[T | None, type[CheckpointError] | None, str]:
    try:
        return work(), None, ""
    except Exception as caught:  # noqa: BLE001  the others wait for word from this rank, whatever happened here
        kind = type(caught) if isinstance(caught, CheckpointError) else error
        text = str(caught) or type(caught).__name__
        return None, kind, text
