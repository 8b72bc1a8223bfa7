"""Jobs that start after others: ids made whole, and what Batch cannot do itself said and done here.

Batch starts a dependent job when the other has succeeded and fails it when that has failed (B11). `ID:any` (start
whatever became of it) is no dependency of Batch's: the cluster (`tutti.waiting`), or the client itself where that is
older, waits for the end and submits then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tutti.errors import InputError, Problem
from tutti.jobs import details
from tutti.listing import describe, resolve

if TYPE_CHECKING:
    from tutti.cluster import Cluster


@dataclass(frozen=True, kw_only=True)
class After:
    """`depends`: what Batch is told, as `Job.after` takes it. `wait_for`: ids whose end comes first."""

    depends: tuple[str, ...]
    wait_for: tuple[str, ...]


def resolved(cluster: Cluster, words: Sequence[str], where: str = "after") -> After:
    """The jobs that a user's words mean.

    Raises
    ------
    NotFoundError
        no such job.
    InputError
        one has failed already: Batch would fail the new job at once.
    """
    depends, wait_for, problems = [], [], []
    for word in words:
        if word == "sequential":
            depends.append(word)
            continue
        name, _, state = word.partition(":")
        child = f":{state}" if state.isdigit() else ""
        job_id = resolve(cluster, name)
        job = details(describe(cluster, [job_id + child])[0])
        if state == "any":
            if not job.ended:
                wait_for.append(job_id)
        elif job.state == "FAILED":
            what = f"job {job.id} ({job.name}) has failed: AWS Batch would fail this one at once"
            problems.append(Problem(where=where, what=what, remedy=f"Start it whatever became of that one: {name}:any"))
        elif job.state != "SUCCEEDED" or state == "each":
            depends.append(f"{job_id}{child}" if child or not state else f"{job_id}:{state}")
    if problems:
        raise InputError(problems)
    return After(depends=tuple(depends), wait_for=tuple(wait_for))
