"""What a lost node cost: detection, recovery and lost steps, from the log's events."""

from __future__ import annotations

from typing import Any

from tutti.core.events import Happening
from tutti.core.setbacks import Setback, setbacks
from workload.contract import Event


def event(attempt: int, kind: Event, at: float, *, on: int = 0, **fields: Any) -> tuple[int, Happening]:
    return attempt, Happening(event=kind, at=at, node=on, fields=fields)


LOST = event(1, Event.LOST, 10.5, node=2, address="a", reason="its connection closed", after=1.0)
AGAIN = event(2, Event.LAUNCHED, 13.0)


def test_a_drill_is_what_times_count_from() -> None:
    told = [
        event(1, Event.PROGRESS, 8.0, step=40),
        event(1, Event.PROGRESS, 9.0, step=50),
        event(1, Event.DRILLED, 10.0, on=2, action="kill"),
        LOST,
        AGAIN,
        event(2, Event.PROGRESS, 13.5, step=31),
        event(2, Event.PROGRESS, 14.5, step=41),
    ]
    assert setbacks(told) == [
        Setback(
            attempt=1, node=2, address="a", reason="its connection closed", drill="kill",
            detected_s=0.5, recovered_s=3.0, steps_lost=20.0,
        )
    ]  # fmt: skip


def test_without_a_drill_they_count_from_the_last_sign_of_life() -> None:
    [found] = setbacks([LOST, AGAIN])
    assert (found.drill, found.detected_s, found.recovered_s, found.steps_lost) == ("", 1.0, 3.5, None)


def test_a_run_that_does_not_come_back_has_not_recovered() -> None:
    [found] = setbacks([event(1, Event.PROGRESS, 9.0, step=5), LOST])
    assert (found.recovered_s, found.steps_lost) == (None, None)


def test_a_lost_main_is_known_by_its_drill_alone() -> None:
    [found] = setbacks([event(1, Event.DRILLED, 10.0, on=0, action="lose"), AGAIN])
    assert (found.node, found.drill, found.detected_s, found.recovered_s) == (0, "lose", None, 3.0)


def test_drills_that_break_nothing_are_no_setbacks() -> None:
    assert setbacks([event(1, Event.DRILLED, 1.0, action=a) for a in ("cont", "mend")]) == []
