"""A node that is lost ends the gang: at once where its connection closes, after the silence where it does not."""

from __future__ import annotations

import signal
import time
from typing import Any

SHORT = {"TUTTI_NODE_SILENCE": "2"}


def test_a_killed_child_is_named_within_a_second_and_nothing_is_left(gang: Any, victim: str) -> None:
    gang.start_all(3, [victim])
    said = gang.until_said("[2:2] in", 2)
    gang.until(lambda: time.monotonic() - said > 0.6)  # main has heard its last words by then
    gang.nodes["2"].kill()
    killed = time.monotonic()
    detected = gang.until_said('"event":"lost"') - killed
    assert gang.until_ended(0) == 221
    assert gang.until_ended(1) == 0
    took = time.monotonic() - killed
    assert gang.left(2) == []
    gang.sweep()  # what the dead node's container would have taken with it
    lost = gang.events()["lost"]
    assert (lost["node"], lost["address"], lost["last_words"]) == (2, gang.address(2), "in")
    assert f"node 2 ({gang.address(2)}) is lost" in gang.log()
    assert detected < 1.0
    assert took < 3.0


def test_a_stopped_child_is_lost_within_12_seconds(mpich_gang: Any) -> None:
    mpich_gang.start_all(2, ["sh", "-c", "echo in; sleep 100"])
    mpich_gang.until_said("[1:1] in", 1)
    mpich_gang.nodes["1"].send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    assert mpich_gang.until_ended(0) == 221
    assert time.monotonic() - stopped < 12
    lost = mpich_gang.events()["lost"]
    assert lost["node"] == 1
    assert "silent" in lost["reason"]
    assert 4 < lost["after"] < 8


def test_children_end_by_themselves_when_main_is_killed(gang: Any, victim: str) -> None:
    gang.start_all(3, [victim])
    gang.until_said("in", 2)
    gang.nodes["0"].kill()
    killed = time.monotonic()
    assert [gang.until_ended(1), gang.until_ended(2)] == [221, 221]
    assert time.monotonic() - killed < 12
    assert f"main at {gang.address(0)} is gone" in gang.log(1)
    assert gang.left(0) == []
    gang.sweep()


def test_children_end_by_themselves_when_main_is_silent(mpich_gang: Any) -> None:
    mpich_gang.start_all(3, ["sh", "-c", "echo in; sleep 100"], **SHORT)
    mpich_gang.until_said("in", 1)
    mpich_gang.until_said("in", 2)
    mpich_gang.nodes["0"].send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    assert [mpich_gang.until_ended(1), mpich_gang.until_ended(2)] == [221, 221]
    assert time.monotonic() - stopped < 12


def test_daemonised_children_of_ranks_are_ended_with_the_job(mpich_gang: Any) -> None:
    mpich_gang.start_all(2, ["sh", "-c", "setsid sleep 300 </dev/null >/dev/null 2>&1 & exit 0"])
    assert mpich_gang.codes() == [0, 0]  # which sees that nothing is left


def test_a_child_that_dies_before_the_start_ends_the_gang(mpich_gang: Any) -> None:
    mpich_gang.start(0, 3, ["hostname"])
    mpich_gang.start(1, 3, ["hostname"])
    mpich_gang.until_said("node 1 is in", 0)
    mpich_gang.nodes["1"].kill()
    assert mpich_gang.until_ended(0) == 221
