"""`--at` and `--every`: submissions that EventBridge Scheduler makes later or again and again.

The schedule calls SubmitJob itself (a universal target), so nothing of ours must run then.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from tutti import batch, capsule, values, waiting
from tutti.aws import told
from tutti.core import timetable
from tutti.core.waiting import Next
from tutti.errors import InputError, NotFoundError, Problem, likely
from tutti.listing import describe
from workload.contract import Tag
from workload.settings import variable

if TYPE_CHECKING:
    from tutti.cluster import Cluster
    from workload.contract import Card

TARGET: Final = "arn:aws:scheduler:::aws-sdk:batch:submitJob"
MAPS: Final = frozenset({"tags", "parameters"})  # their keys are the user's own
_PREFIX: Final = "tutti-"
_UNITS: Final = {"m": "minute", "h": "hour", "d": "day"}
_EVERY: Final = "30m, 6h, 1d, or cron(MINUTE HOUR DAY MONTH WEEKDAY YEAR) in UTC with ? as day or weekday"


@dataclass(frozen=True, kw_only=True)
class Scheduled:
    """A submission to come. Times are seconds since 1970."""

    name: str
    job: str
    user: str  # as the job's tag has it
    when: str  # at(...), rate(...), cron(...), or after(ID...)
    zone: str
    next: float | None  # None: never again, or nobody knows
    state: str  # of a schedule ENABLED, DISABLED; after jobs WAITING, SUBMITTING, REFUSED
    created: float
    after: tuple[str, ...] = ()  # the jobs whose end it waits for
    unfinished: int = 0  # of these
    reason: str = ""  # why it was refused


def when(at: str | None, every: str | None, *, now: datetime | None = None) -> tuple[str, str]:
    """Schedule expression and time zone of `--at 2026-12-01T06:00`, `--every 6h` or `--every "cron(0 6 * * ? *)"`.

    Raises
    ------
    InputError
        Both, a time that has passed, or what cannot be read.
    """
    if at and every:
        raise InputError([Problem(where="at", what="at and every exclude each other; keep one")])
    now = now or datetime.now(UTC)
    if at:
        moment = _moment(at, now)
        if moment <= now:
            raise InputError([Problem(where="at", what=f"got {at!r}, which has passed; allowed: a time to come")])
        return f"at({moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S})", "UTC"
    text = (every or "").strip()
    if (match := re.fullmatch(r"(\d+)([mhd])", text)) and int(match[1]):
        text = f"rate({match[1]} {_UNITS[match[2]]}{'s' if int(match[1]) > 1 else ''})"
    if not text.startswith(("rate(", "cron(")):
        raise InputError([Problem(where="every", what=f"got {every!r}; allowed: {_EVERY}")])
    try:
        following = timetable.parse(text, start=now, forms=_EVERY).next(now)
    except ValueError as error:
        raise InputError([Problem(where="every", what=str(error))]) from error
    if following is None:
        raise InputError([Problem(where="every", what=f"got {every!r}, which is never; allowed: a time to come")])
    return text, "UTC"


def request(card: Card, document: Mapping[str, Any], expression: str, zone: str) -> dict[str, Any]:
    """The keyword arguments of `create_schedule`. One for a time deletes itself after it."""
    return _asked(card, *_named(card, document), expression, zone)


def _named(card: Card, document: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """A schedule's name, and the request that it submits: it names the schedule, whose capsule is that of its jobs."""
    name = f"{_PREFIX}{document['jobName'][:40]}-{time.time_ns() // 1_000_000:x}"
    said = {variable("schedule"): name, variable("record"): batch.records(card)}
    marked = batch.with_variables(document, said)
    return name, {**marked, "tags": {**marked["tags"], Tag.SCHEDULE.value: name}}


def _asked(card: Card, name: str, document: Mapping[str, Any], expression: str, zone: str) -> dict[str, Any]:
    return {
        "Name": name,
        **_group(card),
        "ScheduleExpression": expression,
        "ScheduleExpressionTimezone": zone,
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "ActionAfterCompletion": "DELETE" if expression.startswith("at(") else "NONE",
        "Target": {"Arn": TARGET, "RoleArn": card.scheduler_role, "Input": json.dumps(as_input(document))},
    }


@told
def create(cluster: Cluster, document: Mapping[str, Any], expression: str, zone: str) -> str:
    """Make the schedule, and the capsule of the jobs that it will submit; its name."""
    name, marked = _named(cluster.card, document)
    capsule.keep(cluster, name, marked)  # first: a schedule without one would submit jobs without one
    cluster.client("scheduler").create_schedule(**_asked(cluster.card, name, marked, expression, zone))
    return name


def as_input(value: Any) -> Any:
    """A SubmitJob request as a universal target takes it: names begin with a capital, keys of maps stay."""
    if isinstance(value, Mapping):
        return {f"{k[0].upper()}{k[1:]}": (dict(v) if k in MAPS else as_input(v)) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [as_input(item) for item in value]
    return value


@told
def scheduled(cluster: Cluster) -> list[Scheduled]:
    """What the group's schedules will submit, the next one first, and what waits for jobs' ends."""
    client, group = cluster.client("scheduler"), _group(cluster.card)
    now = datetime.now(UTC)
    found = [_read(client.get_schedule(Name=name, **group), now) for name in _names(cluster)]
    return [*sorted(found, key=lambda s: (s.next is None, s.next or s.created)), *_after_jobs(cluster)]


@told
def remove(cluster: Cluster, words: Sequence[str]) -> list[str]:
    """Remove schedules, and what waits for jobs' ends, and name them; jobs that were submitted go on.

    A word is a name, the start of one, or the name of the job.

    Raises
    ------
    NotFoundError
        One of them means none, or several; none is removed then.
    """
    schedules, waits = _names(cluster), waiting.removable(cluster)
    jobs = dict.fromkeys([*schedules, *waits], "")
    if any(word not in jobs for word in words):
        jobs |= {s.name: s.job for s in scheduled(cluster)}
    names = list(dict.fromkeys(meant(word, jobs) for word in words))
    for name in names:
        if name in waits:
            waiting.remove(cluster, waits[name])
        else:
            cluster.client("scheduler").delete_schedule(Name=name, **_group(cluster.card))
    return names


def meant(word: str, jobs: Mapping[str, str]) -> str:
    """The one name that a word means: itself, its start, or its job. `jobs`: name -> the job that it submits.

    Raises
    ------
    NotFoundError
        None, or several.
    """
    if word in jobs:
        return word
    found = [name for name, job in jobs.items() if word and (job == word or name.startswith(word))]
    if len(found) == 1:
        return found[0]
    if found:
        raise NotFoundError(f"{word!r} means {len(found)} schedules; name one of: {', '.join(found)}")
    there = f"there are: {', '.join(jobs)}" if jobs else "there is none"
    raise NotFoundError(f"no schedule {word!r}{likely(word, [*jobs, *filter(None, jobs.values())])}; {there}")


def _after_jobs(cluster: Cluster) -> list[Scheduled]:
    waits, refused = waiting.to_come(cluster)
    states = {item["jobId"]: item["status"] for item in describe(cluster, sorted({i for w in waits for i in w.after}))}
    now = time.time()
    return [
        *(
            Scheduled(
                name=w.name,
                job=w.request["jobName"],
                user=w.user,
                when=f"after({', '.join(w.after)})",
                zone="UTC",
                next=None,
                state="SUBMITTING" if w.next(states, now) is Next.LEAVE else "WAITING",
                created=w.created,
                after=w.after,
                unfinished=len(w.unfinished(states)),
            )
            for w in waits
        ),
        *(
            Scheduled(
                name=d.name,
                job=d.job,
                user=d.user,
                when=f"after({', '.join(d.after)})",
                zone="UTC",
                next=None,
                state="REFUSED",
                created=d.at,
                after=d.after,
                reason=d.reason,
            )
            for d in refused
        ),
    ]


def _group(card: Card) -> dict[str, str]:
    """The group's own schedules; without one Scheduler takes its default."""
    return {"GroupName": card.schedule_group} if card.schedule_group else {}


def _names(cluster: Cluster) -> list[str]:
    """Newest first. In Scheduler's default group others have schedules too: ours begin with one word."""
    group = {"GroupName": "default", **_group(cluster.card)}  # to list without one is to list those of all groups
    pages = cluster.client("scheduler").get_paginator("list_schedules").paginate(**group, NamePrefix=_PREFIX)
    return [item["Name"] for page in pages for item in page["Schedules"]]


def _read(schedule: Mapping[str, Any], now: datetime) -> Scheduled:
    zone = schedule.get("ScheduleExpressionTimezone", "UTC")
    created: datetime = schedule["CreationDate"]
    request = json.loads(schedule["Target"].get("Input", "{}"))
    try:
        start = schedule.get("StartDate") or created
        table = timetable.parse(schedule["ScheduleExpression"], zone, start=start.astimezone(UTC))
        following = table.next(now)
    except ValueError:  # made by hand, in a form that is newer than this
        following = None
    return Scheduled(
        name=schedule["Name"],
        job=request.get("JobName", ""),
        user=request.get("Tags", {}).get(Tag.USER.value, ""),
        when=schedule["ScheduleExpression"],
        zone=zone,
        next=following.timestamp() if following and schedule["State"] == "ENABLED" else None,
        state=schedule["State"],
        created=created.timestamp(),
    )


def _moment(text: str, now: datetime) -> datetime:
    try:
        if text.startswith("+"):
            return now + timedelta(seconds=values.duration(text[1:]))
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        what = f"got {text!r}; allowed: a time such as 2026-12-01T06:00 (yours), 2026-12-01T06:00Z, or +2h from now"
        raise InputError([Problem(where="at", what=what)]) from error
    return moment.astimezone(UTC)  # a time without a zone is the user's own
