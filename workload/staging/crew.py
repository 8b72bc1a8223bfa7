"""Many files at once: a crew of threads, with progress, a stall limit, and an end that is clean whatever happens.

Threads, and daemons at that: a socket that never answers must not keep a node from leaving. The caller's own thread
moves nothing; it reports progress and watches for a stall, so that what it raises (a signal's handler, a lost
heartbeat) stops everything.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from workload.staging.places import PART_BYTES

JOIN_S: Final = 5.0  # for threads to clear up after a stop; one that hangs in a socket is left behind
REPORT_S: Final = 1.0
NOT_TRIED: Final = "not moved: staging ended before"
RESTARTS: Final = 3  # of one file whose content came damaged


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long and how hard staging tries. Times in seconds."""

    stall_s: float = 300.0  # nothing moved on this node for so long: give up
    attempts: int = 10  # of one request; with the back-off below about 70 s of an S3 that answers errors alone
    backoff_s: float = 0.25  # before the second attempt; doubles
    backoff_cap_s: float = 20.0
    workers: int = 8
    spare_bytes: int = 64 << 20  # left free on the disk


@dataclass(frozen=True, kw_only=True)
class Moved:
    """How far staging is."""

    files: int = 0
    bytes: int = 0
    of_files: int = 0
    of_bytes: int = 0
    kept_bytes: int = 0  # were there already, from another job
    notes: tuple[str, ...] = ()  # for the log


class Stopped(Exception):  # noqa: N818  not an error: how a thread learns that it is to leave
    """Raised in the crew's threads once the transfer is over."""


class Damaged(Exception):  # noqa: N818  said of content, not of the program
    """What arrived is not what was sent: the file is moved again, from its start."""


class Failed(Exception):  # noqa: N818  a verdict on one file; the caller gets a StagingError
    """A file cannot be moved, for the reason that the text says."""


class Meter:
    """What the crew's threads tell the one that watches."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._over = threading.Event()
        self.bytes = 0
        self.last_moved = time.monotonic()

    def moved(self, count: int) -> None:
        """Count bytes that moved; negative ones will be moved again.

        Raises
        ------
        Stopped
            If the transfer is over.
        """
        with self._lock:
            self.bytes += count
            if count > 0:
                self.last_moved = time.monotonic()
        if self._over.is_set():
            raise Stopped

    def nap(self, seconds: float) -> None:
        """Wait before another attempt; raises `Stopped` as soon as the transfer is over."""
        if self._over.wait(seconds):
            raise Stopped

    def stop(self) -> None:
        self._over.set()


class Transfer(Protocol):
    """One file on its way. Its methods run in any thread of the crew; the parts of one file run side by side."""

    name: str
    size: int

    def begin(self, meter: Meter) -> Sequence[Callable[[], None]]:
        """Prepare, and return the parts. May be called again after `abandon`."""
        ...

    def finish(self) -> None:
        """Check and publish: every part is done. Raises `Damaged` where the content is not what was sent."""
        ...

    def abandon(self) -> None:
        """Remove what is half made. No part runs any more. Must not raise."""
        ...


@dataclass
class _State:
    transfer: Transfer
    left: int = 0  # parts that have not ended
    restarts: int = 0
    done: bool = False
    failure: str | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Crew:
    """Moves `transfers`, `limits.workers` parts at a time. Used once."""

    def __init__(self, transfers: Sequence[Transfer], *, limits: Limits, keep_going: bool) -> None:
        self.limits = limits
        self.keep_going = keep_going
        self.meter = Meter()
        self._states = [_State(transfer) for transfer in transfers]
        self._queue: deque[tuple[_State, Callable[[], None] | None]] = deque((state, None) for state in self._states)
        self._open = len(self._states)
        self._stopping = False
        self._changed = threading.Condition()

    def run(self, progress: Callable[[Moved], None] | None, already: Moved) -> tuple[Moved, dict[str, str]]:
        """Move everything; `already` is what the report counts besides.

        Returns
        -------
        tuple
            How far it came, and name -> reason of every file that was not moved.

        Raises
        ------
        Exception
            Whatever `progress` raises, after the threads were told to stop.
        """
        count = min(self.limits.workers, sum(1 + state.transfer.size // PART_BYTES for state in self._states))
        threads = [threading.Thread(target=self._work, daemon=True, name=f"staging-{i}") for i in range(count)]
        self.meter.last_moved = time.monotonic()
        for thread in threads:
            thread.start()
        try:
            self._watch(progress, already)
        finally:
            self._stop()
            deadline = time.monotonic() + JOIN_S
            for thread in threads:
                thread.join(max(0.0, deadline - time.monotonic()))
        moved = self._snapshot(already)
        if progress:
            progress(moved)
        failures = {state.transfer.name: state.failure or NOT_TRIED for state in self._states if not state.done}
        reasons = {name: reason for name, reason in failures.items() if reason != NOT_TRIED}
        return moved, failures if self.keep_going or not reasons else reasons

    def _snapshot(self, already: Moved) -> Moved:
        return Moved(
            files=already.files + sum(state.done for state in self._states),
            bytes=already.bytes + self.meter.bytes,
            of_files=already.of_files,
            of_bytes=already.of_bytes,
            kept_bytes=already.kept_bytes,
            notes=already.notes,
        )

    def _watch(self, progress: Callable[[Moved], None] | None, already: Moved) -> None:
        stall = self.limits.stall_s
        while True:
            with self._changed:
                if self._open == 0 or self._stopping:
                    return
                self._changed.wait(min(REPORT_S, stall / 4))
            if progress:
                progress(self._snapshot(already))
            if time.monotonic() - self.meter.last_moved > stall:
                for state in self._states:
                    state.failure = state.failure or f"stalled: no byte moved for {stall:g} s"
                return

    def _stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self.meter.stop()

    def _next(self) -> tuple[_State, Callable[[], None] | None] | None:
        with self._changed:
            while not self._queue:
                if self._open == 0 or self._stopping:
                    return None
                self._changed.wait()
            return self._queue.popleft()

    def _work(self) -> None:
        while (item := self._next()) is not None:
            state, part = item
            if part is None:
                self._begin(state)
            else:
                self._one_part(state, part)

    def _begin(self, state: _State) -> None:
        if self._stopping:
            self._close(state, abandon=False)
            return
        try:
            parts = state.transfer.begin(self.meter)
        except Exception as error:  # noqa: BLE001  whatever it is, it is this file's failure and must be said
            self._fail(state, error)
            self._close(state, abandon=True)
            return
        state.left = len(parts)
        with self._changed:
            # In front: files are finished before others are begun, so that few are half made at any time.
            self._queue.extendleft((state, part) for part in reversed(parts))
            self._changed.notify_all()

    def _one_part(self, state: _State, part: Callable[[], None]) -> None:
        try:
            if not self._stopping and state.failure is None:
                part()
            elif state.failure is None:
                raise Stopped  # noqa: TRY301  one place decides what an end means
        except Exception as error:  # noqa: BLE001  see _begin
            self._fail(state, error)
        with state.lock:
            state.left -= 1
            last = state.left == 0
        if not last:
            return
        if state.failure is not None:
            self._close(state, abandon=True)
            return
        try:
            state.transfer.finish()
        except Damaged as error:
            self._again(state, error)
        except Exception as error:  # noqa: BLE001  see _begin
            self._fail(state, error)
            self._close(state, abandon=True)
        else:
            state.done = True
            self._close(state, abandon=False)

    def _again(self, state: _State, error: Damaged) -> None:
        state.transfer.abandon()
        state.restarts += 1
        try:
            self.meter.moved(-state.transfer.size)
            if state.restarts > RESTARTS:
                raise error
        except (Stopped, Damaged) as final:
            self._fail(state, final)
            self._close(state, abandon=False)
            return
        with self._changed:
            self._queue.append((state, None))
            self._changed.notify_all()

    def _fail(self, state: _State, error: Exception) -> None:
        with state.lock:
            if state.failure is None:
                state.failure = NOT_TRIED if isinstance(error, Stopped) else str(error) or type(error).__name__
        if not self.keep_going:
            self._stop()

    def _close(self, state: _State, *, abandon: bool) -> None:
        if abandon:
            state.transfer.abandon()
        with self._changed:
            self._open -= 1
            self._changed.notify_all()
