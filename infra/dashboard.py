"""The CloudWatch dashboard of a stack. Pure: names in, the dashboard's document out.

Metrics that exist: AWS/Batch counts what happens to the jobs of one queue (dimension JobQueueName; transitions, no
gauges); AWS/EC2 has CPU by instance type; AWS/EFS has the file system's; the programs' progress is the runtime's own,
as embedded metrics of its log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from workload.contract import METRIC_DIMENSION, Metric

WIDTH: Final = 24
HEIGHT: Final = 6
PERIOD_S: Final = 300
# AWS Batch User Guide, "Monitor AWS Batch with Amazon CloudWatch": free, one dimension, JobQueueName.
COUNTERS: Final = (
    "JobsSubmitted",
    "JobsMovedToRunnable",
    "JobsMovedToRunning",
    "JobsMovedToSucceeded",
    "JobsMovedToFailed",
)
DURATIONS: Final = ("JobSubmittedToRunnableDuration", "JobAttemptExecutionDuration")


@dataclass(frozen=True, kw_only=True)
class DashboardArgs:
    region: str
    namespace: str
    queues: Sequence[str]
    instance_types: Sequence[str]
    file_system: str
    event_log_group: str


def dashboard(args: DashboardArgs) -> dict[str, Any]:
    """The document, widgets in rows of one or two."""
    rows = [[_jobs(args, name) for name in args.queues[i : i + 2]] for i in range(0, len(args.queues), 2)]
    rows.append([_durations(args), _cpu(args)])
    rows.append([_limit(args), _throughput(args)])
    rows.append([_progress(args)])
    rows.append([_failures(args)])
    widgets = []
    for y, row in enumerate(rows):
        width = WIDTH // len(row)
        widgets += [
            {**widget, "x": x * width, "y": y * HEIGHT, "width": width, "height": HEIGHT}
            for x, widget in enumerate(row)
        ]
    return {"widgets": widgets}


def _metrics(args: DashboardArgs, title: str, metrics: Sequence[Any], **more: Any) -> dict[str, Any]:
    properties = {"title": title, "region": args.region, "period": PERIOD_S, "view": "timeSeries", "metrics": metrics}
    return {"type": "metric", "properties": {**properties, **more}}


def _jobs(args: DashboardArgs, queue: str) -> dict[str, Any]:
    metrics = [["AWS/Batch", name, "JobQueueName", queue, {"stat": "Sum"}] for name in COUNTERS]
    return _metrics(args, f"Jobs of {queue}", metrics)


def _durations(args: DashboardArgs) -> dict[str, Any]:
    metrics = [
        ["AWS/Batch", name, "JobQueueName", queue, {"stat": "Average"}] for queue in args.queues for name in DURATIONS
    ]
    return _metrics(args, "Waiting and running, ms", metrics)


def _cpu(args: DashboardArgs) -> dict[str, Any]:
    """CPU of all instances of the pools' types: Batch names its scaling groups anew with each environment."""
    metrics = [
        [
            {
                "expression": f'SEARCH(\'{{AWS/EC2,InstanceType}} MetricName="CPUUtilization" InstanceType="{name}"\','
                f" 'Average', {PERIOD_S})",
                "label": name,
                "id": f"cpu{i}",
            }
        ]
        for i, name in enumerate(args.instance_types)
    ]
    return _metrics(args, "Nodes' CPU, %", metrics, yAxis={"left": {"min": 0, "max": 100}})


def _limit(args: DashboardArgs) -> dict[str, Any]:
    metrics = [["AWS/EFS", "PercentIOLimit", "FileSystemId", args.file_system, {"stat": "Maximum"}]]
    return _metrics(args, "Shared file system: share of its I/O limit, %", metrics)


def _throughput(args: DashboardArgs) -> dict[str, Any]:
    metrics = [
        [
            "AWS/EFS",
            "MeteredIOBytes",
            "FileSystemId",
            args.file_system,
            {"stat": "Sum", "id": "moved", "visible": False},
        ],
        ["AWS/EFS", "PermittedThroughput", "FileSystemId", args.file_system, {"stat": "Average", "label": "permitted"}],
        [{"expression": "moved / PERIOD(moved)", "label": "used", "id": "used"}],
    ]
    return _metrics(args, "Shared file system: bytes a second", metrics)


def _progress(args: DashboardArgs) -> dict[str, Any]:
    schema = f"{{{args.namespace},{METRIC_DIMENSION}}}"
    search = f"SEARCH('{schema} MetricName=\"{Metric.RATE}\"', 'Average', {PERIOD_S})"
    return _metrics(args, "Programs' progress: steps a second", [[{"expression": search, "label": "", "id": "rate"}]])


def _failures(args: DashboardArgs) -> dict[str, Any]:
    query = (
        f"SOURCE '{args.event_log_group}' | fields @timestamp, detail.jobName, detail.jobId, detail.statusReason, "
        "detail.container.exitCode | filter detail.status = 'FAILED' | sort @timestamp desc | limit 50"
    )
    properties = {"title": "Failed jobs", "region": args.region, "query": query, "view": "table"}
    return {"type": "log", "properties": properties}
