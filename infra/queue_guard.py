"""The guard of queues: Pulumi asks it before it deletes one, and is refused while jobs wait or run there.

Deleting a queue ends every job in it. The guard is a hook of Pulumi's engine, so it holds for a pool that is taken out
of the configuration, for a queue that is replaced and for a whole stack; and for a preview too, before anything is
changed. Why a hook: docs/adr/0054-queues-with-jobs-are-not-deleted.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import botocore.session
import pulumi
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

NAME: Final = "tutti-queue-is-empty"
UNFINISHED: Final = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING")
NAMED: Final = 5  # jobs of each status that the refusal names
CALL: Final = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 5})


class QueueInUseError(Exception):
    """A queue that is to be deleted has jobs, or cannot be asked whether it has."""


def guard(profile: str | None) -> pulumi.ResourceHook:
    """The hook, to be bound to every queue. Every program of a stack that ever had queues must make it.

    `profile`: the AWS profile of the stack's configuration; None for that of the environment.
    """

    def before_delete(args: pulumi.ResourceHookArgs) -> None:
        check(args.id, profile)

    return pulumi.ResourceHook(NAME, before_delete, pulumi.ResourceHookOptions(on_dry_run=True))


def check(queue_arn: str, profile: str | None = None) -> None:
    """Return where the queue has no job that waits or runs, or is gone already.

    Raises
    ------
    QueueInUseError
        It has some, or AWS could not be asked.
    """
    _, _, _, region, _, resource = queue_arn.split(":", maxsplit=5)
    name = resource.removeprefix("job-queue/")
    try:
        batch: Any = botocore.session.Session(profile=profile).create_client("batch", region_name=region, config=CALL)
        if not batch.describe_job_queues(jobQueues=[queue_arn])["jobQueues"]:
            return  # deleted by hand
        found = {status: _jobs(batch, queue_arn, status) for status in UNFINISHED}
    except (BotoCoreError, ClientError) as error:
        raise QueueInUseError(
            f"queue {name} is not deleted: AWS could not be asked whether jobs wait in it: {error}. "
            "Give the credentials of this deployment in the environment (AWS_PROFILE), with batch:ListJobs"
        ) from error
    if any(found.values()):
        raise QueueInUseError(refusal(name, found))


def refusal(queue: str, found: Mapping[str, Sequence[tuple[str, str]]]) -> str:
    """What stands in the way: jobs, (name, id) by status, and how to go on."""
    counts = ", ".join(f"{len(jobs)} {status}" for status, jobs in found.items() if jobs)
    return (
        f"queue {queue} is not deleted: that would end its jobs. It has {counts} ({_some(found)}). Allowed: a queue "
        f"without jobs. Let them end (`aws batch update-job-queue --job-queue {queue} --state DISABLED` takes no more) "
        f"or cancel them (`tutti cancel ID`), then run this again"
    )


def _some(found: Mapping[str, Sequence[tuple[str, str]]]) -> str:
    named = [f"{name} {job_id}" for jobs in found.values() for name, job_id in jobs[:NAMED]]
    more = sum(map(len, found.values())) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _jobs(batch: Any, queue: str, status: str) -> list[tuple[str, str]]:
    pages: Iterable[Any] = batch.get_paginator("list_jobs").paginate(jobQueue=queue, jobStatus=status)
    return [(job["jobName"], job["jobId"]) for page in pages for job in page["jobSummaryList"]]
