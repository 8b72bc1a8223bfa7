"""Logs of jobs over HTTP with boto3: pages, tokens, filters, order."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

Desk = Any


@pytest.fixture(scope="module")
def job(desk: Desk) -> str:
    """Two nodes, each with 3,000 numbered lines."""
    found = desk.gang("for n in $(seq 3000); do echo $AWS_BATCH_JOB_NODE_INDEX-$n; done", main_last=True)
    assert desk.until(found)["status"] == "SUCCEEDED"
    return str(found)


def stream(desk: Desk, job: str, node: int) -> str:
    return str(desk.describe(f"{job}#{node}")["container"]["logStreamName"])


def numbered(node: int) -> list[str]:
    return [f"{node}-{n}" for n in range(1, 3001)]


def test_forward_pages_give_every_line_once_and_the_last_token_stays(desk: Desk, job: str) -> None:
    where = {"logGroupName": desk.card.log_group, "logStreamName": stream(desk, job, 1)}
    page = desk.logs.get_log_events(**where, startFromHead=True, limit=700)
    lines: list[str] = []
    while page["events"]:
        lines += [e["message"] for e in page["events"]]
        token = page["nextForwardToken"]
        page = desk.logs.get_log_events(**where, nextToken=token, limit=700)
    assert lines == numbered(1)
    assert page["nextForwardToken"] == token, "at the end the token does not change, as AWS has it"


def test_without_a_start_the_last_lines_come_and_pages_go_backward(desk: Desk, job: str) -> None:
    where = {"logGroupName": desk.card.log_group, "logStreamName": stream(desk, job, 1)}
    page = desk.logs.get_log_events(**where, limit=10)
    assert [e["message"] for e in page["events"]] == numbered(1)[-10:]
    page = desk.logs.get_log_events(**where, limit=10, nextToken=page["nextBackwardToken"])
    assert [e["message"] for e in page["events"]] == numbered(1)[-20:-10]


def test_filtering_merges_streams_in_order_of_time_and_pages_lose_nothing(desk: Desk, job: str) -> None:
    names = [stream(desk, job, n) for n in range(2)]
    pages = desk.logs.get_paginator("filter_log_events").paginate(
        logGroupName=desk.card.log_group, logStreamNames=names, PaginationConfig={"PageSize": 999}
    )
    events = [e for page in pages for e in page["events"]]
    times = [e["timestamp"] for e in events]
    assert times == sorted(times)
    for node, name in enumerate(names):
        assert [e["message"] for e in events if e["logStreamName"] == name] == numbered(node)
    assert len({e["eventId"] for e in events}) == 6000


def test_times_select_half_open_and_patterns_select_words(desk: Desk, job: str) -> None:
    where = {"logGroupName": desk.card.log_group, "logStreamNames": [stream(desk, job, 0)]}
    everything = desk.logs.filter_log_events(**where)["events"]
    middle = everything[1500]["timestamp"]
    after = desk.logs.filter_log_events(**where, startTime=middle)["events"]
    before = desk.logs.filter_log_events(**where, endTime=middle)["events"]
    assert [e["message"] for e in before + after] == numbered(0)
    assert all(e["timestamp"] >= middle for e in after)
    found = desk.logs.filter_log_events(**where, filterPattern='"0-77" -0-777')["events"]
    assert {e["message"] for e in found} == {f"0-{n}" for n in (77, *range(770, 777), 778, 779)}


def test_streams_and_groups_are_described(desk: Desk, job: str) -> None:
    found = desk.logs.describe_log_streams(
        logGroupName=desk.card.log_group, orderBy="LastEventTime", descending=True, limit=50
    )["logStreams"]
    assert stream(desk, job, 0) in {s["logStreamName"] for s in found}
    assert all(s["lastEventTimestamp"] >= s["firstEventTimestamp"] for s in found if "lastEventTimestamp" in s)
    groups = desk.logs.describe_log_groups(logGroupNamePrefix="/tutti/")["logGroups"]
    assert [g["logGroupName"] for g in groups] == [desk.card.log_group]


def test_a_stream_that_is_not_there_is_refused_by_name(desk: Desk) -> None:
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        desk.logs.get_log_events(logGroupName=desk.card.log_group, logStreamName="nothing")


def test_other_log_groups_are_there_too(desk: Desk) -> None:
    desk.logs.create_log_group(logGroupName="/mine")
    desk.logs.create_log_stream(logGroupName="/mine", logStreamName="s")
    desk.logs.put_log_events(
        logGroupName="/mine", logStreamName="s", logEvents=[{"timestamp": 1_795_000_000_000, "message": "x"}]
    )
    assert {"/mine", desk.card.log_group} <= {g["logGroupName"] for g in desk.logs.describe_log_groups()["logGroups"]}
