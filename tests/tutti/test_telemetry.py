"""How a running job does, from the events in its log; a list with bars and folded sweeps."""

from __future__ import annotations

import json

import pytest

from tutti.cli.screen import bar
from tutti.cli.status import AROUND, folded, many
from tutti.core.events import Happening, parse_event, parse_line
from tutti.jobs import ERRAND, Summary
from tutti.telemetry import summed
from workload.contract import EVENT_MARK


def said(node: int, at: float, event: str, **fields: object) -> Happening:
    found = parse_event(parse_line(f"[{node}] {EVENT_MARK}{json.dumps({'event': event, 'at': at, **fields})}"))
    assert found is not None
    return found


def job(number: int, name: str, state: str = "RUNNING", code: int | None = None) -> Summary:
    return Summary(
        id=f"{number:036d}", name=name, state=state, queue="q", created=100.0 - number, exit_code=code, nodes=2
    )


def test_the_newest_progress_and_each_node_s_newest_load_count() -> None:
    found = summed(
        [
            said(1, 5, "load", cores=1.5, memory=10, ranks={"2": [1.5, 10]}),
            said(0, 3, "progress", step=50, total=100),
            said(1, 2, "load", cores=9, memory=9, ranks={}),
            said(0, 1, "progress", step=10, total=100),
            said(0, 4, "load", cores=2, memory=20, ranks={"0": [1, 10], "1": [1, 10]}),
        ]
    )
    assert found.share == pytest.approx(0.5)
    assert [(n, x.cores, x.memory, len(x.ranks)) for n, x in found.loads.items()] == [(0, 2.0, 20, 2), (1, 1.5, 10, 1)]


def test_a_program_that_does_not_say_its_total_has_no_share() -> None:
    assert summed([said(0, 1, "progress", step=10)]).share is None
    assert summed([]).share is None


def test_a_sweep_is_one_line_of_a_list_and_jobs_stay_theirs() -> None:
    jobs = [
        job(0, "scan-4f2a91-00001"),
        job(1, "other"),
        job(2, "scan-4f2a91-00000", "FAILED", 7),
        job(3, "scan-4f2a91-00002-r1"),
    ]
    rows = folded(jobs)
    assert [row[:4] for row in rows] == [
        ("sweep", "scan-4f2a91", "2 RUNNING,1 FAILED", "x3"),
        (jobs[1].id[:13], "other", "RUNNING", "2"),
    ]
    assert len(many(jobs, 50, fold=False).splitlines()) == 1 + 4 + 1


def test_tutti_s_own_jobs_for_data_are_one_line_of_a_list_and_one_alone_is_a_job() -> None:
    jobs = [job(0, ERRAND), job(1, "mine"), job(2, ERRAND, "FAILED", 7), job(3, ERRAND)]
    assert len(many(jobs, 1).splitlines()) == 1 + AROUND, "a watched table of so many jobs fits its screen"
    assert [row[:4] for row in folded(jobs)] == [
        ("data", ERRAND, "2 RUNNING,1 FAILED", "x3"),
        (jobs[1].id[:13], "mine", "RUNNING", "2"),
    ]
    *_, last = many(jobs, 50).splitlines()
    assert last == "3 of them moved or looked at data on shared: (--points shows each)"
    whole = many(jobs, 50, fold=False)
    assert all(j.id[:13] in whole for j in jobs)
    assert [row[0] for row in folded(jobs[:2])] == [j.id[:13] for j in jobs[:2]]
    live = many(jobs, 50, {jobs[1].id: bar(0.4, 10)}).splitlines()
    assert ["40%" in text for text in live[1:3]] == [False, True]


def test_progress_bars_stand_in_the_live_list() -> None:
    text = many([job(1, "a"), job(2, "b")], 50, {f"{1:036d}": bar(0.4, 10)})
    assert "[####......]  40%" in text.splitlines()[1]
    assert "[" not in text.splitlines()[2]
