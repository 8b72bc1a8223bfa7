"""The books of one attempt: how it begins, what its main node's end means, how it is closed. Acts on the job alone."""

from __future__ import annotations

from tutti.twin import retry
from tutti.twin.jobs import TERMINAL, Attempt, Job, Node, Reason, Status


def begin(job: Job, environment: str, now_ms: int) -> None:
    """The next attempt, with nodes that are not asked for yet."""
    job.attempt += 1
    job.environment, job.scheduled_at = environment, now_ms
    job.started_at = job.stopped_at = job.verdict = None
    history = [n.attempts for n in job.nodes] or [[] for _ in range(job.spec.nodes)]
    job.nodes = [Node(index=i, attempts=history[i]) for i in range(job.spec.nodes)]


def verdict_of(job: Job, main: Node) -> Attempt:
    """What the end of the main node says of the attempt."""
    status_reason = Reason.TASK_EXITED.value
    if job.retry_forbidden:
        status_reason = job.status_reason
    elif main.lost:
        status_reason = f"Host EC2 (instance {instance_id(main)}) terminated."
    elif main.exit_code is None:
        status_reason = "Task failed to start"
    return main.as_attempt(status_reason)


def close(job: Job, verdict: Attempt, now_ms: int) -> bool:
    """Put the attempt into the books; whether it succeeded. Nodes that have not ended share the job's fate."""
    succeeded = verdict.exit_code == 0 and not job.retry_forbidden
    for node in job.nodes:
        if node.status not in TERMINAL:
            node.status = Status.SUCCEEDED if succeeded else Status.FAILED
            node.stopped_at = node.stopped_at or now_ms
        node.attempts.append(node.as_attempt(verdict.status_reason))
    verdict.stopped_at = verdict.stopped_at or now_ms
    job.attempts.append(verdict)
    return succeeded


def is_followed(job: Job, verdict: Attempt) -> bool:
    """Whether Batch starts another attempt (B6): never after a timeout, a cancel or a terminate."""
    return not job.retry_forbidden and retry.is_retried(
        job.spec.retry,
        attempt=job.attempt,
        exit_code=verdict.exit_code,
        reason=verdict.reason,
        status_reason=verdict.status_reason,
    )


def instance_id(node: Node) -> str:
    """A made-up EC2 instance for a node: the same one for the same task."""
    return f"i-{(node.task or '0' * 17)[:17]}"
