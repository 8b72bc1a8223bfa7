"""Decisions of a computation that take a minute, in no time: the loop is a stand-in whose clock we turn."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from workload.contract import ExitCode
from workload.gang import computation
from workload.gang.computation import EARLY_END_S, STRAGGLERS_S, Computation
from workload.gang.log import Log
from workload.gang.loop import Loop, Timer
from workload.gang.member import Job
from workload.gang.outcome import Verdict
from workload.gang.places import Host, Layout
from workload.gang.reception import Reception
from workload.gang.records import RankRecord
from workload.gang.watch import Watch


class Clock:
    """A loop of timers alone."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[Timer] = []

    def after(self, seconds: float, call: Any) -> Timer:
        timer = Timer(self.now + seconds, call)
        self.timers.append(timer)
        return timer

    def turn(self, seconds: float) -> None:
        until = self.now + seconds
        while due := [t for t in self.timers if t.due <= until]:
            first = min(due, key=lambda t: t.due)
            self.timers.remove(first)
            self.now = first.due
            if first.call:
                first.call()
        self.now = until


class Words(Log):
    def __init__(self) -> None:
        super().__init__(0)
        self.said: list[str] = []

    def says(self, text: str) -> None:
        self.said.append(text)

    def event(self, event: Any, **fields: Any) -> None:
        self.said.append(f"{event}: {fields}")


class Scene:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, ranks: int) -> None:
        self.clock = Clock()
        monkeypatch.setattr("workload.gang.computation.time.time", lambda: self.clock.now)
        self.log = Words()
        self.sent: list[dict[str, Any]] = []
        self.verdicts: list[Verdict] = []
        settings = SimpleNamespace(grace=25, signal_before=0, timeout=3600, metrics=False)
        job = SimpleNamespace(
            settings=settings, installation=None, environ={}, node=SimpleNamespace(index=0, job_id="j")
        )
        reception = SimpleNamespace(
            watch=Watch(silence_s=5),
            broadcast=self.sent.append,
            roster=SimpleNamespace(members=dict.fromkeys(range(ranks))),
        )
        self.computation = Computation(
            cast("Loop", self.clock),
            cast("Job", job),
            self.log,
            cast("Reception", reception),
            hosts=[Host(index=i, address=f"10.0.0.{i}", slots=1) for i in range(ranks)],
            layout=Layout(ranks_per_node=1, threads=1),
            on_end=self.verdicts.append,
        )
        self.computation.start({}, "")
        for rank in range(ranks):
            self.record(rank)

    def record(self, rank: int, code: int | None = None) -> None:
        ended = None if code is None else self.clock.now
        told = RankRecord(rank=rank, local=0, pid=rank + 1, started=self.clock.now, ended=ended, code=code)
        self.computation.handle(rank, {"t": "record", **told.to_json()})

    def signals(self) -> list[int]:
        return [int(m["number"]) for m in self.sent if m["t"] == "signal"]


def test_ranks_that_ended_with_0_a_minute_before_the_others_are_named_and_nobody_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene(monkeypatch, 3)
    scene.record(1, 0)
    scene.clock.turn(EARLY_END_S - 1)
    assert not any("ended with 0 more" in words for words in scene.log.said)
    scene.clock.turn(2)
    assert "rank 1 ended with 0 more than 60 s ago, and 2 others run on" in scene.log.said
    assert (scene.signals(), scene.verdicts) == ([], [])


def test_a_failed_rank_gives_the_others_a_few_seconds_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(monkeypatch, 2)
    scene.record(0, 7)
    scene.clock.turn(STRAGGLERS_S - 0.1)
    assert scene.signals() == []
    scene.clock.turn(0.2)
    assert scene.signals() == [9]
    scene.record(1, 137)
    assert [verdict.code for verdict in scene.verdicts] == [7]


def test_a_stop_gives_the_grace_then_kills_and_a_second_one_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(monkeypatch, 2)
    scene.computation.stop(ExitCode.GOING_AWAY, "SIGTERM on node 1")
    scene.clock.turn(10)
    scene.computation.stop(ExitCode.GOING_AWAY, "SIGTERM on node 0")
    scene.record(0, 143)
    scene.clock.turn(14)
    assert scene.signals() == [15]  # a rank that ended does not cut the others' grace short
    scene.clock.turn(2)
    assert scene.signals() == [15, 9]
    scene.record(1, 137)
    assert [verdict.code for verdict in scene.verdicts] == [224]


def test_it_ends_once_though_a_killed_rank_never_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(monkeypatch, 2)
    scene.record(0, 7)
    scene.clock.turn(60)
    assert [verdict.code for verdict in scene.verdicts] == [7]


def test_a_stall_waits_for_the_stacks_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(monkeypatch, 2)
    scene.computation.stalled(600)
    assert [m["t"] for m in scene.sent if m["t"] == "dump"] == ["dump"]
    scene.computation.handle(0, {"t": "dumped"})
    assert scene.signals() == []
    scene.clock.turn(computation.DUMP_S + 10)
    assert scene.signals() == [15, 9]
    scene.clock.turn(10)
    assert [verdict.code for verdict in scene.verdicts] == [214]
