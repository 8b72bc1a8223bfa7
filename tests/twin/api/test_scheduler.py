"""EventBridge Scheduler on the twin, through boto3: what is asked for is kept, and done when its time has come."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tutti.twin.agenda import Agenda
from tutti.twin.store import Store

Desk = Any
SUBMIT = "arn:aws:scheduler:::aws-sdk:batch:submitJob"
ROLE = "arn:aws:iam::123456789012:role/tutti-twin-scheduler"


def target(name: str, **request: Any) -> dict[str, Any]:
    overrides = {
        "Command": ["true"],
        "Environment": [{"Name": "k", "Value": "v"}],
        "ResourceRequirements": [{"Type": "VCPU", "Value": "2"}, {"Type": "MEMORY", "Value": "256"}],
    }
    submission = {
        "JobName": name,
        "JobQueue": "twin-single-high",
        "JobDefinition": "twin-single",
        "ContainerOverrides": overrides,
        "Tags": {"my:Tag": "x"},
        **request,
    }
    return {"Arn": SUBMIT, "RoleArn": ROLE, "Input": json.dumps(submission)}


def create(desk: Desk, expression: str, **more: Any) -> str:
    name = f"s-{uuid4().hex[:8]}"
    fields = {"Target": target(name), "FlexibleTimeWindow": {"Mode": "OFF"}, "GroupName": "tutti-twin", **more}
    desk.client("scheduler").create_schedule(Name=name, ScheduleExpression=expression, **fields)
    return name


def at(seconds: float) -> str:
    return f"at({datetime.now(UTC) + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S})"


def jobs_of(desk: Desk, name: str) -> list[dict[str, Any]]:
    found = desk.batch.list_jobs(jobQueue="twin-single-high", filters=[{"name": "JOB_NAME", "values": [name]}])
    return list(found["jobSummaryList"])


def until(what: Callable[[], Any], seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)
    return found


def test_a_schedule_for_a_time_submits_the_job_then_and_vanishes(desk: Desk) -> None:
    client = desk.client("scheduler")
    name = create(desk, at(3), ActionAfterCompletion="DELETE")
    shown = client.get_schedule(Name=name, GroupName="tutti-twin")
    assert (shown["State"], shown["GroupName"], shown["Target"]["Arn"]) == ("ENABLED", "tutti-twin", SUBMIT)
    assert jobs_of(desk, name) == [], "not before its time"
    [job] = until(lambda: jobs_of(desk, name))
    done = desk.until(job["jobId"])
    assert done["status"] == "SUCCEEDED"
    assert done["tags"]["my:Tag"] == "x", "keys of maps stay as they are"
    assert {"name": "k", "value": "v"} in done["container"]["environment"]
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_schedule(Name=name, GroupName="tutti-twin")


def test_one_that_is_to_stay_stays_and_does_it_once(desk: Desk) -> None:
    client = desk.client("scheduler")
    name = create(desk, at(1))
    until(lambda: jobs_of(desk, name))
    other = create(desk, at(1.5))
    until(lambda: jobs_of(desk, other))
    assert len(jobs_of(desk, name)) == 1
    assert client.get_schedule(Name=name, GroupName="tutti-twin")["Name"] == name
    client.delete_schedule(Name=name, GroupName="tutti-twin")


def test_a_rate_begins_at_once_and_goes_on_until_it_is_disabled_or_deleted(desk: Desk) -> None:
    client = desk.client("scheduler")
    name = create(desk, "rate(1 minute)")
    until(lambda: jobs_of(desk, name))
    before = client.get_schedule(Name=name, GroupName="tutti-twin")
    kept = {k: before[k] for k in ("Name", "GroupName", "Target", "FlexibleTimeWindow")}
    client.update_schedule(**kept, ScheduleExpression="rate(2 hours)", State="DISABLED")
    after = client.get_schedule(Name=name, GroupName="tutti-twin")
    assert (after["State"], after["ScheduleExpression"]) == ("DISABLED", "rate(2 hours)")
    assert after["CreationDate"] == before["CreationDate"]
    client.delete_schedule(Name=name, GroupName="tutti-twin")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.delete_schedule(Name=name, GroupName="tutti-twin")


def test_schedules_are_listed_by_group_prefix_and_page(desk: Desk) -> None:
    client = desk.client("scheduler")
    names = {create(desk, "cron(0 6 * * ? *)", GroupName="default") for _ in range(3)}
    pages = client.get_paginator("list_schedules").paginate(
        GroupName="default", NamePrefix="s-", PaginationConfig={"PageSize": 2}
    )
    assert {s["Name"] for page in pages for s in page["Schedules"]} == names
    assert client.list_schedules(GroupName="default", State="DISABLED")["Schedules"] == []
    assert [g["Name"] for g in client.list_schedule_groups()["ScheduleGroups"]] == ["default", "tutti-twin"]
    for name in names:
        client.delete_schedule(Name=name)


def test_any_target_of_an_event_may_be_one_of_a_schedule(desk: Desk) -> None:
    sqs = desk.client("sqs")
    url = sqs.create_queue(QueueName="ticks")["QueueUrl"]
    arn = "arn:aws:sqs:us-east-1:123456789012:ticks"
    create(desk, at(1), Target={"Arn": arn, "RoleArn": ROLE, "Input": '{"tick": 1}'}, ActionAfterCompletion="DELETE")
    [message] = until(lambda: sqs.receive_message(QueueUrl=url).get("Messages"))
    assert json.loads(message["Body"]) == {"tick": 1}


@pytest.mark.parametrize(
    ("expression", "more", "words"),
    [
        ("often", {}, "Invalid Schedule Expression.*allowed: at"),
        ("cron(0 6 * * * *)", {}, "as day or as weekday"),
        ("rate(1 minute)", {"ScheduleExpressionTimezone": "Mars/Base"}, "time zone 'Mars/Base'"),
        ("cron(0 6 * * ? *)", {"ScheduleExpressionTimezone": "Mars/Base"}, "time zone 'Mars/Base'"),
        ("cron(0 6 * * ? *)", {"GroupName": "none"}, "group none does not exist"),
        ("cron(0 6 * * ? *)", {"Target": {**target("x"), "Arn": f"{SUBMIT}s"}}, "not supported as a target"),
        ("cron(0 6 * * ? *)", {"Target": {**target("x"), "Input": "{"}}, "not JSON"),
        ("cron(0 6 * * ? *)", {"Target": target("x", Nodes=3)}, "Nodes"),
        ("cron(0 6 * * ? *)", {"Target": {**target("x"), "Input": '{"JobName": "x"}'}}, "jobQueue"),
    ],
)
def test_what_scheduler_would_refuse_is_refused(desk: Desk, expression: str, more: dict[str, Any], words: str) -> None:
    with pytest.raises(ClientError, match=words):
        create(desk, expression, **more)


def test_two_of_one_name_are_refused(desk: Desk) -> None:
    name = create(desk, "cron(0 6 * * ? *)")
    client = desk.client("scheduler")
    with pytest.raises(client.exceptions.ConflictException, match=f"{name} already exists"):
        client.create_schedule(
            Name=name,
            GroupName="tutti-twin",
            ScheduleExpression="rate(1 day)",
            Target=target("x"),
            FlexibleTimeWindow={"Mode": "OFF"},
        )
    client.delete_schedule(Name=name, GroupName="tutti-twin")


NOON = datetime(2026, 12, 1, 12, tzinfo=UTC).timestamp()


def schedule(expression: str, **more: Any) -> dict[str, Any]:
    fields = {"State": "ENABLED", "ActionAfterCompletion": "NONE", "CreationDate": NOON}
    return {"Arn": f"arn:{expression}", "Name": "s", "ScheduleExpression": expression, **fields, **more}


@pytest.fixture
def agenda(tmp_path: Any) -> Agenda:
    return Agenda(Store(tmp_path / "twin.sqlite"))


def test_what_fell_due_while_the_twin_was_down_is_made_up_for_once_and_within_a_day(tmp_path: Any) -> None:
    store = Store(tmp_path / "twin.sqlite")
    first = Agenda(store)
    first.keep(schedule("rate(1 hour)"), NOON)
    first.keep(schedule("at(2026-12-01T13:00:00)", ActionAfterCompletion="DELETE"), NOON)
    assert [d["Arn"] for d in first.take_due(NOON)] == ["arn:rate(1 hour)"]
    again = Agenda(store)
    late = again.take_due(NOON + 5.5 * 3600)
    assert {d["ScheduleExpression"] for d in late} == {"rate(1 hour)", "at(2026-12-01T13:00:00)"}
    assert again.due() == NOON + 6 * 3600
    assert [d["ScheduleExpression"] for d in Agenda(store).all()] == ["rate(1 hour)"]
    assert Agenda(store).take_due(NOON + 90 * 3600) == [], "more than a day late is never"


def test_a_schedule_begins_and_ends_at_its_dates(agenda: Agenda) -> None:
    agenda.keep(schedule("rate(1 hour)", StartDate=NOON + 7200, EndDate=NOON + 3 * 3600), NOON)
    assert agenda.take_due(NOON + 3600) == []
    assert agenda.due() == NOON + 7200
    assert len(agenda.take_due(NOON + 7200)) == 1
    assert len(agenda.take_due(NOON + 10_800)) == 1
    assert agenda.due() is None


def test_disabled_schedules_wait(agenda: Agenda) -> None:
    agenda.keep(schedule("rate(1 hour)", State="DISABLED"), NOON)
    assert (agenda.due(), agenda.take_due(NOON + 5)) == (None, [])
