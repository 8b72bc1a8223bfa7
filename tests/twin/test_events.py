"""Batch's events reach EventBridge (B16), and from there every target that a rule names."""

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest

from tutti.twin import control
from tutti.twin.eventtext import text_for

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


def a_queue(desk: Desk) -> tuple[str, str]:
    """URL and ARN of a new SQS queue."""
    sqs = desk.client("sqs")
    url = sqs.create_queue(QueueName=f"events-{uuid4().hex[:8]}")["QueueUrl"]
    return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


@contextmanager
def a_rule(desk: Desk, pattern: dict[str, Any], *targets: dict[str, Any], state: str = "ENABLED") -> Iterator[str]:
    events, name = desk.client("events"), f"rule-{uuid4().hex[:8]}"
    events.put_rule(Name=name, EventPattern=json.dumps({"source": ["aws.batch"], **pattern}), State=state)
    numbered = [{"Id": str(n), **target} for n, target in enumerate(targets)]
    events.put_targets(Rule=name, Targets=numbered)
    yield name
    events.remove_targets(Rule=name, Ids=[t["Id"] for t in numbered])
    events.delete_rule(Name=name)


def ended(job: str) -> dict[str, Any]:
    return {"detail": {"jobId": [job], "status": ["SUCCEEDED", "FAILED"]}}


def test_state_changes_and_blocked_queues_reach_a_rules_target(desk: Desk) -> None:
    url, arn = a_queue(desk)
    with a_rule(desk, {}, {"Arn": arn}):
        job = desk.gang("exit 3", jobName="watched")
        found = collect(
            desk,
            url,
            lambda seen: any(e["detail"].get("status") == "FAILED" and e["detail"]["jobId"] == job for e in seen),
        )
        mine = [e for e in found if e["detail"]["jobId"] == job]
        assert {e["detail-type"] for e in mine} == {"Batch Job State Change"}
        assert {(e["source"], e["version"], e["account"], e["region"]) for e in mine} == {
            ("aws.batch", "0", "123456789012", "us-east-1")
        }
        assert [e["resources"] for e in mine] == [[mine[0]["detail"]["jobArn"]]] * len(mine)
        assert [e["detail"]["status"] for e in mine] == ["RUNNABLE", "STARTING", "RUNNING", "FAILED"]
        last = mine[-1]["detail"]
        assert last["jobName"] == "watched"
        assert last["attempts"][0]["container"]["exitCode"] == 3
        assert all("#" not in e["detail"]["jobId"] for e in found)
        control.call(desk.home, "shortage", queue="twin-mpi2-high", on=True)
        waits = desk.gang("true", queue="twin-mpi2-high")
        seen = collect(desk, url, lambda seen: any(e["detail-type"] == "Batch Job Queue Blocked" for e in seen))
        blocked = next(e for e in seen if e["detail-type"] == "Batch Job Queue Blocked")
        assert blocked["detail"]["statusReason"].startswith("CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - ")
        assert (blocked["detail"]["jobId"], blocked["detail"]["status"]) == (waits, "RUNNABLE")
        assert blocked["resources"] == [blocked["detail"]["jobArn"], blocked["detail"]["jobQueue"]]
        control.call(desk.home, "shortage", queue="twin-mpi2-high", on=False)
        desk.until(waits)


def test_children_of_an_array_are_told_each_by_its_own_id(desk: Desk) -> None:
    url, arn = a_queue(desk)
    with a_rule(desk, {"detail": {"status": ["SUCCEEDED"], "jobName": ["three"]}}, {"Arn": arn}):
        job = desk.single("true", jobName="three", arrayProperties={"size": 3})
        found = collect(desk, url, lambda seen: len(seen) >= 4)
    assert sorted(e["detail"]["jobId"] for e in found) == sorted([job, f"{job}:0", f"{job}:1", f"{job}:2"])
    assert {e["detail"]["arrayProperties"].get("index") for e in found} == {None, 0, 1, 2}
    assert found[-1]["detail"]["jobId"] == job, "the parent ends last"


CODE = """
import json, os, boto3
def handler(event, context):
    print("heard of", event["detail"]["jobId"])
    boto3.client("s3").put_object(
        Bucket="tutti-twin", Key="heard/" + event["detail"]["jobId"], Body=json.dumps(event["detail"]["status"]).encode()
    )
    if os.environ.get("FAIL"):
        raise ValueError("as asked")
    return {"name": context.function_name, "word": os.environ["WORD"]}
"""


def a_function(desk: Desk, **variables: str) -> str:
    """A function of the code above; its ARN."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as code:
        code.writestr("heard.py", CODE)
    return str(
        desk.client("lambda").create_function(
            FunctionName=f"heard-{uuid4().hex[:8]}",
            Runtime="python3.12",
            Role=desk.client("iam").create_role(RoleName=f"r{uuid4().hex[:8]}", AssumeRolePolicyDocument="{}")["Role"][
                "Arn"
            ],
            Handler="heard.handler",
            Code={"ZipFile": packed.getvalue()},
            Environment={"Variables": {"WORD": "x", **variables}},
            Timeout=30,
        )["FunctionArn"]
    )


def test_queues_topics_log_groups_and_functions_all_get_it_and_one_that_is_gone_stops_no_other(desk: Desk) -> None:
    direct, arn = a_queue(desk)
    through, behind = a_queue(desk)
    sns, logs = desk.client("sns"), desk.client("logs")
    topic = sns.create_topic(Name="all")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=behind)
    logs.create_log_group(logGroupName="/aws/events/all")
    function = a_function(desk)
    job = desk.gang("sleep 1000", nodes=1)
    with a_rule(
        desk,
        ended(job),
        {"Arn": "arn:aws:sqs:us-east-1:123456789012:gone"},
        {"Arn": "arn:aws:kinesis:us-east-1:123456789012:stream/none"},
        {"Arn": topic},
        {"Arn": "arn:aws:logs:us-east-1:123456789012:log-group:/aws/events/all"},
        {"Arn": function},
        {"Arn": arn},
    ):
        desk.batch.terminate_job(jobId=job, reason="seen enough")
        [event] = collect(desk, direct, bool)
        [noted] = collect(desk, through, bool)
        assert json.loads(noted["Message"]) == event
        assert event["detail"]["statusReason"] == "seen enough"
        pages = logs.filter_log_events(logGroupName="/aws/events/all")["events"]
        assert [json.loads(e["message"]) for e in pages] == [event]
        waiter = desk.s3.get_waiter("object_exists")
        waiter.wait(Bucket="tutti-twin", Key=f"heard/{job}", WaiterConfig={"Delay": 0.1, "MaxAttempts": 200})
    assert json.loads(desk.s3.get_object(Bucket="tutti-twin", Key=f"heard/{job}")["Body"].read()) == "FAILED"


def test_a_function_runs_in_a_child_process_and_says_what_lambda_says(desk: Desk) -> None:
    client, event = desk.client("lambda"), json.dumps({"detail": {"jobId": "j", "status": "S"}})
    arn = a_function(desk, WORD="good")
    answer = client.invoke(FunctionName=arn, Payload=event)
    assert json.load(answer["Payload"]) == {"name": arn.rpartition(":")[2], "word": "good"}
    assert "FunctionError" not in answer
    failed = client.invoke(FunctionName=a_function(desk, FAIL="1"), Payload=event)
    assert failed["FunctionError"] == "Unhandled"
    assert json.load(failed["Payload"]) == {"errorMessage": "ValueError: as asked"}
    group = f"/aws/lambda/{arn.rpartition(':')[2]}"
    said = [e["message"] for e in desk.logs.filter_log_events(logGroupName=group)["events"]]
    assert [line for line in said if "RequestId" not in line] == ["heard of j"]
    with pytest.raises(client.exceptions.ResourceNotFoundException, match="there is no function nobody"):
        client.invoke(FunctionName="nobody", Payload=b"{}")


def test_a_disabled_rule_sends_nothing(desk: Desk) -> None:
    silent, arn = a_queue(desk)
    heard, other = a_queue(desk)
    with a_rule(desk, {}, {"Arn": arn}, state="DISABLED"), a_rule(desk, {}, {"Arn": other}):
        job = desk.single("true")
        collect(desk, heard, lambda seen: any(e["detail"]["status"] == "SUCCEEDED" for e in seen))
    assert desk.client("sqs").receive_message(QueueUrl=silent).get("Messages", []) == [], job


def test_another_bus_gets_them_and_hands_them_on_by_its_own_rules(desk: Desk) -> None:
    url, arn = a_queue(desk)
    events = desk.client("events")
    bus = events.create_event_bus(Name="other")["EventBusArn"]
    events.put_rule(Name="theirs", EventBusName="other", EventPattern=json.dumps({"source": ["aws.batch"]}))
    events.put_targets(Rule="theirs", EventBusName="other", Targets=[{"Id": "1", "Arn": arn}])
    with a_rule(desk, {"detail": {"status": ["SUCCEEDED"], "jobName": ["bussed"]}}, {"Arn": bus}):
        job = desk.single("true", jobName="bussed")
        [event] = collect(desk, url, bool)
    assert (event["detail"]["jobId"], event["detail-type"]) == (job, "Batch Job State Change")


def test_a_pattern_that_cannot_be_read_silences_no_other_rule(desk: Desk) -> None:
    heard, arn = a_queue(desk)
    broken = {"detail": {"createdAt": [{"numeric": ["?", 5]}]}}
    with a_rule(desk, broken, {"Arn": arn}), a_rule(desk, {"detail": {"status": ["SUCCEEDED"]}}, {"Arn": arn}):
        job = desk.single("true")
        [event] = collect(desk, heard, bool)
    assert event["detail"]["jobId"] == job


EVENT = {
    "id": "1",
    "time": "2026-11-20T13:00:00Z",
    "detail-type": "Batch Job State Change",
    "detail": {"jobName": 'a "b"', "status": "FAILED", "tags": {"x": "y"}, "attempts": [{"n": 1}, {"n": 2}]},
}
RULE = {"name": "r", "arn": "arn:r"}


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ({}, json.dumps(EVENT)),
        ({"Input": '{"a": 1}'}, '{"a": 1}'),
        ({"InputPath": "$.detail.attempts[1].n"}, "2"),
        ({"InputPath": "$.detail-type"}, '"Batch Job State Change"'),
        ({"InputPath": "$.detail.none"}, "null"),
        (
            {
                "InputTransformer": {
                    "InputPathsMap": {"name": "$.detail.jobName", "tags": "$.detail.tags", "gone": "$.detail.gone"},
                    "InputTemplate": '{"m": "Job <name>: <gone>.", "tags": <tags>, "name": <name>, "none": <gone>, "<x>": 1}',
                }
            },
            '{"m": "Job a \\"b\\": .", "tags": {"x": "y"}, "name": "a \\"b\\"", "none": "", "<x>": 1}',
        ),
        (
            {"InputTransformer": {"InputTemplate": '"<aws.events.rule-name> at <aws.events.event.ingestion-time>"'}},
            '"r at 2026-11-20T13:00:00Z"',
        ),
    ],
    ids=["whole", "constant", "path", "name with a dash", "missing", "template", "reserved names"],
)
def test_a_target_is_given_what_its_input_says(target: dict[str, Any], text: str) -> None:
    assert text_for(target, EVENT, RULE) == text
