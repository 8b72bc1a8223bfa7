"""Jobs as DescribeJobs and ListJobs show them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from tutti.twin.jobs import ON_NODES, Attempt, Job, Kind, Node, Status
from tutti.twin.registry import Place


def _filled(document: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is unknown."""
    return {k: v for k, v in document.items() if v is not None and v not in ("", [], {})}


def job_detail(job: Job, place: Place, children: Mapping[Status, int]) -> dict[str, Any]:
    """`JobDetail` of a whole job; `children`: of an array, how many are in which status."""
    spec = job.spec
    detail: dict[str, Any] = {
        **_common(job, job.id, place),
        "status": job.status,
        "startedAt": job.started_at or 0,
        "attempts": [_attempt(a) for a in job.attempts],
    }
    if job.kind is Kind.MULTINODE:
        detail["nodeProperties"] = {
            "numNodes": spec.nodes,
            "mainNode": spec.main,
            "nodeRangeProperties": [
                {"targetNodes": f"{r.first}:{r.last}", "container": dict(r.container)} for r in spec.ranges
            ],
        }
    elif job.kind is Kind.CONTAINER:
        detail["container"] = _container(job, 0, job.nodes[0] if job.nodes else None)
    else:
        detail["container"] = _filled(spec.ranges[0].container)
        detail["arrayProperties"] = {"size": spec.array_size, "statusSummary": summary(children)}
    if job.array_index is not None:
        detail["arrayProperties"] = {"index": job.array_index, "size": spec.array_size}
    detail |= _filled({"statusReason": job.status_reason, "stoppedAt": job.stopped_at})
    return detail


def node_detail(job: Job, index: int, place: Place) -> dict[str, Any]:
    """`JobDetail` of one node, as DescribeJobs gives it for `ID#N` (B10)."""
    node = job.nodes[index] if job.nodes else Node(index=index)
    return {
        **_common(job, f"{job.id}#{index}", place),
        "status": _node_status(job, node),
        "startedAt": node.started_at or 0,
        "attempts": [_attempt(a) for a in node.attempts],
        "container": _container(job, index, node),
        "nodeDetails": {"nodeIndex": index, "isMainNode": index == job.spec.main},
        **_filled(
            {"stoppedAt": node.stopped_at, "statusReason": node.attempts[-1].status_reason if node.attempts else ""}
        ),
    }


def job_summary(job: Job, place: Place) -> dict[str, Any]:
    """`JobSummary` of a job or of a child of an array."""
    found = {
        "jobArn": place.arn("job", job.id),
        "jobId": job.id,
        "jobName": job.spec.name,
        "createdAt": job.created_at,
        "status": job.status,
        "statusReason": job.status_reason,
        "startedAt": job.started_at,
        "stoppedAt": job.stopped_at,
        "scheduledAt": job.scheduled_at,
        "shareIdentifier": job.spec.share,
        "jobDefinition": job.spec.definition,
        "isCancelled": job.cancelled or None,
        "isTerminated": job.terminated or None,
    }
    if job.attempts and job.status not in ON_NODES:
        last = job.attempts[-1]
        found["container"] = _filled({"exitCode": last.exit_code, "reason": last.reason})
    if job.kind is Kind.MULTINODE:
        found["nodeProperties"] = {"isMainNode": False, "numNodes": job.spec.nodes}
    if job.kind is Kind.ARRAY:
        found["arrayProperties"] = {"size": job.spec.array_size}
    elif job.array_index is not None:
        found["arrayProperties"] = {"index": job.array_index}
    return _filled(found)


def node_summary(job: Job, index: int, place: Place) -> dict[str, Any]:
    """`JobSummary` of one node, as ListJobs gives it for a multi-node job."""
    node = job.nodes[index] if job.nodes else Node(index=index)
    found = {
        "jobArn": place.arn("job", f"{job.id}#{index}"),
        "jobId": f"{job.id}#{index}",
        "jobName": job.spec.name,
        "createdAt": job.created_at,
        "status": _node_status(job, node),
        "startedAt": node.started_at,
        "stoppedAt": node.stopped_at,
        "jobDefinition": job.spec.definition,
        "container": _filled({"exitCode": node.exit_code, "reason": node.reason}),
        "nodeProperties": {"isMainNode": index == job.spec.main, "numNodes": job.spec.nodes, "nodeIndex": index},
    }
    return _filled(found)


def summary(children: Mapping[Status, int]) -> dict[str, int]:
    """An array's statusSummary: every status is named."""
    return {status.value: Counter(children)[status] for status in Status}


def _node_status(job: Job, node: Node) -> Status:
    """A node that is not asked for yet has the status of a job that waits."""
    return job.status if not job.nodes else node.status


def _common(job: Job, job_id: str, place: Place) -> dict[str, Any]:
    spec = job.spec
    found = {
        "jobArn": place.arn("job", job_id),
        "jobId": job_id,
        "jobName": spec.name,
        "jobQueue": place.arn("job-queue", spec.queue),
        "jobDefinition": spec.definition,
        "createdAt": job.created_at,
        "retryStrategy": dict(spec.retry),
        "timeout": {"attemptDurationSeconds": spec.timeout_s} if spec.timeout_s else None,
        "dependsOn": [dict(d) for d in spec.depends_on],
        "parameters": dict(spec.parameters),
        "tags": dict(spec.tags),
        "shareIdentifier": spec.share,
        "platformCapabilities": list(spec.platforms),
        "isCancelled": job.cancelled,
        "isTerminated": job.terminated,
        "propagateTags": spec.propagate_tags,
    }
    return _filled(found)


def _attempt(attempt: Attempt) -> dict[str, Any]:
    container = {
        "exitCode": attempt.exit_code,
        "reason": attempt.reason,
        "logStreamName": attempt.stream,
        "taskArn": task_arn(attempt.task),
        "containerInstanceArn": attempt.instance,
        "networkInterfaces": _interfaces(attempt.address),
    }
    found = {
        "container": _filled(container),
        "startedAt": attempt.started_at,
        "stoppedAt": attempt.stopped_at,
        "statusReason": attempt.status_reason,
    }
    return {k: v for k, v in found.items() if v is not None}


def _container(job: Job, index: int, node: Node | None) -> dict[str, Any]:
    found = dict(job.spec.container(index))
    if node is not None:
        found |= {
            "exitCode": node.exit_code,
            "reason": node.reason,
            "logStreamName": node.stream,
            "taskArn": task_arn(node.task),
            "containerInstanceArn": node.instance,
            "networkInterfaces": _interfaces(node.address),
        }
    return _filled(found)


def task_arn(task: str) -> str:
    return f"arn:aws:ecs:us-east-1:123456789012:task/tutti-twin/{task}" if task else ""


def _interfaces(address: str) -> list[dict[str, str]]:
    return [{"privateIpv4Address": address}] if address else []
