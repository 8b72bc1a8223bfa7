"""A submitted job: look at it, follow it, wait for it, stop it, go on with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tutti import batch, capsule, notebook
from tutti.aws import told
from tutti.core.events import parse_event
from tutti.errors import TuttiError
from tutti.jobs import Details, Node
from tutti.listing import describe, describe_one, nodes_of, resolve
from tutti.logs import CALLS_A_S, Follower, LogLine, Stream, read_all, streams_of, tail
from tutti.patience import Patience
from tutti.resubmit import again, resumption
from tutti.submission import ready, send
from workload.contract import Event, Limits

if TYPE_CHECKING:
    from tutti.cluster import Cluster
    from tutti.job import Job


class JobFailedError(TuttiError):
    """A job did not succeed; `details` says how."""

    def __init__(self, details: Details) -> None:
        super().__init__(f"job {details.id} ({details.name}) failed with code {details.code}: {details.meaning}")
        self.details = details


@dataclass(frozen=True, kw_only=True)
class StateChange:
    """The job is in another state, or begins another attempt."""

    job: Details
    attempt: int


@dataclass(frozen=True)
class Run:
    """A job on a cluster, by its id."""

    id: str
    cluster: Cluster

    @classmethod
    def submit(cls, job: Job, cluster: Cluster) -> Run:
        """Check a job against the cluster and submit it.

        Raises
        ------
        InputError
            what does not fit, all of it; nothing was sent then.
        """
        prepared, more = ready(job, cluster)
        return cls(send(prepared, cluster, more=more), cluster)

    @classmethod
    def find(cls, cluster: Cluster, word: str) -> Run:
        """The job that an id, the start of one, or a name means.

        Raises
        ------
        NotFoundError
            none.
        """
        return cls(resolve(cluster, word), cluster)

    def details(self) -> Details:
        """The job as it is now."""
        return describe_one(self.cluster, self.id)

    def _repr_html_(self) -> str:
        found = self.details()
        return notebook.job(found, self.nodes(found))

    def nodes(self, job: Details | None = None) -> list[Node]:
        """Its nodes (or an array's elements) as they are now."""
        return nodes_of(self.cluster, job or self.details())

    @told
    def logs(self, *, nodes: Sequence[int] = (), since_ms: int = 0) -> Iterator[LogLine]:
        """All lines written so far, in time order, of all nodes or some."""
        known = [n for n in self.nodes() if not nodes or n.index in nodes]
        return read_all(self.cluster.logs, self.cluster.card.log_group, streams_of(known), since_ms=since_ms)

    @told
    def tail(
        self,
        count: int,
        *,
        nodes: Sequence[int] = (),
        since_ms: int = 0,
        keep: Callable[[LogLine], bool] | None = None,
    ) -> list[LogLine]:
        """The last lines written so far, of all or of those that `keep` says yes to; read from each stream's end."""
        streams = streams_of(n for n in self.nodes() if not nodes or n.index in nodes)
        group = self.cluster.card.log_group
        return tail(self.cluster.logs, group, streams, count, since_ms=since_ms, keep=keep)

    def follow(
        self,
        *,
        nodes: Sequence[int] = (),
        since_ms: int = 0,
        logs: bool = True,
        on_expired: Callable[[str], None] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        period_s: float | None = None,
    ) -> Iterator[StateChange | LogLine]:
        """What happens from now to the job's end: states, attempts, lines. Credentials that expire on the way are read
        again until they are good, and a network that is away is waited for; `on_expired` is told once.

        `period_s`: seconds between two looks; else the cluster's, and longer for the log of many nodes or a silent one.
        """
        pause = self.cluster.poll_s if period_s is None else period_s
        cluster, patience = self.cluster, Patience(self.cluster, tell=on_expired, sleep=sleep, answered=True)
        reader = Follower(cluster.logs, cluster.card.log_group, since_ms=since_ms, poll_s=cluster.poll_s)
        seen: tuple[str, int] | None = None
        streams: list[Stream] = []
        complete = False  # every node's log of this attempt is known
        due = pages = 0.0

        def look(known: Sequence[Stream]) -> list[LogLine]:
            reader.use(cluster.logs)
            return reader.new(known)

        while True:
            job = patience.through(self.details)
            attempt = max(1, len(job.attempts) + (0 if job.ended else 1))
            changed = (job.state, attempt) != seen
            # the log is read after the state: what is there once the job has ended is all there will be
            lines: list[LogLine] = []
            if logs and job.state not in ("SUBMITTED", "PENDING", "RUNNABLE"):
                now = time.monotonic()
                on_time = changed or job.ended or period_s is not None or now >= due
                if changed or (on_time and not complete):
                    known = patience.through(self.nodes, job)
                    streams = streams_of(n for n in known if not nodes or n.index in nodes)
                    complete = sum(s.attempt == attempt for s in streams) >= (len(nodes) or len(known))
                    pages = len(known) / Limits.DESCRIBE_IDS
                if streams and on_time:
                    lines = patience.through(look, streams)
                if on_time:
                    due = now + max(reader.pause_s, 0.0 if complete else pages / CALLS_A_S)
            if not job.ended and changed:
                yield StateChange(job=job, attempt=attempt)
            yield from lines
            if job.ended:
                if streams:
                    sleep(cluster.poll_s)  # a log's last lines may arrive after the state
                    yield from patience.through(look, streams)
                yield StateChange(job=job, attempt=attempt)
                return
            seen = (job.state, attempt)
            sleep(pause)

    def wait(self, *, until: str = "done", on_expired: Callable[[str], None] | None = None) -> Details:
        """Block until the job runs, or has ended."""
        last: Details | None = None
        for change in self.follow(logs=False, on_expired=on_expired):
            if isinstance(change, StateChange):
                last = change.job
                if until == "running" and last.state == "RUNNING":
                    return last
        if last is None:
            raise AssertionError("following a job always ends with its state")
        return last

    def watch(self) -> Details:
        """In a notebook: the job, its nodes and its progress in one output, drawn again until the end.

        Raises
        ------
        TuttiError
            this is no notebook.
        """
        cell = notebook.Cell()
        job = self.details()
        nodes, progress = self.nodes(job), None
        for item in self.follow():
            if isinstance(item, StateChange):
                job = item.job
                nodes = self.nodes(job)
            else:
                happening = parse_event(item.line)
                if happening is None or happening.event is not Event.PROGRESS:
                    continue
                progress = happening.fields
            cell.draw(notebook.job(job, nodes, progress))
        return job

    def wait_or_end(self) -> Details:
        """Wait for a job that is of use to its caller alone: who is interrupted, or fails, leaves none behind."""
        try:
            return self.wait()
        except BaseException:
            with suppress(TuttiError):  # the first error is the one to tell
                self.cancel("nobody waits for it any more")
            raise

    def result(self) -> Details:
        """Wait for the end.

        Raises
        ------
        JobFailedError
            the job did not succeed.
        """
        job = self.wait()
        if job.code:
            raise JobFailedError(job)
        return job

    @told
    def cancel(self, reason: str = "cancelled by its user") -> bool:
        """End the job: SIGTERM to its ranks, SIGKILL after the grace period. False where it had ended before.

        TerminateJob cancels what has not started too (API reference).
        """
        if self.details().ended:
            return False
        self.cluster.batch.terminate_job(jobId=self.id, reason=reason)
        return True

    @told
    def resume(self, *, nodes: int | None = None) -> Run:
        """Submit the job again, to go on from its last checkpoint, perhaps with another number of nodes.

        Raises
        ------
        InputError
            it still runs, or keeps no checkpoints.
        """
        return self._again(lambda item: resumption(item, nodes=nodes))

    @told
    def resubmit(self, *, nodes: int | None = None) -> Run:
        """Submit the job again as it was, perhaps with another number of nodes."""
        return self._again(lambda item: again(item, nodes=nodes))

    def _again(self, made: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Run:
        items = describe(self.cluster, [self.id])
        if not items:
            self.details()  # raises, and names the nearest ids
        document = batch.signed(made(items[0]), self.cluster.user)
        batch.check_size(document)
        job_id = batch.send(self.cluster.submitter, document)
        capsule.keep(self.cluster, job_id, document)
        return Run(job_id, self.cluster)
