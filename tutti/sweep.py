"""Runs a sweep: submits what is missing under AWS's rate, waits, remembers; whoever starts it again goes on.

None is lost and none is sent twice: a point's job carries the point in its name, and before anything is sent the
jobs that are there are listed. A client that died in mid-request leaves a journal entry; for so long as a request may
still be on its way, the next one waits before it believes the list.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tutti import batch, capsule
from tutti.after import resolved
from tutti.aws import told
from tutti.core.sweeping import Tried, counts, due, job_name, newest, parse_name, room
from tutti.errors import InputError
from tutti.listing import list_jobs
from tutti.patience import Patience, Tell
from tutti.sweepfile import Sweep, no_any
from tutti.sweepstore import SweepStore
from workload.contract import Limits, Tag

if TYPE_CHECKING:
    from tutti.cluster import Cluster

RATE: Final = 0.95 * Limits.SUBMITS_PER_S  # a second; the rest is for others in the account
THREADS: Final = 12
BLOCK: Final = 200  # points between two entries in the journal
ON_ITS_WAY_S: Final = 15.0  # how long a request of a client that died may still become a job that a list lacks
TWIN_ON_ITS_WAY_S: Final = 2.0


class Pace:
    """Lets calls through at a steady rate, whoever of many threads asks."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._gap = 1 / per_second
        self._clock = clock
        self._next = clock()
        self._lock = threading.Lock()

    def wait(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Until it is this call's turn."""
        with self._lock:
            now = self._clock()
            turn = max(self._next, now)
            self._next = turn + self._gap
        if turn > now:
            sleep(turn - now)


@dataclass
class Sweeper:
    """Drives one sweep on one cluster."""

    sweep: Sweep
    cluster: Cluster
    tell: Callable[[Mapping[str, int]], None] = lambda _: None
    trouble: Tell | None = None
    known: dict[int, Tried] = field(default_factory=dict)
    _after: dict[str, tuple[str, ...]] | None = None  # what Batch is told of each word of the job's `after`
    _failed: list[int] | None = None  # what is still to be run again, once that is known

    @told
    def run(
        self, *, max_running: int | None = None, rerun_failed: bool = False, wait: bool = False
    ) -> dict[int, Tried]:
        """Submit every point that has no job (and rerun failed ones); stay until all are sent, or ended with `wait`.

        Raises
        ------
        InputError
            A job that the points are to start after has failed, or only a client could wait for it.
        NotFoundError
            There is no such job.
        """
        store = SweepStore(self.cluster, self.sweep.id)
        created = time.time()
        if store.read("sweep.json") is None:  # one that goes on may have nothing more to send: then nobody asks
            self._resolve()
        if not store.create("sweep.json", {**self.sweep.to_json(), "created": created}):
            created = (store.read("sweep.json") or {}).get("created", created)
        store.lock()
        try:
            # with new credentials it goes on as another client would: from what the list of jobs says
            Patience(self.cluster, tell=self.trouble, answered=True).through(
                self._drive,
                store,
                created,
                max_running or self.sweep.max_running,
                rerun_failed=rerun_failed,
                wait=wait,
            )
        finally:
            store.unlock()
        return self.known

    @told
    def look(self, store: SweepStore, created: float) -> dict[int, Tried]:
        """What became of the points, from the bucket and from the jobs that are there."""
        remembered = (store.read("state.json") or {}).get("points", []) if not self.known else []
        tries = [*self.known.values(), *(Tried(**p) for p in remembered)]
        for job in list_jobs(self.cluster, since=created - 60):
            if at := parse_name(self.sweep.id, job.name):
                code = 0 if job.state == "SUCCEEDED" else job.exit_code
                tries.append(Tried(point=at[0], round=at[1], id=job.id, state=job.state, code=code))
        latest = {(t.point, t.round, t.id): t for t in tries}  # the list's word over what was remembered
        self.known = newest(latest.values())
        return self.known

    def _settle(self, store: SweepStore) -> None:
        """Wait until no request of a client that died can still be on its way."""
        journal = store.read("journal.json")
        if journal and not journal.get("done"):
            limit = TWIN_ON_ITS_WAY_S if self.cluster.is_twin else ON_ITS_WAY_S
            time.sleep(max(0.0, min(limit, journal["at"] + limit - time.time())))

    def _drive(
        self, store: SweepStore, created: float, max_running: int | None, *, rerun_failed: bool, wait: bool
    ) -> None:
        pace = Pace(RATE)
        self._settle(store)
        self.look(store, created)
        if self._failed is None:
            self._failed = [p for p, t in self.known.items() if t.state == "FAILED"] if rerun_failed else []
        while True:
            todo = due(len(self.sweep.points), self.known, rerun_failed=self._failed)
            free = room(self.known, max_running)
            block = todo[: min(BLOCK, BLOCK if free is None else free)]
            if block:
                self._resolve()
                store.write("journal.json", {"at": time.time(), "done": False})
                self._send(block, pace)
                store.write("journal.json", {"at": time.time(), "done": True})
                self._remember(store)
            store.renew()
            self.tell(counts(len(self.sweep.points), self.known))
            self._failed = [p for p in self._failed if self.known[p].state == "FAILED"]
            if not due(len(self.sweep.points), self.known, rerun_failed=self._failed):
                if not wait or all(t.state in {"SUCCEEDED", "FAILED"} for t in self.known.values()):
                    self._remember(store)
                    return
            elif block and len(block) == BLOCK:
                continue
            time.sleep(self.cluster.poll_s)
            self.look(store, created)

    def _resolve(self) -> None:
        """What the points start after, found once, as `tutti submit` finds it."""
        if self._after is not None:
            return
        found = {word: resolved(self.cluster, [word]) for word in self.sweep.after()}
        if endless := [no_any(word) for word, after in found.items() if after.wait_for]:
            raise InputError(endless)
        self._after = {word: after.depends for word, after in found.items()}

    def _send(self, block: Iterable[tuple[int, int]], pace: Pace) -> None:
        with ThreadPoolExecutor(max_workers=THREADS) as pool:
            seen: dict[str, Any] = {}
            user, client = self.cluster.user, self.cluster.submitter
            waiting = {
                pool.submit(self._one, client, user, point, number, pace, seen=seen): point for point, number in block
            }
            try:
                for sent in as_completed(waiting):
                    tried = sent.result()
                    self.known[tried.point] = tried
            except BaseException:
                for one in waiting:
                    one.cancel()
                raise

    def _one(
        self, client: Any, user: str, point: int, number: int, pace: Pace, *, seen: MutableMapping[str, Any]
    ) -> Tried:
        name = job_name(self.sweep.id, point, number)
        job = self.sweep.job_at(point, name)
        after = tuple(found for word in job.after for found in (self._after or {})[word])
        whole = job.model_copy(update={"label": {**job.label, Tag.SWEEP.value: self.sweep.id}, "after": after})
        document = batch.signed(batch.request(whole, self.cluster.card), user)
        pace.wait()
        job_id = batch.send(client, document)
        capsule.keep(self.cluster, job_id, document, seen)
        return Tried(point=point, round=number, id=job_id, state="SUBMITTED")

    def _remember(self, store: SweepStore) -> None:
        store.write("state.json", {"points": [t.to_json() for t in self.known.values()], "at": time.time()})
