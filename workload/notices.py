"""What people hear of a job's end: the event rule's pattern and words, and what each subscription lets through.

The stack and the twin make the rule, the client subscribes: here they agree. EventBridge puts Batch's events on an SNS
topic; a subscription filters by the job's tag and its status. Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from workload.contract import Tag

STATE_CHANGE: Final = "Batch Job State Change"
QUEUE_BLOCKED: Final = "Batch Job Queue Blocked"
ENDED: Final = ("SUCCEEDED", "FAILED")
# Words for people, and what subscriptions filter by. EventBridge replaces <name>.
TEXT: Final = (
    '{"message": "Job <name> (<id>): <status>. <reason> More: tutti status <id>", '
    '"detail": {"jobName": "<name>", "jobId": "<id>", "status": "<status>", "tags": <tags>}}'
)
PATHS: Final[Mapping[str, str]] = {
    "name": "$.detail.jobName",
    "id": "$.detail.jobId",
    "queue": "$.detail.jobQueue",
    "reason": "$.detail.statusReason",
    "status": "$.detail.status",
    "tags": "$.detail.tags",
}
# Of jobs that somebody wants to hear of.
ASKED_FOR: Final[Mapping[str, Any]] = {"tags": {Tag.NOTIFY.value: [{"exists": True}]}}


def paths(text: str) -> dict[str, str]:
    """The paths of the names that stand in `text`."""
    return {name: path for name, path in PATHS.items() if f"<{name}>" in text}


def pattern(
    queues: Sequence[str],
    detail_types: Sequence[str],
    statuses: Sequence[str] = (),
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Events of some queues, by ARN. With `statuses` of whole jobs: children of an array are told too, nodes where AWS
    does, and their ids hold a `:` or a `#`.
    """
    detail: dict[str, Any] = {"jobQueue": list(queues)}
    if statuses:
        detail["status"] = list(statuses)
        detail["jobId"] = [{"anything-but": {"wildcard": ["*#*", "*:*"]}}]
    return {"source": ["aws.batch"], "detail-type": list(detail_types), "detail": {**detail, **(more or {})}}


def subscription(address: str) -> dict[str, Any]:
    """What a subscription lets through to `address`: the ends of jobs that carry it."""
    return {"detail": {"tags": {Tag.NOTIFY.value: [address]}, "status": list(ENDED)}}
