"""Progress at the foot of the terminal."""

import io

import pytest

from tutti.cli.gauge import CLEAR, Gauge, in_words
from tutti.core.events import parse_line

REPORT = '[0] tutti-event {"event":"progress","at":1.0,"step":400,"total":1000,"rate":12.5,"unit":"steps"}'


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (
            {"step": 400, "total": 1000, "rate": 12.5, "unit": "steps"},
            "[########............]  40%  step 400 of 1000, 12.5 steps/s, 0:48 left",
        ),
        (
            {"step": 1, "total": 10**6, "rate": 2.0},
            "[....................]   0%  step 1 of 1000000, 2 steps/s, 138:53:20 left",
        ),
        ({"step": 7, "total": None, "rate": None}, "step 7"),
        ({"step": 9, "total": 9, "rate": None}, "[####################] 100%  step 9 of 9"),
    ],
)
def test_step_total_rate_and_estimate_in_one_line(progress: dict[str, object], words: str) -> None:
    assert in_words(progress) == words


def test_it_makes_room_for_lines_and_comes_back_below_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    terminal = Terminal()
    gauge = Gauge(terminal)
    with gauge.aside():
        terminal.write("before\n")
    assert terminal.getvalue() == "before\n"
    gauge.see(parse_line("[0:1] step 5 of the program's own"))
    gauge.see(parse_line(REPORT))
    with gauge.aside():
        terminal.write("a line\n")
    gauge.end()
    shown = terminal.getvalue().removeprefix("before\n").split(CLEAR)
    assert shown[0] == ""
    assert shown[1].startswith("[########............]  40%")
    assert shown[2:] == ["a line\n", shown[1], ""]


def test_a_pipe_gets_nothing_of_it() -> None:
    pipe = io.StringIO()
    gauge = Gauge(pipe)
    gauge.see(parse_line(REPORT))
    gauge.end()
    assert pipe.getvalue() == ""
