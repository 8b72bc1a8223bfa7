"""Checkpoints of any MPI program: saved together, believed only when whole, restored on any number of ranks.

    with Checkpoints.open("s3://bucket/run-7", comm, every="auto") as checkpoints:
        blocks = {"u": Block(data=u, shape=(n, n), offset=(first_row, 0))}
        start = checkpoints.restore(blocks)
        for step in range(start.step, steps):
            ...
            checkpoints.after(step + 1, blocks)

How a checkpoint comes to be: every rank writes its own blocks with their checksums; when all have, rank 0 sees that the
lock is still this program's and writes the manifest, which names every piece. What has no manifest is no checkpoint.
`after` also obeys requests (`workload.vault.control`), and SIGTERM: save, and leave with the code for it.
"""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from mpi4py import MPI

from workload.checkpoint.blocks import read_blocks
from workload.checkpoint.errors import CheckpointError, SaveError, StoppedError
from workload.checkpoint.fit import differences
from workload.checkpoint.opening import take
from workload.checkpoint.pace import Action, Pace, Plan
from workload.checkpoint.saving import Blocks, Saver, State, refuse_misfits
from workload.checkpoint.term import TermFlag
from workload.checkpoint.together import node_count, on_all, on_rank_0
from workload.contract import SAYS, ExitCode
from workload.interval import Every, FailureRate
from workload.manifest import ANSWER_KEY, Manifest
from workload.progress import tell_stopped
from workload.vault import control, inventory
from workload.vault.store import Store, StoreError, open_store


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where to go on: after `step` steps; 0 and no notes for a fresh start. folder: of the checkpoint, or ""."""

    step: int = 0
    notes: Mapping[str, Any] = field(default_factory=dict)
    folder: str = ""


def _say(text: str) -> None:
    print(f"{SAYS}{text}", flush=True)


class Checkpoints:
    """The checkpoints of a running program. Make one with `open`, use it in a `with` statement."""

    def __init__(self, saver: Saver, pace: Pace | None, term: TermFlag, environ: Mapping[str, str]) -> None:
        self._saver = saver
        self._comm = saver.comm
        self._store = saver.store
        self._pace = pace  # rank 0 alone
        self._environ = environ
        self._bad: set[str] = set()  # committed, but damaged
        self._last: Manifest | None = None  # committed or restored by this run
        self._next_check = 0
        self._term = term

    @classmethod
    def open(
        cls,
        target: str,
        comm: MPI.Intracomm,
        *,
        every: str | int = "auto",
        case: Mapping[str, Any] | None = None,
        keep: int = inventory.KEEP,
        node_mtbf: float | None = None,
        environ: Mapping[str, str] | None = None,
        say: Callable[[str], None] = _say,
        at_stage: Callable[[str], None] = lambda _: None,
    ) -> Self:
        """Take the lock of `target` and clear away what unfinished saves left. Collective over `comm`.

        Parameters
        ----------
        target
            A folder that all ranks see, `shared:PATH`, or `s3://BUCKET/PREFIX`.
        comm
            A duplicate of it is used.
        every
            A number of steps, a time ("10m"), or "auto" (Young/Daly, `workload.interval`).
        case
            What tells this run from others (grid, Reynolds number ...), JSON: `restore` refuses another case's.
        keep
            How many good checkpoints stay, from 1.
        node_mtbf
            Mean time between failures of one node in seconds, for "auto"; None: the pool's (TUTTI_NODE_MTBF), else an
            assumption, said in the log.
        environ
            In place of os.environ: the job's id and attempt for the lock.
        say
            Takes a line for people; called on rank 0 alone.
        at_stage
            Called on every rank with the name of each stage of a save, for tests.

        Raises
        ------
        CheckpointError
            Another job writes there; the place cannot be used; an argument is not allowed.
        """
        comm = comm.Dup()
        surroundings = os.environ if environ is None else environ
        nodes = node_count(comm)

        def arguments() -> tuple[Store, Every, FailureRate]:
            if keep < 1:
                raise CheckpointError(f"keep: got {keep}; allowed: 1 or more")
            rate = FailureRate.find(node_mtbf, surroundings)
            return open_store(target, surroundings), Every.parse(every), rate

        # First of all: a SIGTERM that comes while the lock is taken is obeyed at the first step.
        term = TermFlag.install()
        try:
            store, interval, rate = on_all(comm, arguments, CheckpointError)
            held = take(comm, store, surroundings, say)
        except CheckpointError:
            term.uninstall()
            comm.Free()
            raise
        saver = Saver(comm=comm, store=store, held=held, case=case or {}, keep=keep, say=say, at_stage=at_stage)
        pace = None
        if held is not None:
            pace = Pace(store=store, held=held, every=interval, nodes=nodes, rate=rate, say=say)
        return cls(saver, pace, term, surroundings)

    def restore(self, blocks: Blocks) -> Start:
        """Fill the data of `blocks` from the newest good checkpoint, whatever number of ranks saved it. Collective.

        Damaged checkpoints are named in the log and passed over. What `blocks` held is lost, but for a fresh start.

        Raises
        ------
        CheckpointError
            The checkpoint is of another case or of other arrays; there are some and none is good; the store failed
            (which says nothing about the checkpoints: try again).
        """
        refuse_misfits(self._comm, blocks)
        found = on_rank_0(self._comm, lambda: inventory.survey(self._store), CheckpointError)
        committed = [f for f in found if f.committed]
        for candidate in committed:
            manifest = candidate.manifest
            damage = list(candidate.damage)
            if manifest is not None and not damage:
                began = time.monotonic()
                damage = self._read(manifest, blocks)
                if not damage:
                    amount = _amount(manifest.size, time.monotonic() - began)
                    self._tell(f"going on from step {manifest.step}, {amount}")
                    self._last = manifest
                    if self._pace is not None:
                        self._pace.started(manifest.step, manifest.seconds)
                    return Start(step=manifest.step, notes=manifest.notes, folder=manifest.folder)
            self._bad.add(candidate.folder)
            for line in damage:
                self._tell(f"that of step {candidate.step} is damaged: {line}")
        if committed:
            raise CheckpointError(
                f"none of the {len(committed)} checkpoints in {self._store.target} is good, see above. "
                "To start from the beginning, give an empty place, or remove this one",
            )
        if self._pace is not None:
            self._pace.started(0, None)
        return Start()

    def after(self, step: int, blocks: Blocks | Callable[[], Blocks], notes: Mapping[str, Any] | None = None) -> None:
        """Say that `step` steps are done; saves when it is time, and obeys requests and SIGTERM. Collective.

        Call it on every rank with the same `step`; most calls return at once, without communication. A save that fails
        is said in the log, and the program goes on. `blocks` may be a function, called only where something is saved.
        `notes` are small values of the program's own (JSON) that `restore` gives back.

        Raises
        ------
        StoppedError
            A `stop` was asked (213) or SIGTERM came (224). Let it through: it ends the program.
        CheckpointError
            Another program took the lock: this one must end.
        """
        if step >= self._next_check:
            self._consider(step, blocks, notes or {})

    def save(self, step: int, blocks: Blocks, notes: Mapping[str, Any] | None = None) -> Manifest:
        """Save now, as the state after `step` steps; the state of one step is saved once. Collective.

        Raises
        ------
        SaveError
            Some rank could not write; nothing was committed, the last good checkpoint still is.
        CheckpointError
            The blocks do not fit together, or another program took the lock.
        """
        return self._save(State(step=step, blocks=blocks, notes=notes or {}))

    def finish(self, step: int, blocks: Blocks, notes: Mapping[str, Any] | None = None) -> None:
        """Save the state at the program's end; one that fails is said in the log: results matter more. Collective.

        Raises
        ------
        CheckpointError
            The blocks do not fit together, or another program took the lock.
        """
        self._try(State(step=step, blocks=blocks, notes=notes or {}))

    def close(self) -> None:
        """Give the lock back. Collective; `with` does it."""
        self._release()
        self._comm.Free()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or issubclass(kind, StoppedError | CheckpointError):
            self.close()
        else:
            self._release()  # this rank alone may be here: nothing collective

    def _save(self, state: State) -> Manifest:
        if self._last is not None and self._last.step == state.step:
            return self._last
        began = time.monotonic()
        manifest = self._last = self._saver.save(state, self._bad)
        self._bad.clear()
        seconds = time.monotonic() - began
        self._tell(f"saved step {state.step}, {_amount(manifest.size, seconds)}")
        if self._pace is not None:
            self._pace.saved(state.step, seconds)
        return manifest

    def _try(self, state: State) -> str:
        """Save; the reason in words where that fails, else ""."""
        try:
            self._save(state)
        except SaveError as error:
            failure = f"could not save step {state.step}: {error}"
            self._tell(f"{failure}. The last good one is what it was")
            if self._pace is not None:
                self._pace.failed(state.step)
            return failure
        return ""

    def _consider(self, step: int, blocks: Blocks | Callable[[], Blocks], notes: Mapping[str, Any]) -> None:
        term = bool(self._comm.allreduce(int(self._term.received), MPI.MAX))
        plan = on_rank_0(self._comm, lambda: self._plan(step, term=term), CheckpointError)
        self._next_check = plan.next_check
        if plan.action is Action.GO_ON:
            return
        failure = self._try(State(step=step, blocks=blocks() if callable(blocks) else blocks, notes=notes))
        saved, message = not failure, failure or f"saved step {step}"
        if plan.request:
            on_rank_0(self._comm, lambda: self._answer(plan, step, saved=saved, message=message), CheckpointError)
        if plan.action is Action.SAVE:
            return
        code = ExitCode.STOPPED if plan.action is Action.STOP else ExitCode.GOING_AWAY
        if plan.action is Action.STOP:
            tell_stopped(self._comm.rank, step, self._environ)
        self._tell(f"leaving with {int(code)} ({code.meaning}): {message}")
        # Python's own way out, on every rank: without this, mpi4py answers the exit code with MPI_Abort, which kills
        # whichever ranks are slower before they have left with the code.
        atexit.register(MPI.Finalize)
        raise StoppedError(int(code))

    def _plan(self, step: int, *, term: bool) -> Plan:
        if self._pace is None:
            raise CheckpointError("only rank 0 makes plans")
        return self._pace.plan(step, term=term)

    def _answer(self, plan: Plan, step: int, *, saved: bool, message: str) -> None:
        verb = control.Verb.STOP if plan.action is Action.STOP else control.Verb.SAVE
        answer = control.Answer(id=plan.request, verb=verb, step=step, saved=saved, message=message)
        try:
            self._store.put(ANSWER_KEY, answer.to_bytes())
        except StoreError as error:
            self._tell(f"could not answer the request: {error}")

    def _read(self, manifest: Manifest, blocks: Blocks) -> list[str]:
        """Read into `blocks`, and give every rank all the damage that any found."""

        def read() -> list[str]:
            if differ := differences(manifest, blocks, self._saver.case):
                raise CheckpointError(
                    f"{self._store.target}/{manifest.folder} is of another run: {'; '.join(differ)}. "
                    "Give this run a place of its own, or the same settings",
                )
            return read_blocks(self._store, manifest.folder, manifest.arrays, blocks)

        damage = on_all(self._comm, read, CheckpointError)
        return list(dict.fromkeys(line for lines in self._comm.allgather(damage) for line in lines))

    def _tell(self, text: str) -> None:
        if self._comm.rank == 0:
            self._saver.say(f"checkpoint: {text}")

    def _release(self) -> None:
        self._term.uninstall()
        self._saver.sweeper.wait()
        if self._saver.held is not None:
            try:
                self._saver.held.release()
            except StoreError as error:
                self._tell(f"could not give the lock back: {error}")


def _amount(size: int, seconds: float) -> str:
    amount = f"{size / (1 << 20):.1f} MiB" if size >= 1 << 20 else f"{size} bytes"
    return f"{amount} in {seconds:.2f} s"
