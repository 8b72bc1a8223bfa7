"""Batch's events reach EventBridge (B16), and from there what a rule names."""

import json
import time
from collections.abc import Callable
from typing import Any

from tutti.twin import control

Desk = Any


def collect(desk: Desk, queue_url: str, enough: Callable[[list[Any]], bool], seconds: float = 20) -> list[Any]:
    sqs = desk.client("sqs")
    found: list[Any] = []
    deadline = time.monotonic() + seconds
    while not enough(found):
        assert time.monotonic() < deadline, found
        messages = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10).get("Messages", [])
        found += [json.loads(m["Body"]) for m in messages]
        time.sleep(0.02)
    return found


def test_state_changes_and_blocked_queues_reach_a_rules_target(desk: Desk) -> None:
    sqs, events = desk.client("sqs"), desk.client("events")
    url = sqs.create_queue(QueueName="events")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="batch", EventPattern=json.dumps({"source": ["aws.batch"]}))
    events.put_targets(Rule="batch", Targets=[{"Id": "1", "Arn": arn}])
    job = desk.gang("exit 3", jobName="watched")
    found = collect(
        desk, url, lambda seen: any(e["detail"].get("status") == "FAILED" and e["detail"]["jobId"] == job for e in seen)
    )
    mine = [e for e in found if e["detail"]["jobId"] == job]
    assert {e["detail-type"] for e in mine} == {"Batch Job State Change"}
    assert {e["source"] for e in mine} == {"aws.batch"}
    assert {"RUNNABLE", "STARTING", "RUNNING", "FAILED"} <= {e["detail"]["status"] for e in mine}
    last = next(e for e in mine if e["detail"]["status"] == "FAILED")["detail"]
    assert last["jobName"] == "watched"
    assert last["attempts"][0]["container"]["exitCode"] == 3
    assert all("#" not in e["detail"]["jobId"] for e in found)
    control.call(desk.home, "shortage", queue="twin-mpi2-high", on=True)
    waits = desk.gang("true", queue="twin-mpi2-high")
    seen = collect(desk, url, lambda seen: any(e["detail-type"] == "Batch Job Queue Blocked" for e in seen))
    blocked = next(e for e in seen if e["detail-type"] == "Batch Job Queue Blocked")
    assert blocked["detail"]["statusReason"] == "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"
    assert (blocked["detail"]["jobId"], blocked["detail"]["status"]) == (waits, "RUNNABLE")
    control.call(desk.home, "shortage", queue="twin-mpi2-high", on=False)
    desk.until(waits)
    events.remove_targets(Rule="batch", Ids=["1"])
    events.delete_rule(Name="batch")
