"""Which attempts are followed by another (B6)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutti.twin.jobs import Status
from tutti.twin.retry import is_retried, matches
from workload import documents
from workload.contract import ExitCode

World = Any


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("22*", "221", True),
        ("22*", "22", True),
        ("22*", "122", False),
        ("22", "221", False),
        ("*", "", True),
        ("", "", True),
        ("Host EC2*", "Host EC2 (instance i-1) terminated.", True),
        ("Host EC2*", "host EC2", False),
        ("a.c", "abc", False),
        ("a*c", "abc", False),
    ],
)
def test_a_glob_is_a_text_or_the_start_of_one(pattern: str, text: str, fits: bool) -> None:
    assert matches(pattern, text) is fits


@given(st.text(max_size=8), st.text(max_size=8))
def test_a_pattern_without_a_star_fits_itself_alone(a: str, b: str) -> None:
    if not a.endswith("*"):
        assert matches(a, b) is (a == b)
        assert matches(f"{a}*", a + b)


@pytest.mark.parametrize("code", list(ExitCode))
def test_the_definitions_retry_our_codes_as_the_contract_says(code: ExitCode) -> None:
    retry = documents.retry_strategy(3)
    outcome = {"reason": "", "status_reason": "Essential container in task exited"}
    if code is not ExitCode.DONE:
        assert is_retried(retry, attempt=1, exit_code=int(code), **outcome) is code.retried


@pytest.mark.parametrize("code", [1, 7, 137, 139, 143, 255])
def test_a_users_own_failure_is_not_retried_unless_asked(code: int) -> None:
    how: dict[str, Any] = {
        "attempt": 1,
        "exit_code": code,
        "reason": "",
        "status_reason": "Essential container in task exited",
    }
    assert not is_retried(documents.retry_strategy(3), **how)
    assert is_retried(documents.retry_strategy(3, retry_on=code), **how)


def test_what_matches_no_condition_is_retried() -> None:
    retry = {"attempts": 2, "evaluateOnExit": [{"onExitCode": "1", "action": "EXIT"}]}
    assert is_retried(retry, attempt=1, exit_code=2, reason="", status_reason="")
    assert not is_retried(retry, attempt=1, exit_code=1, reason="", status_reason="")


def test_all_parts_of_a_condition_must_match_and_the_first_that_does_decides() -> None:
    retry = {
        "attempts": 9,
        "evaluateOnExit": [
            {"onExitCode": "1", "onReason": "Out*", "action": "exit"},
            {"onExitCode": "1", "action": "retry"},
            {"onReason": "*", "action": "EXIT"},
        ],
    }
    assert not is_retried(retry, attempt=1, exit_code=1, reason="OutOfMemoryError: x", status_reason="")
    assert is_retried(retry, attempt=1, exit_code=1, reason="", status_reason="")


@pytest.mark.parametrize("attempts", [1, 2, 10])
def test_a_job_is_tried_so_often_and_no_oftener(world: World, attempts: int) -> None:
    job = world.submit(2, retry={"attempts": attempts, "evaluateOnExit": []})
    for n in range(1, attempts + 1):
        assert job.attempt == n
        world.start_all(job)
        world.end_all(job, 3)
    assert job.status is Status.FAILED
    assert [a.exit_code for a in job.attempts] == [3] * attempts
    assert [len(node.attempts) for node in job.nodes] == [attempts] * 2


def test_only_mains_failure_is_retried(world: World) -> None:
    job = world.submit(2, retry={"attempts": 3, "evaluateOnExit": []})
    world.start_all(job)
    world.end(job, 1, 1)
    world.end(job, 0, 0)
    assert (job.status, job.attempt) == (Status.SUCCEEDED, 1)
