"""Topics: who may publish, and whom they reach."""

from __future__ import annotations

from typing import Any


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
