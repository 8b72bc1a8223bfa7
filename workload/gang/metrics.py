"""Progress as CloudWatch metrics, embedded in main's log: no call to CloudWatch, no permission, no library.

CloudWatch makes metrics of every log line that is one JSON object in its "embedded metric format"
(https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html).
"""

from __future__ import annotations

import json
from typing import Final

from workload.contract import METRIC_DIMENSION, METRIC_MARK, Metric, Progress, metric_namespace

EVERY_S: Final = 60.0  # CloudWatch keeps custom metrics by the minute
# A unit of CloudWatch's own list; steps have none.
_UNITS: Final = {Metric.STEP: "None", Metric.RATE: "Count/Second"}


class ProgressMetrics:
    """Says when a line is due: the first time a rate is known, then once a minute, and at the end."""

    def __init__(self, stack: str, job: str) -> None:
        self._stack = stack
        self._job = job
        self._written: float | None = None
        self._ended = False

    def line(self, progress: Progress, now: float) -> str | None:
        """The line to write at the Unix time `now`, or None."""
        ends = progress.total is not None and progress.step >= progress.total
        if progress.rate is None or (ends and self._ended):
            return None
        if self._written is not None and now - self._written < EVERY_S and not ends:
            return None
        self._written, self._ended = now, ends
        return embedded(progress, stack=self._stack, job=self._job, now=now)


def embedded(progress: Progress, *, stack: str, job: str, now: float) -> str:
    """`progress` of `job` as one line in the embedded metric format; `now` is Unix time in seconds."""
    values = {Metric.STEP: progress.step, Metric.RATE: progress.rate}
    known = {metric.value: value for metric, value in values.items() if value is not None}
    directive = {
        "Namespace": metric_namespace(stack),
        "Dimensions": [[METRIC_DIMENSION]],
        "Metrics": [{"Name": m.value, "Unit": _UNITS[m]} for m in Metric if m.value in known],
    }
    line = json.dumps(
        {"_aws": {"Timestamp": int(now * 1000), "CloudWatchMetrics": [directive]}, METRIC_DIMENSION: job, **known},
        separators=(",", ":"),
    )
    if not line.startswith(METRIC_MARK):
        raise ValueError(f"a metric's line starts with {line[:10]!r}, not with {METRIC_MARK!r}: readers would show it")
    return line
