"""From a job to a request that is ready to be sent: the one path of the command line and the Python API."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutti import batch, capsule, upload
from tutti.after import resolved
from tutti.aws import told
from tutti.compiling import compiler
from tutti.errors import InputError, Problem
from tutti.jobs import ENDED
from tutti.listing import describe
from tutti.notify import protocol_of, subscribe
from tutti.patience import Patience, Tell
from tutti.schedule import create, when
from workload.contract import Tag

if TYPE_CHECKING:
    from tutti.cluster import Cluster
    from tutti.job import Job
    from tutti.jobfile import JobFile


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A checked request. `wait_for`: jobs whose end must be awaited before it is sent (`--after ID:any`)."""

    document: Mapping[str, Any]
    wait_for: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Extras:
    """What goes along with a submission: checked like the job itself, before anything is sent."""

    bundle: upload.Bundle | None = None
    compile: str = ""
    schedule: tuple[str, str] | None = None  # expression and time zone
    notify: str = ""


@told
def prepare(job: Job, cluster: Cluster, *, where: Mapping[str, str] | None = None) -> Prepared:
    """Check a job against its cluster; nothing is sent.

    Raises
    ------
    InputError
        What the cluster cannot run, all of it.
    NotFoundError
        A job to start after does not exist.
    """
    document = batch.request(job.model_copy(update={"after": ()}), cluster.card, where=where)  # no call before this
    if not job.after:
        return Prepared(document=document)
    after = resolved(cluster, job.after, (where or {}).get("after", "after"))
    if not after.depends:
        return Prepared(document=document, wait_for=after.wait_for)
    depends = [batch.dependency(word) for word in after.depends]
    return Prepared(document={**document, "dependsOn": depends}, wait_for=after.wait_for)


def extras(asked: JobFile, *, where: Mapping[str, str]) -> Extras:
    """What a job file asks for besides its job.

    Raises
    ------
    InputError
        What cannot be read or does not go together.
    """
    if asked.compile and not asked.upload:
        what = "there is nothing to compile"
        raise InputError([Problem(where=where.get("compile", "compile"), what=what, remedy="Bring it: --upload DIR")])
    scheduled = when(asked.at, asked.every) if asked.at or asked.every else None
    if scheduled and (asked.wait or asked.after):
        what = "a schedule submits later: wait and after do not go with it"
        raise InputError([Problem(where=where.get("at") or where.get("every") or "at", what=what)])
    if asked.notify:
        protocol_of(asked.notify)
    bundle = upload.bundle(Path(asked.upload), where.get("upload", "upload")) if asked.upload else None
    return Extras(bundle=bundle, compile=asked.compile or "", schedule=scheduled, notify=asked.notify or "")


def dressed(job: Job, cluster: Cluster, more: Extras) -> Job:
    """The job as it is once its code lies where it will lie, and its notice is on it."""
    if more.notify:
        job = job.model_copy(update={"label": {**job.label, Tag.NOTIFY.value: more.notify}})
    if more.bundle is None:
        return job
    card = cluster.card
    place = f"s3://{card.bucket}/{card.prefix}code/{more.bundle.digest}/"
    code = f"{place.rstrip('/')}-compiled/node-0/" if more.compile else place
    return job.model_copy(update={"input": (code, *job.input), "workdir": job.workdir or "input"})


def awaited(
    prepared: Prepared,
    cluster: Cluster,
    *,
    tell: Tell | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Prepared:
    """The request once the jobs have ended that it waits for. Nothing was sent before, so Ctrl-C loses nothing.

    `tell` hears of credentials and networks that fail meanwhile; they are waited for.
    """
    patience = Patience(cluster, tell=tell, sleep=sleep, answered=True)
    waiting = prepared.wait_for
    while waiting := patience.through(_unfinished, cluster, waiting):
        sleep(cluster.poll_s)
    return replace(prepared, wait_for=())


@told
def send(
    prepared: Prepared, cluster: Cluster, *, more: Extras | None = None, sleep: Callable[[float], None] = time.sleep
) -> str:
    """Await what must have ended, send what goes along, then submit; the new job's id, or a schedule's name."""
    prepared = awaited(prepared, cluster, sleep=sleep)
    more = more or Extras()
    document = dict(prepared.document)
    if more.bundle is not None:
        code = upload.send(more.bundle, cluster)
        if more.compile:
            result = f"{code.rstrip('/')}-compiled/"
            first = compiler(cluster.card, more.compile, code=code, result=result, name=document["jobName"])
            compiling = send(prepare(first, cluster), cluster)
            document["dependsOn"] = [*document.get("dependsOn", []), {"jobId": compiling}]
    if more.notify:
        subscribe(cluster, more.notify)
    if more.schedule is not None:
        return create(cluster, batch.signed(document, cluster.user), *more.schedule)
    document = batch.signed(document, cluster.user)
    job_id = batch.send(cluster.submitter, document, sleep=sleep)
    capsule.keep(cluster, job_id, document)
    return job_id


def _unfinished(cluster: Cluster, ids: Sequence[str]) -> tuple[str, ...]:
    """Those of some jobs that have not ended; one that Batch has forgotten has."""
    if not ids:
        return ()
    states = {item["jobId"]: item["status"] for item in describe(cluster, ids)}
    return tuple(job_id for job_id in ids if states.get(job_id, "FAILED") not in ENDED)
