"""The dashboard: metrics that exist, in widgets that do not overlap."""

from __future__ import annotations

from typing import Any

from infra.dashboard import COUNTERS, DURATIONS

# AWS Batch User Guide, "Using CloudWatch metrics"; EFS User Guide, "CloudWatch metrics"; EC2 User Guide.
EXISTING = {
    "AWS/Batch": {
        *("JobsSubmitted", "JobsMovedToPending", "JobsMovedToRunnable", "JobsMovedToStarting", "JobsMovedToRunning"),
        *("JobsMovedToSucceeded", "JobsMovedToFailed", "JobsCancelled", "JobsTerminated", "JobsRetried"),
        *("JobSubmittedToRunnableDuration", "JobAttemptExecutionDuration"),
    },
    "AWS/EFS": {"PercentIOLimit", "MeteredIOBytes", "PermittedThroughput"},
}


def named_metrics(deployed: Any) -> list[tuple[str, str]]:
    """(namespace, metric) of dashboard and alarms, where AWS makes them."""
    found = []
    for widget in deployed.one("Dashboard").json("dashboardBody")["widgets"]:
        found += [(m[0], m[1]) for m in widget["properties"].get("metrics", []) if len(m) > 1]
    for alarm in deployed.of("MetricAlarm"):
        queries = [q["metric"] for q in alarm.inputs.get("metricQueries", []) if "metric" in q]
        found += [(m["namespace"], m["metricName"]) for m in [alarm.inputs, *queries] if "metricName" in m]
    return [(space, name) for space, name in found if space.startswith("AWS/")]


def test_every_metric_exists(stack: Any) -> None:
    found = named_metrics(stack())
    assert len(found) > 10
    assert [m for m in found if m[1] not in EXISTING[m[0]]] == []
    assert {*COUNTERS, *DURATIONS} <= EXISTING["AWS/Batch"]


def test_batchs_metrics_have_the_dimension_that_batch_gives_them(stack: Any) -> None:
    for widget in stack().one("Dashboard").json("dashboardBody")["widgets"]:
        for metric in widget["properties"].get("metrics", []):
            if metric[0] == "AWS/Batch":
                assert metric[2] == "JobQueueName"
                assert metric[3].startswith("dev-")


def test_widgets_do_not_overlap_and_fill_the_width(stack: Any) -> None:
    widgets = stack().one("Dashboard").json("dashboardBody")["widgets"]
    taken = {
        (x, y) for w in widgets for x in range(w["x"], w["x"] + w["width"]) for y in range(w["y"], w["y"] + w["height"])
    }
    assert len(taken) == sum(w["width"] * w["height"] for w in widgets)
    assert max(x for x, _ in taken) == 23


def test_the_table_of_failures_reads_the_event_log(stack: Any) -> None:
    (table,) = [w for w in stack().one("Dashboard").json("dashboardBody")["widgets"] if w["type"] == "log"]
    assert "SOURCE '/aws/events/tutti/dev'" in table["properties"]["query"]
