"""A program's progress: what goes out, how often, and what it costs in looks at the clock."""

import io
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from workload.contract import Progress as Datagram
from workload.contract import Variable
from workload.progress import SEND_S, Progress


class Clock:
    def __init__(self) -> None:
        self.now = 50.0
        self.looks = 0

    def __call__(self) -> float:
        self.looks += 1
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def member(tmp_path: Path) -> Iterator[socket.socket]:
    """The node's end of the socket."""
    end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    end.bind(str(tmp_path / "progress"))
    end.setblocking(False)
    yield end
    end.close()


def received(member: socket.socket) -> list[Datagram]:
    found = []
    while True:
        try:
            found.append(Datagram(**json.loads(member.recv(4096))))
        except BlockingIOError:
            return found


def run(progress: Progress, clock: Clock, steps: int, step_s: float, *, first: int = 1) -> None:
    for step in range(first, first + steps):
        clock.now += step_s
        progress.step(step)


def test_the_node_gets_step_total_rate_and_unit_once_a_second_and_at_the_end(
    tmp_path: Path, member: socket.socket
) -> None:
    clock = Clock()
    progress = Progress(
        1000, rank=3, unit="updates", environ={Variable.PROGRESS: str(tmp_path / "progress")}, clock=clock
    )
    run(progress, clock, 1000, 0.01)
    sent = received(member)
    assert 9 <= len(sent) <= 12
    assert (sent[0].rank, sent[0].step, sent[0].total, sent[0].rate) == (3, 1, 1000, None)
    assert (sent[-1].step, sent[-1].unit) == (1000, "updates")
    assert all(one.rate == pytest.approx(100) for one in sent[1:])
    assert progress.remaining == 0


def test_the_estimate_is_what_is_left_at_the_last_rate() -> None:
    clock = Clock()
    progress = Progress(1000, environ={}, clock=clock, terminal=io.StringIO())
    assert progress.remaining is None
    run(progress, clock, 400, 0.01)
    assert progress.remaining == pytest.approx(6, abs=SEND_S + 0.5)


@pytest.mark.parametrize("step_s", [1e-6, 1e-3])
def test_most_calls_do_not_even_look_at_the_clock(step_s: float) -> None:
    # What a call costs is measured by bench/checkpoint.py (progress_ns): less than a microsecond.
    clock = Clock()
    progress = Progress(None, environ={}, clock=clock, terminal=io.StringIO())
    run(progress, clock, int(10 / step_s) if step_s > 1e-5 else 2_000_000, step_s)
    seconds = clock.now - 50
    assert clock.looks <= 60 + 6 * seconds


def test_a_program_that_becomes_slow_is_heard_within_a_few_steps(tmp_path: Path, member: socket.socket) -> None:
    clock = Clock()
    progress = Progress(None, environ={Variable.PROGRESS: str(tmp_path / "progress")}, clock=clock)
    run(progress, clock, 1000, 0.01)
    received(member)
    heard = []
    for step in range(1001, 1101):
        run(progress, clock, 1, 1.0, first=step)
        heard += [one.step for one in received(member)]
    assert heard[0] <= 1026, "the steps of a quarter of a second before"
    assert heard[1:] == list(range(heard[0] + 1, 1101))


def test_a_member_that_is_gone_or_never_was_stops_nothing(tmp_path: Path, member: socket.socket) -> None:
    clock = Clock()
    environ = {Variable.PROGRESS.value: str(tmp_path / "progress")}
    progress = Progress(None, environ=environ, clock=clock)
    progress.step(1)
    member.close()
    run(progress, clock, 500, 0.01, first=2)
    (tmp_path / "progress").unlink()
    run(Progress(None, environ=environ, clock=clock), clock, 500, 0.01)


def test_a_member_that_does_not_read_blocks_nothing(tmp_path: Path, member: socket.socket) -> None:
    clock = Clock()
    progress = Progress(None, environ={Variable.PROGRESS: str(tmp_path / "progress")}, clock=clock)
    run(progress, clock, 3000, 1.0)
    assert received(member)


def test_at_a_desk_rank_0_shows_a_line_on_a_terminal_and_nothing_elsewhere() -> None:
    clock = Clock()
    terminal, pipe, other = Terminal(), io.StringIO(), Terminal()
    for progress in (
        Progress(500, environ={}, clock=clock, terminal=terminal),
        Progress(500, environ={}, clock=clock, terminal=pipe),
        Progress(500, rank=1, environ={}, clock=clock, terminal=other),
    ):
        run(progress, clock, 500, 0.01)
    lines = terminal.getvalue().split("\r")
    assert "steps 500/500, 100 steps/s, 0:00 left" in lines[-1]
    assert terminal.getvalue().endswith("\n")
    assert (pipe.getvalue(), other.getvalue()) == ("", "")


def test_a_run_that_goes_on_in_the_middle_has_the_rate_of_its_own_steps(tmp_path: Path, member: socket.socket) -> None:
    clock = Clock()
    progress = Progress(20_000, environ={Variable.PROGRESS: str(tmp_path / "progress")}, clock=clock)
    run(progress, clock, 300, 0.01, first=10_000)
    sent = received(member)
    assert sent[0].step == 10_000
    assert sent[-1].rate == pytest.approx(100)
