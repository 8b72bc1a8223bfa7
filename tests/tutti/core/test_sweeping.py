"""What a sweep does next: nothing lost, nothing twice, whatever was submitted before its client was killed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutti.core.sweeping import Tried, counts, due, job_name, newest, parse_name, room

STATES = ["SUBMITTED", "RUNNABLE", "RUNNING", "SUCCEEDED", "FAILED"]


def tried(point: int, state: str = "RUNNING", number: int = 0) -> Tried:
    return Tried(point=point, round=number, id=f"{point}/{number}/{state}", state=state)


@given(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}-[0-9a-f]{6}", fullmatch=True),
    st.integers(0, 99_999),
    st.integers(0, 9),
)
def test_a_job_s_name_says_its_point_and_round(sweep: str, point: int, number: int) -> None:
    assert parse_name(sweep, job_name(sweep, point, number)) == (point, number)
    assert parse_name(f"x{sweep}", job_name(sweep, point, number)) is None


@given(st.integers(1, 40), st.data())
def test_whatever_was_sent_before_every_point_gets_exactly_one_job(points: int, data: st.DataObject) -> None:
    before = data.draw(st.sets(st.integers(0, points - 1)))
    known = newest(tried(p, data.draw(st.sampled_from(STATES))) for p in before)
    todo = due(points, known)
    assert sorted([p for p, _ in todo] + sorted(known)) == list(range(points))


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(STATES)), max_size=20))
def test_only_failed_points_are_run_again_each_in_a_new_round(jobs: list[tuple[int, str]]) -> None:
    known = newest(tried(p, s) for p, s in jobs)
    failed = {p for p, t in known.items() if t.state == "FAILED"}
    again = [(p, r) for p, r in due(6, known, rerun_failed=range(6)) if r]
    assert again == [(p, 1) for p in sorted(failed)]


def test_the_newest_round_counts_and_a_success_over_a_failure() -> None:
    known = newest([tried(1, "FAILED"), tried(1, "RUNNING", 1), tried(2, "FAILED"), tried(2, "SUCCEEDED")])
    assert (known[1].state, known[2].state) == ("RUNNING", "SUCCEEDED")


@pytest.mark.parametrize(("limit", "free"), [(None, None), (5, 3), (2, 0), (1, 0)])
def test_no_more_run_at_once_than_allowed(limit: int | None, free: int | None) -> None:
    known = newest([tried(0), tried(1, "RUNNABLE"), tried(2, "SUCCEEDED"), tried(3, "FAILED")])
    assert room(known, limit) == free


def test_counts_fold_a_sweep() -> None:
    assert counts(5, newest([tried(0), tried(1), tried(2, "FAILED")])) == {"waiting": 2, "RUNNING": 2, "FAILED": 1}
