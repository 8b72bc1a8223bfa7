"""`--at` and `--every`: submissions that EventBridge Scheduler makes later or again and again.

The schedule calls SubmitJob itself (a universal target), so nothing of ours must run then.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from tutti.aws import told
from tutti.errors import InputError, Problem

if TYPE_CHECKING:
    from tutti.cluster import Cluster

TARGET: Final = "arn:aws:scheduler:::aws-sdk:batch:submitJob"
MAPS: Final = frozenset({"tags", "parameters"})  # their keys are the user's own
_UNITS: Final = {"s": "", "m": "minute", "h": "hour", "d": "day"}


def when(at: str | None, every: str | None, *, now: datetime | None = None) -> tuple[str, str]:
    """Schedule expression and time zone of `--at 2026-12-01T06:00`, `--every 6h` or `--every "cron(0 6 * * ? *)"`.

    Raises
    ------
    InputError
        Both, a time that has passed, or what cannot be read.
    """
    if at and every:
        raise InputError([Problem(where="at", what="at and every exclude each other; keep one")])
    if at:
        moment = _moment(at)
        if moment <= (now or datetime.now(UTC)):
            raise InputError([Problem(where="at", what=f"got {at!r}, which has passed; allowed: a time to come")])
        return f"at({moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S})", "UTC"
    text = (every or "").strip()
    if re.fullmatch(r"cron\(\S+( \S+){5}\)", text):
        return text, "UTC"
    if match := re.fullmatch(r"(\d+)([mhd])", text):
        count, unit = int(match[1]), _UNITS[match[2]]
        if count:
            return f"rate({count} {unit}{'s' if count > 1 else ''})", "UTC"
    what = f"got {every!r}; allowed: 30m, 6h, 1d, or cron(MINUTE HOUR DAY MONTH WEEKDAY YEAR) in UTC"
    raise InputError([Problem(where="every", what=what)])


@told
def create(cluster: Cluster, document: Mapping[str, Any], expression: str, zone: str) -> str:
    """Make the schedule; its name. One for a time deletes itself after it.

    Raises
    ------
    InputError
        The cluster has no role for schedules.
    """
    role = cluster.card.scheduler_role
    if not role:
        what = f"cluster {cluster.card.stack} has no role for schedules on its card"
        raise InputError(
            [Problem(where="at", what=what, remedy="Its operator can add one: pulumi up with a newer stack")]
        )
    name = f"tutti-{document['jobName'][:40]}-{time.time_ns() // 1_000_000:x}"
    group = cluster.card.schedule_group
    cluster.client("scheduler").create_schedule(
        Name=name,
        **({"GroupName": group} if group else {}),
        ScheduleExpression=expression,
        ScheduleExpressionTimezone=zone,
        FlexibleTimeWindow={"Mode": "OFF"},
        ActionAfterCompletion="DELETE" if expression.startswith("at(") else "NONE",
        Target={"Arn": TARGET, "RoleArn": role, "Input": json.dumps(as_input(document))},
    )
    return name


def as_input(value: Any) -> Any:
    """A SubmitJob request as a universal target takes it: names begin with a capital, keys of maps stay."""
    if isinstance(value, Mapping):
        return {f"{k[0].upper()}{k[1:]}": (dict(v) if k in MAPS else as_input(v)) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [as_input(item) for item in value]
    return value


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        what = f"got {text!r}; allowed: a time such as 2026-12-01T06:00 (yours) or 2026-12-01T06:00Z"
        raise InputError([Problem(where="at", what=what)]) from error
    return moment.astimezone(UTC)  # a time without a zone is the user's own
