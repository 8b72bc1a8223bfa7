"""Logs: kept as long as asked, and written by EventBridge with a right of its own."""

from __future__ import annotations

from typing import Any


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
