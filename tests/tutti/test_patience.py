"""A long wait survives credentials that expire and a network that goes away; a wrong endpoint is told at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tutti.aws import ExpiredError
from tutti.errors import NotFoundError, TuttiError, UnreachableError
from tutti.patience import Patience

EXPIRED = ExpiredError("expired")
SILENT = UnreachableError("no answer")


class Away:
    """A cluster that only counts how often its clients were made anew."""

    poll_s = 3.0

    def __init__(self, *, is_twin: bool = False) -> None:
        self.is_twin = is_twin
        self.renewed = 0

    def renew(self) -> None:
        self.renewed += 1


def giving(*answers: str | TuttiError) -> Callable[[], str]:
    left = list(answers)

    def call() -> str:
        answer = left.pop(0)
        if isinstance(answer, TuttiError):
            raise answer
        return answer

    return call


def test_troubles_are_told_once_each_and_asked_through_with_new_clients() -> None:
    cluster = Away()
    told: list[str] = []
    slept: list[float] = []
    patience = Patience(cluster, tell=told.append, sleep=slept.append)  # type: ignore[arg-type]  # all of a cluster that it uses
    call = giving("first", EXPIRED, EXPIRED, SILENT, "second", SILENT, "third")
    assert [patience.through(call) for _ in range(3)] == ["first", "second", "third"]
    assert told == ["expired", "no answer"]
    assert slept == [15.0] * 4
    assert cluster.renewed == 4


@pytest.mark.parametrize("trouble", [SILENT, EXPIRED])
def test_what_never_worked_is_told_at_once(trouble: TuttiError) -> None:
    with pytest.raises(type(trouble)):
        Patience(Away()).through(giving(trouble))  # type: ignore[arg-type]  # as above
    patience = Patience(Away(), answered=True, sleep=lambda _: None)  # type: ignore[arg-type]  # as above
    assert patience.through(giving(trouble, "again")) == "again"


def test_a_twin_that_is_silent_is_down() -> None:
    patience = Patience(Away(is_twin=True))  # type: ignore[arg-type]  # as above
    call = giving("first", SILENT)
    assert patience.through(call) == "first"
    with pytest.raises(UnreachableError):
        patience.through(call)


def test_what_is_no_trouble_of_the_way_is_raised() -> None:
    with pytest.raises(NotFoundError):
        Patience(Away()).through(giving(NotFoundError("gone")))  # type: ignore[arg-type]  # as above
