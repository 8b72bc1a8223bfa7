"""The commit protocol: blocks first, the manifest last, nothing in between that a reader could believe."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mpi4py import MPI

from workload.checkpoint.blocks import Block, write_blocks
from workload.checkpoint.errors import CheckpointError, SaveError
from workload.checkpoint.fit import describe, misfits
from workload.checkpoint.together import on_all, on_rank_0
from workload.manifest import Array, Manifest, Piece, folder_name, folders_in, manifest_key
from workload.vault import inventory, lock
from workload.vault.store import Store, StoreError

Blocks = Mapping[str, Block]


@dataclass(frozen=True, kw_only=True)
class State:
    """What is to be saved: the blocks and notes after `step` steps."""

    step: int
    blocks: Blocks
    notes: Mapping[str, Any]


def refuse_misfits(comm: MPI.Intracomm, blocks: Blocks) -> None:
    """See that the blocks of all ranks make arrays. Collective.

    Raises
    ------
    CheckpointError
        They do not; the text has every problem.
    """
    everyone = comm.gather(describe(blocks))

    def judge() -> None:
        if problems := misfits(everyone or []):
            raise CheckpointError("; ".join(problems))

    on_rank_0(comm, judge, CheckpointError)


class Sweeper:
    """Removes old checkpoints while the program computes on; one at a time. On rank 0 alone."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    def start(self, work: Callable[[], None]) -> None:
        self.wait()
        self._thread = threading.Thread(target=work, name="checkpoint-sweeper")
        self._thread.start()

    def wait(self) -> None:
        if self._thread is not None:
            self._thread.join()
            self._thread = None


@dataclass(frozen=True, kw_only=True)
class Saver:
    """Saves into `store`. held: the lock, on rank 0 alone. at_stage: told each stage of a save, on every rank."""

    comm: MPI.Intracomm
    store: Store
    held: lock.Held | None
    case: Mapping[str, Any]
    keep: int
    say: Callable[[str], None]
    at_stage: Callable[[str], None]
    sweeper: Sweeper = field(default_factory=Sweeper)

    def save(self, state: State, bad: set[str]) -> Manifest:
        """Save `state`, then remove what is superfluous, and `bad`: checkpoints known to be damaged. Collective.

        Raises
        ------
        SaveError
            Some rank could not write, or the manifest could not be: nothing was committed.
        CheckpointError
            The blocks are no arrays, or the lock is no longer ours.
        """
        began = time.monotonic()
        refuse_misfits(self.comm, state.blocks)
        self.at_stage("begin")
        folder = on_rank_0(self.comm, lambda: self._make_folder(state.step), SaveError)
        self.at_stage("folder")
        try:
            written = on_all(
                self.comm, lambda: write_blocks(self.store, folder, self.comm.rank, state.blocks), SaveError
            )
            self.at_stage("own blocks")
            everyone = self.comm.gather(written)
            self.at_stage("all blocks")
            manifest = on_rank_0(self.comm, lambda: self._commit(folder, state, everyone or [], began), SaveError)
        except SaveError:
            on_rank_0(self.comm, lambda: self._remove([folder]), SaveError)  # it may be what fills the disk
            raise
        self.at_stage("committed")
        if self.comm.rank == 0:
            # What is removed was committed before, or is known to be damaged: a program that is killed meanwhile leaves
            # folders without manifests, which the next `open` clears away.
            known = frozenset(bad)
            self.sweeper.start(lambda: self._prune(folder, known))
        self.at_stage("pruning")
        return manifest

    def _make_folder(self, step: int) -> str:
        self.sweeper.wait()
        folder = folder_name(step, secrets.token_hex(4))
        self.store.make_folder(folder)
        return folder

    def _commit(self, folder: str, state: State, written: list[dict[str, list[Piece]]], began: float) -> Manifest:
        if self.held is None:
            raise CheckpointError("a rank without the lock cannot commit")
        arrays = {
            name: Array(
                dtype=block.data.dtype.str,
                shape=tuple(int(n) for n in block.shape),
                pieces=tuple(piece for rank in written for piece in rank[name]),
            )
            for name, block in state.blocks.items()
        }
        manifest = Manifest(
            folder=folder,
            step=state.step,
            written=time.time(),
            seconds=time.monotonic() - began,
            ranks=self.comm.size,
            job=self.held.owner.job,
            attempt=self.held.owner.attempt,
            arrays=arrays,
            case=self.case,
            notes=state.notes,
        )
        data = manifest.to_bytes()
        # Late, so that the time between this look and the commit is short: a lock is lost to a later attempt only.
        try:
            self.held.check()
        except lock.LockedError as error:
            raise CheckpointError(str(error)) from error
        self.at_stage("before manifest")
        self.store.put(manifest_key(folder), data)
        self.at_stage("manifest")
        return manifest

    def _prune(self, newest: str, bad: frozenset[str]) -> None:
        try:
            folders = folders_in(list(self.store.list()))
        except StoreError as error:
            self.say(f"checkpoint: could not look for old ones: {error}")
            return
        self._remove(inventory.superfluous(folders, keep=self.keep, bad=bad, newest=newest))

    def _remove(self, folders: list[str]) -> None:
        try:
            inventory.remove(self.store, folders)
        except StoreError as error:
            self.say(f"checkpoint: could not remove {', '.join(folders)}: {error}")
