"""Main's door, against a real wire: what it tells those whom it does not take in, and what it logs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from workload.gang.keys import GangKeys
from workload.gang.log import Log
from workload.gang.loop import Loop
from workload.gang.reception import Reception
from workload.gang.roster import Hello, Roster
from workload.gang.watch import Watch
from workload.gang.wire import MemberWire, RosterWire

KEYS = GangKeys(secret=b"secret", job_id="job-1", attempt=1)
VERSIONS = {"tutti": "1"}


class Words(Log):
    def __init__(self) -> None:
        super().__init__(0)
        self.said: list[str] = []

    def says(self, text: str) -> None:
        self.said.append(text)

    def event(self, event: Any, **fields: Any) -> None:
        self.said.append(f"{event.value} {fields}")


class Door:
    def __init__(self, count: int) -> None:
        self.loop = Loop()
        self.log = Words()
        self.roster = Roster(count=count, main_index=0, versions=VERSIONS)
        self.ends: list[tuple[int, str]] = []
        self.ready: list[bool] = []
        self.members: list[MemberWire] = []
        wire = partial(
            RosterWire,
            self.loop,
            address="127.0.0.1",
            port=0,
            keys=KEYS.roster(),
            members={KEYS.member(index).public: index for index in range(count)},
        )
        self.reception = Reception(self.loop, self.log, self.roster, Watch(silence_s=1.0), wire)
        self.reception.listen(
            on_message=lambda _index, _message: None,
            on_ready=lambda: self.ready.append(True),
            on_end=lambda code, reason: self.ends.append((code, reason)),
            on_stall=lambda _: None,
        )

    def knock(self, index: int, **changes: Any) -> list[Any]:
        """A member of `index` says hello; returns what it hears."""
        heard: list[Any] = []
        hello = {
            **Hello(
                index=index,
                address=f"10.0.0.{index}",
                network="10.0.0.0/24",
                cores=1,
                bind=True,
                memory_mib=1,
                gpus=0,
                probe_port=1,
                clock=time.time(),
                versions=VERSIONS,
                facts={},
            ).message(),
            **changes,
        }
        member = MemberWire(
            self.loop,
            address="127.0.0.1",
            port=self.reception.port,
            keys=KEYS.member(index),
            roster=KEYS.roster().public,
            on_up=lambda: member.send(hello),
            on_message=heard.append,
            on_gone=lambda: None,
            on_refused=lambda _: None,
        )
        self.members.append(member)
        self.until(lambda: heard)
        return heard

    def until(self, holds: Callable[[], object]) -> None:
        end = time.monotonic() + 20
        while not holds():
            assert time.monotonic() < end, self.log.said
            self.loop.turn(0.05)

    def close(self) -> None:
        for member in self.members:
            member.close()
        self.reception.close()
        self.loop.close()


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door(3)
    yield made
    made.close()


def test_the_last_one_in_makes_the_gang_ready(door: Door) -> None:
    for index in (2, 0, 1):
        assert door.ready == []
        assert door.knock(index)[0] == {"t": "welcome"}
    assert door.ready == [True]


def test_a_roster_that_is_over_refuses_with_the_reason(door: Door) -> None:
    door.reception.dismiss("nodes 1-2 of 3 did not join", 0, 5.0, lambda: None)
    assert door.knock(1)[0] == {
        "t": "refused",
        "reason": "the gang takes nobody in any more: nodes 1-2 of 3 did not join",
    }


def test_a_full_roster_refuses_whoever_comes_again(door: Door) -> None:
    for index in range(3):
        door.knock(index)
    assert "node 1 is here already, at 10.0.0.1" in door.knock(1)[0]["reason"]
    assert door.ends == []


def test_another_version_is_refused_and_ends_the_gang(door: Door) -> None:
    assert door.knock(1, versions={"tutti": "2"})[0]["t"] == "refused"
    assert door.ends[0][0] == 210
    assert "node 0 has 1, node 1 has 2" in door.ends[0][1]


def test_a_hello_that_is_not_complete_is_refused(door: Door) -> None:
    assert "not complete" in door.knock(1, cores=None)[0]["reason"]


def test_a_clock_that_is_off_is_said_and_nothing_more(door: Door) -> None:
    assert door.knock(1, clock=time.time() - 100)[0] == {"t": "welcome"}
    assert any("node 1's clock is 100.0 s behind" in words for words in door.log.said)


def test_a_member_that_falls_silent_is_lost_with_address_and_time(door: Door) -> None:
    door.knock(1)
    door.until(lambda: door.ends)
    assert door.ends[0][0] == 221
    assert "node 1 (10.0.0.1) is lost: it has been silent for 1" in door.ends[0][1]


def test_a_member_whose_connection_closes_is_lost_with_its_last_words(door: Door) -> None:
    door.knock(1)
    door.members[0].send({"t": "beat", "clock": time.time(), "last": "step 7", "active": True})
    door.members[0].close()
    door.until(lambda: door.ends)
    assert door.ends[0][1].endswith("its connection is closed; its last words: step 7")


def test_a_flood_of_one_kind_is_told_once_and_then_as_a_sum(door: Door) -> None:
    for _ in range(1000):
        door.reception._kept_out("10.9.9.9", "its key is of no member")
    door.reception._say_refusals()
    assert [words for words in door.log.said if "10.9.9.9" in words] == [
        "refused a connection from 10.9.9.9: its key is of no member",
        "refused 999 more from 10.9.9.9: its key is of no member",
    ]


def test_the_last_to_leave_is_waited_for_but_not_for_ever(door: Door) -> None:
    left: list[float] = []
    door.knock(0)
    door.knock(1)
    door.reception.dismiss("", 0, 0.5, lambda: left.append(time.monotonic()))
    begun = time.monotonic()
    door.until(lambda: left)  # node 1 stays
    assert time.monotonic() - begun > 0.4
