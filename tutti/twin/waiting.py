"""RUNNABLE jobs, queue by queue, in order of submission."""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Container

from tutti.twin.jobs import Job


class WaitingJobs:
    """An attempt that follows another keeps its job's place: it is the submission that counts."""

    def __init__(self) -> None:
        self._queues: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)

    def add(self, job: Job) -> None:
        insort(self._queues[job.spec.queue], (job.number, job.id))

    def remove(self, job: Job) -> None:
        """It does not wait any more; one that did not wait is left out."""
        waiting = self._queues[job.spec.queue]
        if (job.number, job.id) in waiting:
            waiting.remove((job.number, job.id))

    def in_order(self, queue: str) -> list[str]:
        return [job_id for _, job_id in self._queues[queue]]

    def all(self, but: Container[str]) -> dict[str, list[str]]:
        """Queue -> ids of its jobs, without those of `but`."""
        return {
            queue: [job_id for _, job_id in jobs if job_id not in but] for queue, jobs in self._queues.items() if jobs
        }
