"""A report's phases of attempts that ended early: from what Batch and the log say, without a twin."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutti.core.bill import Bill
from tutti.jobs import Attempt, Details
from tutti.logs import LogLine
from tutti.report.figures import COLOURS, timeline
from tutti.report.gather import Step, Story, seconds_by_name, story
from tutti.report.page import page
from tutti.telemetry import NodeLoad
from workload.contract import EVENT_MARK

PHASES = ("assembled", "preflight", "staged", "launched", "computed", "uploaded")
lengths = st.floats(0.001, 1e4)


def attempt(number: int, start: float, seconds: Sequence[float]) -> list[LogLine]:
    """The log of an attempt that got through as many phases, each of so many seconds."""
    lines, at = [], start
    for name, took in zip(PHASES, seconds, strict=False):
        at += took
        event = {"event": name, "at": at, "seconds": took}
        lines.append(LogLine(at_ms=int(at * 1000), node=0, attempt=number, raw=f"[0] {EVENT_MARK}{json.dumps(event)}"))
    return lines


def told(state: str, attempts: Sequence[Attempt], lines: Sequence[LogLine]) -> Story:
    job = Details(
        id="a" * 36, name="x", state=state, queue="q", definition="d", created=0.0, nodes=2, attempts=tuple(attempts)
    )
    seconds = sum((a.stopped or 0.0) - (a.started or 0.0) for a in attempts)
    return story(job, lines, bill=Bill(nodes=2, seconds=seconds, usd=None))


def lost_then_done() -> Story:
    attempts = [Attempt(number=1, started=10.0, stopped=110.0), Attempt(number=2, started=120.0, stopped=220.0)]
    return told(
        "SUCCEEDED", attempts, attempt(1, 10.0, (2, 1, 1, 1)) + attempt(2, 120.0, (2, 1, 1, 1, 90, 5))
    )  # fmt: skip


def test_what_a_lost_attempt_computed_is_a_phase_that_is_paid_and_of_no_use() -> None:
    found = lost_then_done()
    [lost] = [s for s in found.spans if s.name == "lost"]
    assert (lost.attempt, lost.start, lost.end) == (1, 15.0, 110.0)
    assert found.efficiency == pytest.approx(90 / 200)


def test_a_run_that_lost_its_last_attempt_has_paid_for_nothing_of_use() -> None:
    found = told("FAILED", [Attempt(number=1, started=10.0, stopped=110.0)], attempt(1, 10.0, (2, 1, 1, 1)))
    assert found.efficiency == 0.0


def test_where_the_log_is_gone_or_the_program_ended_nothing_is_called_lost() -> None:
    ended = [Attempt(number=1, started=10.0, stopped=110.0)]
    for lines in ([], attempt(1, 10.0, (2, 1, 1, 1, 60)), attempt(1, 10.0, (2, 1, 1, 1, 60, 5))):
        assert "lost" not in seconds_by_name(told("FAILED", ended, lines).spans)


@given(
    st.lists(lengths, max_size=4), st.lists(lengths, max_size=4), st.tuples(lengths, lengths, lengths, lengths)
)  # fmt: skip
def test_the_phases_of_lost_attempts_are_the_whole_time(
    first: list[float], second: list[float], around: tuple[float, float, float, float]
) -> None:
    """Both ended early, one perhaps before its gang was there: from the submission to what Batch says, without a gap."""
    wait, lost, again, lost_again = around
    start = wait + sum(first) + lost
    attempts = [
        Attempt(number=1, started=wait, stopped=start),
        Attempt(number=2, started=start + again, stopped=start + again + sum(second) + lost_again),
    ]
    lines = attempt(1, wait, first) + attempt(2, start + again, second)
    found = told("FAILED", attempts, lines).spans
    if not lines:
        return  # there is no log
    assert all(one.end == pytest.approx(after.start) for one, after in pairwise(found))
    assert (found[0].start, found[-1].end) == (0.0, attempts[-1].stopped)
    assert [s.attempt for s in found if s.name == "lost"] == [1, 2]


def test_every_phase_has_a_colour_of_its_own_and_a_word_in_the_legend() -> None:
    found = lost_then_done()
    names = {s.name for s in found.spans}
    assert names <= set(COLOURS)
    assert len(set(COLOURS.values())) == len(COLOURS)
    drawn = timeline(found)
    assert all(f"<!-- {name} -->" in drawn for name in names)


def test_what_was_told_once_is_said_in_words_and_is_no_chart() -> None:
    def drawn(times: int, nodes: int) -> str:
        steps = tuple(Step(at=20.0 + n, step=3.0, total=9.0, rate=2.5, unit="steps") for n in range(times))
        loads = {
            node: [NodeLoad(node=node, at=20.0, cores=1.5 + node, memory=64 << 20, ranks={})] * times
            for node in range(nodes)
        }
        return page([replace(lost_then_done(), steps=steps, loads=loads)], stack="x", now=0)

    once = drawn(1, 1)
    assert once.count("<svg") == 1  # the timeline
    assert "steps 3 of 9, 2.5 steps/s, told once, 20.0 s after it was submitted" in once
    assert "1.50 cores in use and 64 MiB on 1 node, told once" in once
    assert "1.50 to 3.50 cores in use and 64 MiB on each of 3 nodes, told once" in drawn(1, 3)
    assert drawn(2, 3).count("<svg") == 3
