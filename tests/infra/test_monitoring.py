"""Monitoring: logs that end, events that people can read, metrics that exist, alarms that reach somebody."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

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
FAILED = {
    "source": "aws.batch",
    "detail-type": "Batch Job State Change",
    "detail": {
        "jobName": "cavity",
        "jobId": "1234",
        "jobQueue": "arn:aws:batch:us-west-2:123456789012:job-queue/dev-mpi-high",
        "status": "FAILED",
        "statusReason": "Essential container in task exited",
        "tags": {"tutti:notify": "alice@example.org"},
    },
}


def fits(pattern: Any, event: Any) -> bool:
    """EventBridge's matching, as far as our patterns use it: values, exists, anything-but a wildcard."""
    if isinstance(pattern, dict):
        return all(fits(wanted, (event or {}).get(key)) for key, wanted in pattern.items())
    for wanted in pattern:
        if isinstance(wanted, dict) and "exists" in wanted:
            hit = (event is not None) == wanted["exists"]
        elif isinstance(wanted, dict):
            glob = re.escape(wanted["anything-but"]["wildcard"]).replace(r"\*", ".*")
            hit = event is not None and not re.fullmatch(glob, event)
        else:
            hit = event == wanted
        if hit:
            return True
    return False


def at(event: Any, path: str) -> Any:
    for key in path.removeprefix("$.").split("."):
        event = (event or {}).get(key)
    return event


def message(target: Any, event: Any) -> Any:
    """What the target gets: the template with its paths filled in, strings bare and objects as JSON."""
    transformer = target.inputs["inputTransformer"]
    text = transformer["inputTemplate"]
    for name, path in transformer["inputPaths"].items():
        value = at(event, path)
        text = text.replace(f"<{name}>", value if isinstance(value, str) else json.dumps(value))
    assert not re.search(r"<[a-z]+>", text)
    return json.loads(text)


def told(deployed: Any, event: Any) -> list[str]:
    """The rules that an event fits."""
    return sorted(
        r.name.removeprefix("tutti-dev-") for r in deployed.of("EventRule") if fits(r.json("eventPattern"), event)
    )


def changed(**detail: Any) -> dict[str, Any]:
    return {**FAILED, "detail": {**FAILED["detail"], **detail}}  # type: ignore[dict-item]  # detail is a mapping


def test_a_failed_job_is_told_to_operators_to_its_owner_and_logged(stack: Any) -> None:
    assert told(stack(), FAILED) == ["ended", "failed", "log"]


def test_a_job_that_succeeded_is_told_to_its_owner(stack: Any) -> None:
    assert told(stack(), changed(status="SUCCEEDED")) == ["ended", "log"]
    assert told(stack(), changed(status="SUCCEEDED", tags={})) == ["log"]


@pytest.mark.parametrize(
    "detail", [{"jobQueue": "arn:aws:batch:us-west-2:123456789012:job-queue/other-mpi-high"}, {"jobId": "1234#1"}]
)
def test_other_stacks_jobs_and_nodes_of_a_gang_alarm_nobody(stack: Any, detail: dict[str, Any]) -> None:
    assert not {"failed", "ended"} & set(told(stack(), changed(**detail)))


def test_a_blocked_queue_is_told(stack: Any) -> None:
    event = {**changed(status="RUNNABLE"), "detail-type": "Batch Job Queue Blocked"}
    assert told(stack(), event) == ["blocked", "log"]
    text = message(stack().one("EventTarget", "-blocked"), event)
    assert text.startswith(
        "Queue arn:aws:batch:us-west-2:123456789012:job-queue/dev-mpi-high is blocked by job cavity (1234)"
    )


def test_the_mail_is_readable(stack: Any) -> None:
    text = message(stack().one("EventTarget", "-failed"), FAILED)
    assert text.startswith("Job cavity (1234) failed: Essential container in task exited")
    assert "tutti why 1234" in text


def test_a_notice_holds_what_subscriptions_filter_by(stack: Any) -> None:
    """`tutti submit --notify` filters the message's body by tag and status."""
    notice = message(stack().one("EventTarget", "-ended"), FAILED)
    assert notice["detail"]["tags"] == {"tutti:notify": "alice@example.org"}
    assert notice["detail"]["status"] == "FAILED"
    assert notice["message"].startswith("Job cavity (1234): FAILED.")


def test_topics_take_messages_of_services_alone(stack: Any) -> None:
    """EventBridge publishes without context: a condition on it would drop every message. All others have one."""
    for policy in stack().of("TopicPolicy"):
        for statement in policy.json("policy")["Statement"]:
            assert statement["Action"] == ["sns:Publish"]
            guarded = statement.get("Condition") == {"StringEquals": {"aws:SourceAccount": "123456789012"}}
            assert guarded == (statement["Principal"]["Service"] != "events.amazonaws.com")


def test_alarms_reach_the_topic_and_the_topic_the_operators(stack: Any) -> None:
    d = stack(alarmAddresses=["ops@example.org", "on-call@example.org"])
    topic = "arn:aws:sns:us-west-2:123456789012:tutti-dev-alarms-0000000"
    assert {tuple(a.inputs["alarmActions"]) for a in d.of("MetricAlarm")} == {(topic,)}
    assert {s.inputs["endpoint"] for s in d.of("TopicSubscription")} == {"ops@example.org", "on-call@example.org"}


def test_alarms_count_what_the_event_log_counts(stack: Any) -> None:
    d = stack()
    filters = {
        f.inputs["metricTransformation"]["name"]: f.inputs["metricTransformation"] for f in d.of("LogMetricFilter")
    }
    assert set(filters) == {"FailedJobs", "BlockedQueues"}
    for alarm in d.of("MetricAlarm"):
        if alarm.inputs.get("metricName") in filters:
            assert alarm.inputs["namespace"] == filters[alarm.inputs["metricName"]]["namespace"] == "Tutti/dev"
            assert alarm.inputs["period"] == 300
            assert alarm.inputs["treatMissingData"] == "notBreaching"


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


def test_eventbridge_may_write_and_a_shared_stack_says_so_for_all(stack: Any) -> None:
    def named(deployed: Any) -> tuple[str, str, str]:
        stream, write = deployed.one("LogResourcePolicy").json("policyDocument")["Statement"]
        return stream["Resource"][0], write["Resource"][0], write["Condition"]["ArnLike"]["aws:SourceArn"]

    stream, write, rules = named(stack())
    assert stream.endswith("log-group:/aws/events/tutti/dev:*")
    assert write.endswith("log-group:/aws/events/tutti/dev:*:*")
    assert rules.endswith(":rule/tutti-dev-*")
    assert {r.name.startswith("tutti-dev-") for r in stack().of("EventRule")} == {True}
    stream, _, rules = named(stack("shared", pools=[]))
    assert (stream.split(":")[-2], rules.split(":")[-1]) == ("/aws/events/tutti/*", "rule/tutti-*")


def test_logs_are_kept_as_long_as_asked(stack: Any) -> None:
    assert {g.inputs["retentionInDays"] for g in stack(logRetentionDays=365).of("LogGroup")} == {365}
