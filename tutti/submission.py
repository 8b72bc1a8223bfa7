"""From a job to a request that is ready to be sent: the one path of the command line and the Python API."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tutti import batch, capsule, upload, waiting
from tutti.after import resolved
from tutti.aws import told
from tutti.compiling import compiler
from tutti.core.waiting import Folder
from tutti.errors import InputError, Problem
from tutti.estimate import estimate, refuse_above
from tutti.inputs import refuse_missing
from tutti.job import ALONG
from tutti.jobfile import JobFile
from tutti.jobs import ENDED
from tutti.listing import describe
from tutti.notify import protocol_of, subscribe
from tutti.patience import Patience, Tell
from tutti.prices import Prices
from tutti.schedule import create, when
from tutti.schedule import request as schedule_request
from workload.contract import Card, Tag

if TYPE_CHECKING:
    from tutti.cluster import Cluster
    from tutti.job import Job


COMPILE_ID: Final = "<the id of the compile job>"


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


@dataclass(frozen=True, kw_only=True)
class Left:
    """A submission that was left with the cluster. `id`: where it was not needed, as all had ended: the job's."""

    name: str
    id: str = ""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of the AWS API, in boto3's names."""

    service: str
    operation: str
    request: Mapping[str, Any]


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


@told
def ready(job: Job, cluster: Cluster) -> tuple[Prepared, Extras]:
    """A job of the Python API, checked with all that goes along with it: what `send` takes; nothing is sent.

    Raises
    ------
    InputError
        What does not fit, may cost too much, or has no meaning where no command runs.
    """
    said = [k for k in ("wait", "json_", "dry_run") if isinstance(job, JobFile) and getattr(job, k)]
    problems = [
        Problem(where=k.rstrip("_"), what="says how `tutti submit` answers; submit(cluster) gives a run: leave it out")
        for k in said
    ]
    later = [k for k in ("at", "every") if getattr(job, k)]
    remedy = "tutti submit --at TIME or --every PERIOD"
    problems += [Problem(where=k, what="a schedule has no run that submit could give", remedy=remedy) for k in later]
    if problems:
        raise InputError(problems)
    more = extras(job, where={})
    prepared = prepare(dressed(job, cluster, more), cluster)
    refuse_missing(job, cluster, {})
    first = compile_request(prepared, cluster, more)
    if job.max_cost is not None:
        refuse_above(estimate(cluster, prepared.document, Prices(cluster, os.environ), first=first), job.max_cost)
    return prepared, more


def extras(asked: Job, *, where: Mapping[str, str]) -> Extras:
    """What a job asks for besides itself.

    Raises
    ------
    InputError
        What cannot be read or does not go together.
    """
    if asked.compile and not asked.upload:
        what = "there is nothing to compile"
        raise InputError([Problem(where=where.get("compile", "compile"), what=what, remedy="Bring it: --upload DIR")])
    scheduled = when(asked.at, asked.every) if asked.at or asked.every else None
    if scheduled and asked.compile:
        what = "a schedule would start after one compile job each time, and AWS Batch forgets that"
        remedy = (
            "Submit once with --compile; then schedule with --workdir input and, in place of --upload and --compile, "
            "--input with the ...-compiled/node-0/ place that the first one's --dry-run shows"
        )
        raise InputError([Problem(where=where.get("compile", "compile"), what=what, remedy=remedy)])
    if scheduled and (asked.after or (isinstance(asked, JobFile) and asked.wait)):
        what = "a schedule submits later: wait and after do not go with it"
        raise InputError([Problem(where=where.get("at") or where.get("every") or "at", what=what)])
    if asked.notify:
        protocol_of(asked.notify)
    bundle = upload.bundle(*map(Path, asked.upload), where=where.get("upload", "upload")) if asked.upload else None
    return Extras(bundle=bundle, compile=asked.compile or "", schedule=scheduled, notify=asked.notify or "")


def dressed(job: Job, cluster: Cluster, more: Extras) -> Job:
    """The job alone, as it is once its code lies where it will lie, and its notice is on it."""
    job = job.model_copy(update={key: type(job).model_fields[key].default for key in ALONG})
    if more.notify:
        job = job.model_copy(update={"label": {**job.label, Tag.NOTIFY.value: more.notify}})
    if more.bundle is None:
        return job
    place = upload.place(more.bundle, cluster.card)
    code = f"{_compiled(place)}node-0/" if more.compile else place
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
    unfinished = prepared.wait_for
    while unfinished := patience.through(_unfinished, cluster, unfinished):
        sleep(cluster.poll_s)
    return replace(prepared, wait_for=())


@told
def send(
    prepared: Prepared, cluster: Cluster, *, more: Extras | None = None, sleep: Callable[[float], None] = time.sleep
) -> str:
    """Send what goes along, then submit, once what must have ended has; the new job's id, or a schedule's name.

    Where the cluster submits what waits, it does so too when nobody waits here any more.

    Raises
    ------
    InputError
        The cluster lacks what is needed for it; nothing was sent.
    """
    more = more or Extras()
    if prepared.wait_for and cluster.card.waiting:
        left = leave(prepared, cluster, more=more, sleep=sleep)
        return left.id or waiting.submitted(cluster, left.name, sleep=sleep)
    _check_card(cluster.card, more)
    document = _with_all(awaited(prepared, cluster, sleep=sleep), cluster, more, sleep)
    if more.schedule is not None:
        return create(cluster, document, *more.schedule)
    return _submit(document, cluster, sleep)


@told
def leave(
    prepared: Prepared, cluster: Cluster, *, more: Extras | None = None, sleep: Callable[[float], None] = time.sleep
) -> Left:
    """Send what goes along now, and leave the submission with a cluster that makes it when the jobs have ended.

    Raises
    ------
    InputError
        The cluster lacks what is needed for it; nothing was sent.
    """
    more = more or Extras()
    _check_card(cluster.card, more)
    document = _with_all(prepared, cluster, more, sleep)
    name = waiting.leave(cluster, document, prepared.wait_for)
    # The cluster hears of ends from here on. Were there one before, and it the last, nobody would tell it.
    if not _unfinished(cluster, prepared.wait_for):
        place = waiting.Place(folder=Folder.WAITING, user=cluster.user, name=name)
        if waiting.withdraw(cluster, place):
            return Left(name=name, id=_submit(document, cluster, sleep))
    return Left(name=name)


def _with_all(prepared: Prepared, cluster: Cluster, more: Extras, sleep: Callable[[float], None]) -> dict[str, Any]:
    """The signed request, once what goes along has been sent."""
    document = prepared.document
    first = compile_request(prepared, cluster, more)
    if more.bundle is not None:
        upload.send(more.bundle, cluster)
    if first is not None:
        document = _behind(document, send(Prepared(document=first), cluster, sleep=sleep))
    if more.notify:
        subscribe(cluster, more.notify)
    return batch.signed(document, cluster.user)


def _submit(document: Mapping[str, Any], cluster: Cluster, sleep: Callable[[float], None]) -> str:
    job_id = batch.send(cluster.submitter, document, sleep=sleep)
    capsule.keep(cluster, job_id, document)
    return job_id


def compile_request(prepared: Prepared, cluster: Cluster, more: Extras) -> Mapping[str, Any] | None:
    """The job that compiles first, as a request; None where nothing is compiled.

    Raises
    ------
    InputError
        The cluster has nothing to compile in.
    """
    if more.bundle is None or not more.compile:
        return None
    code, name = upload.place(more.bundle, cluster.card), prepared.document["jobName"]
    first = compiler(cluster.card, more.compile, code=code, result=_compiled(code), name=name)
    return prepare(first, cluster).document


@told
def calls(prepared: Prepared, cluster: Cluster, more: Extras) -> list[Call]:
    """The calls that `send` makes, in their order, but for its uploads and waits, which `notes` tells.

    Raises
    ------
    InputError
        The cluster has nothing to compile in, no role for schedules, or no topic for notices.
    """
    _check_card(cluster.card, more)
    document, found = prepared.document, []
    if (first := compile_request(prepared, cluster, more)) is not None:
        found.append(Call(service="batch", operation="submit_job", request=batch.signed(first, cluster.user)))
        document = _behind(document, COMPILE_ID)
    document = batch.signed(document, cluster.user)
    if more.schedule is not None:
        made = schedule_request(cluster.card, document, *more.schedule)
        return [*found, Call(service="scheduler", operation="create_schedule", request=made)]
    return [*found, Call(service="batch", operation="submit_job", request=document)]


def notes(prepared: Prepared, cluster: Cluster, more: Extras) -> list[str]:
    """What `send` does before those calls."""
    where = "the cluster waits" if cluster.card.waiting else "waits here"
    found = [f"{where} until {job_id} has ended, whatever became of it" for job_id in prepared.wait_for]
    if bundle := more.bundle:
        what = ", ".join(map(str, bundle.roots))
        found.append(f"uploads {what} to {upload.place(bundle, cluster.card)}, unless it is there")
    if more.notify:
        found.append(f"subscribes {more.notify} to {cluster.card.topic}")
    return found


def _check_card(card: Card, more: Extras) -> None:
    """Whether the cluster has what the extras need; all that it lacks at once."""
    needs = (
        ("notify", more.notify, card.topic, "topic for notices"),
        ("at", more.schedule, card.scheduler_role, "role for schedules"),
    )
    remedy = "Its operator can add one: pulumi up with a newer stack"
    lacking = [
        Problem(where=where, what=f"cluster {card.stack} has no {what} on its card", remedy=remedy)
        for where, asked, there, what in needs
        if asked and not there
    ]
    if lacking:
        raise InputError(lacking)


def _compiled(code: str) -> str:
    """Where what was compiled from a bundle lies."""
    return f"{code.rstrip('/')}-compiled/"


def _behind(document: Mapping[str, Any], job_id: str) -> dict[str, Any]:
    return {**document, "dependsOn": [*document.get("dependsOn", []), {"jobId": job_id}]}


def _unfinished(cluster: Cluster, ids: Sequence[str]) -> tuple[str, ...]:
    """Those of some jobs that have not ended; one that Batch has forgotten has."""
    if not ids:
        return ()
    states = {item["jobId"]: item["status"] for item in describe(cluster, ids)}
    return tuple(job_id for job_id in ids if states.get(job_id, "FAILED") not in ENDED)
