"""Following a log costs the account few calls, and loses no line where one of them fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from tutti.logs import LONGEST, Follower, Stream

STREAMS = [Stream(name=f"s{n}", node=n, attempt=1) for n in range(2)]
POLL_S = 3.0


class Logs:
    """A client of CloudWatch Logs with prepared answers, which botocore checks against AWS's own model."""

    def __init__(self) -> None:
        self.client: Any = boto3.client(
            "logs", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="s"
        )
        self._stub = Stubber(self.client)
        self._stub.activate()

    def page(self, *numbers: int, more: str = "") -> None:
        events = [
            {"eventId": str(n), "logStreamName": f"s{n % 2}", "timestamp": 1000 * n, "message": f"line {n}"}
            for n in numbers
        ]
        self._stub.add_response("filter_log_events", {"events": events, **({"nextToken": more} if more else {})})

    def refuse(self) -> None:
        self._stub.add_client_error("filter_log_events", "ExpiredTokenException")


@pytest.fixture
def logs() -> Logs:
    return Logs()


def read(follower: Follower, streams: Sequence[Stream] = STREAMS) -> list[str]:
    return [line.raw for line in follower.new(streams)]


def test_a_line_is_told_once_though_its_time_is_read_again(logs: Logs) -> None:
    follower = Follower(logs.client, "g", poll_s=POLL_S)
    logs.page(2, 1)
    assert read(follower) == ["line 1", "line 2"]
    logs.page(1, 2, 3)
    assert read(follower) == ["line 3"]


def test_a_look_that_fails_between_two_pages_loses_no_line(logs: Logs) -> None:
    follower = Follower(logs.client, "g", poll_s=POLL_S)
    logs.page(1, 2, more="next")
    logs.refuse()
    with pytest.raises(ClientError):
        follower.new(STREAMS)
    logs.page(1, 2, more="next")
    logs.page(3)
    assert read(follower) == ["line 1", "line 2", "line 3"]


def test_a_quiet_log_is_asked_less_and_less_and_a_line_brings_the_pace_back(logs: Logs) -> None:
    follower = Follower(logs.client, "g", poll_s=POLL_S)
    pauses = []
    for _ in range(8):
        logs.page()
        follower.new(STREAMS)
        pauses.append(follower.pause_s)
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST * POLL_S
    logs.page(1)
    follower.new(STREAMS)
    assert follower.pause_s == POLL_S


def test_a_look_of_many_pages_is_followed_by_as_many_seconds_of_rest(logs: Logs) -> None:
    """FilterLogEvents has 5 calls a second for everybody in the account: one follower takes 1 at most."""
    follower = Follower(logs.client, "g", poll_s=POLL_S)
    for n in range(10):
        logs.page(n, more=f"after {n}")
    logs.page(10)
    assert len(follower.new(STREAMS)) == 11
    assert follower.pause_s == 11.0
