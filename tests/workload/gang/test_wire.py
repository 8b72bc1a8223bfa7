"""The wire against real sockets: who gets in, who hears what, how an end is noticed."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq

from workload.gang import wire
from workload.gang.keys import GangKeys
from workload.gang.loop import Loop
from workload.gang.wire import (
    MAX_MESSAGE_BYTES,
    MemberWire,
    Message,
    Peer,
    RosterWire,
    WireError,
    decoded,
    encoded,
    raise_nofile,
)

KEYS = GangKeys(secret=b"secret", job_id="job-1", attempt=1)
COUNT = 4


class Hall:
    """A roster's end and any number of members, in one loop."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.heard: list[tuple[int, Message]] = []
        self.gone: list[int] = []
        self.refused: list[tuple[str, str]] = []
        self.order: list[str] = []
        self.peers: dict[int, Peer] = {}
        self.members: list[MemberWire] = []
        self.roster = RosterWire(
            self.loop,
            address="127.0.0.1",
            port=0,
            keys=KEYS.roster(),
            members={KEYS.member(index).public: index for index in range(COUNT)},
            on_message=self._heard,
            on_gone=self._gone,
            on_refused=lambda address, why: self.refused.append((address, why)),
        )

    def _heard(self, peer: Peer, message: Message) -> None:
        self.peers[peer.index] = peer
        self.heard.append((peer.index, message))
        self.order.append(message["t"])

    def _gone(self, peer: Peer) -> None:
        self.gone.append(peer.index)
        self.order.append("gone")

    def member(self, index: int, keys: GangKeys = KEYS, roster: GangKeys = KEYS) -> dict[str, list[Any]]:
        """Start a member that says hello when it is let in; returns what it hears."""
        told: dict[str, list[Any]] = {"heard": [], "gone": [], "refused": [], "wire": []}
        made = MemberWire(
            self.loop,
            address="127.0.0.1",
            port=self.roster.port,
            keys=keys.member(index),
            roster=roster.roster().public,
            on_up=lambda: made.send({"t": "hello", "from": index}),
            on_message=told["heard"].append,
            on_gone=lambda: told["gone"].append(time.monotonic()),
            on_refused=told["refused"].append,
        )
        told["wire"].append(made)
        self.members.append(made)
        return told

    def until(self, holds: Callable[[], object], seconds: float = 30.0) -> float:
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, f"heard {self.heard} gone {self.gone} refused {self.refused[-3:]}"
            self.loop.turn(0.05)
        return time.monotonic()

    def close(self) -> None:
        for member in self.members:
            member.close()
        self.roster.close()
        self.loop.close()


@pytest.fixture
def hall() -> Iterator[Hall]:
    made = Hall()
    yield made
    made.close()


def test_messages_go_both_ways_and_carry_the_index_of_the_key(hall: Hall) -> None:
    told = hall.member(2)
    hall.until(lambda: hall.heard)
    assert hall.heard == [(2, {"t": "hello", "from": 2})]
    hall.roster.send(hall.peers[2], {"t": "welcome", "n": 1})
    hall.until(lambda: told["heard"])
    assert told["heard"] == [{"t": "welcome", "n": 1}]


@pytest.mark.parametrize(
    "other",
    [
        GangKeys(secret=b"another", job_id="job-1", attempt=1),
        GangKeys(secret=b"secret", job_id="job-2", attempt=1),
        GangKeys(secret=b"secret", job_id="job-1", attempt=2),
    ],
    ids=["stack", "job", "attempt"],
)
def test_the_right_roster_key_with_a_members_key_of_elsewhere_is_refused_for_good(hall: Hall, other: GangKeys) -> None:
    told = hall.member(1, keys=other)
    hall.until(lambda: told["refused"] and hall.refused)
    assert told["refused"][0] is True
    assert hall.refused[0][0] == "127.0.0.1"
    assert "of no member" in hall.refused[0][1]
    assert hall.heard == []


def test_an_index_out_of_range_has_no_key_here(hall: Hall) -> None:
    told = hall.member(COUNT)
    hall.until(lambda: told["refused"])
    assert told["refused"][0] is True


def test_who_thinks_of_another_roster_never_gets_a_word_in(hall: Hall) -> None:
    told = hall.member(1, roster=GangKeys(secret=b"another", job_id="job-1", attempt=1))
    hall.until(lambda: told["refused"] and hall.refused)
    assert told["refused"][0] is False  # it keeps trying: for it, main may only not be there yet
    assert "handshake" in hall.refused[0][1]
    assert hall.heard == []


def test_a_closed_connection_is_noticed_at_once_and_after_its_last_words(hall: Hall) -> None:
    hall.member(1)
    hall.until(lambda: hall.heard)
    for number in range(300):  # more than one round of the loop
        hall.members[0].send({"t": f"word {number}"})
    hall.members[0].send({"t": "last"})
    hall.members[0].close()
    begun = time.monotonic()
    took = hall.until(lambda: hall.gone) - begun
    assert hall.gone == [1]
    assert hall.order[-2:] == ["last", "gone"]
    assert took < 1.0


def test_a_joined_member_notices_that_the_roster_is_gone(hall: Hall) -> None:
    told = hall.member(0)
    hall.until(lambda: hall.heard)
    hall.members[0].joined()
    hall.roster.close()
    try:
        begun = time.monotonic()
        assert hall.until(lambda: told["gone"]) - begun < 1.0
    finally:
        hall.roster = Hall().roster  # for the fixture to close


def test_a_message_that_is_too_long_cannot_be_sent_and_closes_the_connection_of_who_sends_it(hall: Hall) -> None:
    hall.member(1)
    hall.until(lambda: hall.heard)
    with pytest.raises(ValueError, match="allowed: 65536"):
        hall.members[0].send({"t": "long", "x": "x" * MAX_MESSAGE_BYTES})
    hall.members[0]._socket.send(b"x" * (MAX_MESSAGE_BYTES + 1))
    hall.until(lambda: hall.gone)


@pytest.mark.parametrize("garbage", [b"\xff\xfe", b"[1, 2]", b'{"no": "kind"}', b'{"t": 3}'])
def test_what_is_no_message_is_refused_and_the_connection_stays(hall: Hall, garbage: bytes) -> None:
    hall.member(3)
    hall.until(lambda: hall.heard)
    hall.members[0]._socket.send(garbage)
    hall.members[0]._socket.send_multipart([b'{"t": "a"}', b'{"t": "b"}'])
    hall.members[0].send({"t": "sense"})
    hall.until(lambda: len(hall.heard) == 2)
    assert [why for _, why in hall.refused] == ["node 3 sent what is no message"] * 2


def test_bytes_that_are_not_zeromq_disturb_nobody(hall: Hall) -> None:
    for noise in (
        b"GET / HTTP/1.1\r\n\r\n" * 20,
        os.urandom(4096),
        b"\xff\0\0\0\0\0\0\0\1\x7f\3\0NULL" + bytes(48),
        b"",
    ):
        with socket.create_connection(("127.0.0.1", hall.roster.port)) as stranger:
            stranger.sendall(noise)
    hall.until(lambda: len(hall.refused) >= 4)
    hall.member(0)
    hall.until(lambda: hall.heard)


def test_the_roster_listens_on_mains_address_alone(hall: Hall) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", hall.roster.port), timeout=10)


def test_a_stranger_that_says_nothing_is_shown_the_door(monkeypatch: pytest.MonkeyPatch) -> None:
    """After 5 s; this roster's patience is shorter."""
    monkeypatch.setattr(wire, "HANDSHAKE_MS", 200)
    hall = Hall()
    try:
        with socket.create_connection(("127.0.0.1", hall.roster.port)) as stranger:
            stranger.setblocking(False)
            hall.until(lambda: hall.refused)
            assert "handshake" in hall.refused[0][1]
            hall.until(lambda: _closed(stranger))
    finally:
        hall.close()


def _closed(connection: socket.socket) -> bool:
    with contextlib.suppress(BlockingIOError):
        while data := connection.recv(4096):  # its greeting
            assert data
        return True
    return False


def test_a_client_without_curve_is_never_heard(hall: Hall) -> None:
    with zmq.Context() as context, context.socket(zmq.DEALER) as plain:
        plain.linger = 0
        plain.connect(f"tcp://127.0.0.1:{hall.roster.port}")
        plain.send(b'{"t": "hello"}')
        hall.until(lambda: hall.refused)
    assert hall.heard == []


def test_a_member_gets_in_beside_ten_thousand_idle_connections(hall: Hall) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Both ends are in this process: what is left of its descriptors, at most 10,000 on one side.
    wanted = min(10_000, (hard - 500) // 2) if hard != resource.RLIM_INFINITY else 10_000
    strangers: list[socket.socket] = []
    try:
        for _ in range(wanted):
            stranger = socket.socket()
            stranger.setblocking(False)
            stranger.connect_ex(("127.0.0.1", hall.roster.port))
            strangers.append(stranger)
            if len(strangers) % 500 == 0:
                hall.loop.turn(0)
        begun = time.monotonic()
        hall.member(2)
        assert hall.until(lambda: hall.heard) - begun < 10
    finally:
        for stranger in strangers:
            stranger.close()
    assert wanted > 4_000, f"only {wanted}: raise the hard limit of open files"


def test_a_gang_too_big_for_the_limit_of_open_files_is_refused_with_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    with pytest.raises(WireError, match=r"nofile\) is 4096; a gang of 1000 nodes needs 5000"):
        raise_nofile(1000)


def test_a_port_that_is_taken_is_said(hall: Hall) -> None:
    with pytest.raises(WireError, match=r"cannot listen on 127\.0\.0\.1"):
        RosterWire(
            hall.loop,
            address="127.0.0.1",
            port=hall.roster.port,
            keys=KEYS.roster(),
            members={},
            on_message=hall._heard,
            on_gone=hall._gone,
            on_refused=lambda address, why: None,
        )


def test_messages_survive_their_journey() -> None:
    message = {"t": "hello", "text": "ä\n\0", "list": [1, None]}
    assert decoded(encoded(message)) == message
