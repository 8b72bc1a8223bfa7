"""Monitoring: logs that end, events that people can read, metrics that exist, alarms that reach somebody."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

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
    """EventBridge's matching, as far as our patterns use it: values, exists, anything-but wildcards."""
    if isinstance(pattern, dict):
        return all(fits(wanted, (event or {}).get(key)) for key, wanted in pattern.items())
    for wanted in pattern:
        if isinstance(wanted, dict) and "exists" in wanted:
            hit = (event is not None) == wanted["exists"]
        elif isinstance(wanted, dict):
            globs = [re.escape(glob).replace(r"\*", ".*") for glob in wanted["anything-but"]["wildcard"]]
            hit = event is not None and not any(re.fullmatch(glob, event) for glob in globs)
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
        r.name.removeprefix("tutti-dev-")
        for r in deployed.of("EventRule")
        if "eventPattern" in r.inputs and fits(r.json("eventPattern"), event)
    )


def changed(**detail: Any) -> dict[str, Any]:
    return {**FAILED, "detail": {**FAILED["detail"], **detail}}  # type: ignore[dict-item]  # detail is a mapping


def test_a_failed_job_is_told_to_operators_to_its_owner_and_to_what_waits_for_it_and_logged(stack: Any) -> None:
    assert told(stack(), FAILED) == ["after", "ended", "failed", "log"]


def test_a_job_that_succeeded_is_told_to_its_owner_and_to_what_waits_for_it(stack: Any) -> None:
    assert told(stack(), changed(status="SUCCEEDED")) == ["after", "ended", "log"]
    assert told(stack(), changed(status="SUCCEEDED", tags={})) == ["after", "log"]


@pytest.mark.parametrize(
    "detail",
    [
        {"jobQueue": "arn:aws:batch:us-west-2:123456789012:job-queue/other-mpi-high"},
        {"jobId": "1234#1"},
        {"jobId": "1234:1"},
    ],
)
def test_other_stacks_jobs_nodes_of_a_gang_and_children_of_an_array_alarm_nobody(
    stack: Any, detail: dict[str, Any]
) -> None:
    assert not {"failed", "ended", "after"} & set(told(stack(), changed(**detail)))


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


def test_the_spend_alarm_counts_what_the_budget_says(stack: Any) -> None:
    """No metric of AWS knows the group's spend (EstimatedCharges is the account's): the budget's messages are counted.

    So nobody but AWS Budgets may publish to that topic.
    """
    d = stack(budgetUsd=500)
    alarm, budget = d.one("MetricAlarm", "-spend").inputs, d.one("budgets/budget:Budget").inputs
    assert (alarm["namespace"], alarm["metricName"]) == ("AWS/SNS", "NumberOfMessagesPublished")
    topic = d.one("sns/topic:Topic", "-spend")
    assert alarm["dimensions"] == {"TopicName": f"{topic.name}-0000000"}
    assert {arn for n in budget["notifications"] for arn in n["subscriberSnsTopicArns"]} == {
        f"arn:aws:sns:us-west-2:123456789012:{topic.name}-0000000"
    }
    (statement,) = d.one("TopicPolicy", "-spend").json("policy")["Statement"]
    assert statement["Principal"] == {"Service": "budgets.amazonaws.com"}
    assert alarm["alarmActions"] == ["arn:aws:sns:us-west-2:123456789012:tutti-dev-alarms-0000000"], "and is told"


def test_without_a_budget_there_is_nothing_to_count(stack: Any) -> None:
    assert [
        r for kind in ("MetricAlarm", "sns/topic:Topic") for r in stack().of(kind) if r.name.endswith("spend")
    ] == []


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
