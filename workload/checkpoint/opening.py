"""Taking a place for checkpoints: the lock, the sight of it from every node, and what unfinished saves left there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from mpi4py import MPI

from workload.checkpoint.errors import CheckpointError
from workload.checkpoint.together import on_all
from workload.manifest import LOCK_KEY, folders_in
from workload.vault import inventory, lock
from workload.vault.store import Store

SEEN_S: Final = 5.0  # a client of NFS may believe for some seconds that a name is not there
SEEN_POLL_S: Final = 0.1


def take(comm: MPI.Intracomm, store: Store, environ: Mapping[str, str], say: Callable[[str], None]) -> lock.Held | None:
    """The lock of `store`, on rank 0; None elsewhere. Collective over `comm`.

    Raises
    ------
    CheckpointError
        Somebody else holds it; not every rank sees what rank 0 writes there; the store failed. The lock is free then.
    """
    held = on_all(comm, lambda: None if comm.rank else _take(store, environ, say), CheckpointError)
    mark = comm.bcast(held and held.owner.to_bytes())
    try:
        on_all(comm, lambda: _see(store, mark), CheckpointError)
    except CheckpointError:
        if held is not None:
            held.release()
        raise
    return held


def _take(store: Store, environ: Mapping[str, str], say: Callable[[str], None]) -> lock.Held:
    store.make_folder("")
    held = lock.acquire(store, lock.Owner.of_this_process(environ))
    try:
        if held.taken_from:
            say(f"checkpoint: {held.taken_from}")
        folders = folders_in(list(store.list()))
        inventory.remove(store, [folder for folder, committed in folders.items() if not committed])
    except BaseException:
        held.release()
        raise
    return held


def _see(store: Store, mark: bytes) -> None:
    """See the lock that rank 0 has written: a place on one node's own disk would lose what the other nodes save.

    Raises
    ------
    CheckpointError
        It does not show within SEEN_S.
    """
    end = time.monotonic() + SEEN_S
    while (entry := store.get(LOCK_KEY)) is None or entry.data != mark:
        if time.monotonic() > end:
            raise CheckpointError(
                f"{store.target}: what rank 0 wrote there does not show here within {SEEN_S:.0f} s. Checkpoints need a "
                "place that all nodes share: shared:PATH or s3://BUCKET/PREFIX",
            )
        time.sleep(SEEN_POLL_S)
