from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from workload.gang.lines import LineReader, split
from workload.gang.loop import Loop
from workload.gang.processes import become_sub_reaper, descendants, kill_descendants


@pytest.fixture
def loop() -> Iterator[Loop]:
    with Loop() as made:
        yield made


def until(loop: Loop, holds: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        loop.turn(0.05)


def test_timers_run_in_the_order_of_their_times_and_cancelled_ones_not_at_all(loop: Loop) -> None:
    ran: list[str] = []
    loop.after(0.02, lambda: ran.append("second"))
    loop.after(0.0, lambda: ran.append("first"))
    loop.after(0.01, lambda: ran.append("never")).cancel()
    until(loop, lambda: len(ran) == 2)
    assert ran == ["first", "second"]


def test_a_repeated_timer_runs_until_it_is_cancelled(loop: Loop) -> None:
    ran: list[int] = []
    timer = loop.every(0.001, lambda: ran.append(1))
    until(loop, lambda: len(ran) == 3)
    timer.cancel()
    loop.turn(0.01)
    assert len(ran) == 3


def test_a_timer_may_cancel_another_that_is_due_in_the_same_round(loop: Loop) -> None:
    ran: list[int] = []

    def cancel_other() -> None:
        other.cancel()

    loop.after(0.0, cancel_other)
    other = loop.after(0.0, lambda: ran.append(1))
    time.sleep(0.002)  # so that both are due: no event to wait for
    loop.turn(0.01)
    assert ran == []


def test_another_thread_wakes_the_loop(loop: Loop) -> None:
    ran: list[float] = []
    threading.Timer(0.05, lambda: loop.soon(lambda: ran.append(time.monotonic()))).start()
    begun = time.monotonic()
    while not ran:
        loop.turn(10.0)
    assert time.monotonic() - begun < 5


def test_a_childs_code_and_signal_are_told(loop: Loop) -> None:
    codes: list[int] = []
    for script in ("exit 3", "kill -9 $$", "exit 0"):
        loop.spawn(["/bin/sh", "-c", script], env={}, on_exit=codes.append)
    until(loop, lambda: len(codes) == 3)
    assert sorted(codes) == [0, 3, 137]


def test_children_start_with_signals_unblocked_though_the_entrypoint_blocked_them() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    codes: list[int] = []
    with Loop() as loop:
        pid = loop.spawn(["/bin/sleep", "60"], env={}, on_exit=codes.append)
        os.kill(pid, signal.SIGTERM)
        until(loop, lambda: codes)
    assert codes == [143]


def test_orphans_are_reaped(loop: Loop) -> None:
    become_sub_reaper()
    codes: list[int] = []
    reading, writing = os.pipe()
    loop.spawn(
        ["/bin/sh", "-c", "sleep 0.1 & echo $!"], env={"PATH": "/bin:/usr/bin"}, on_exit=codes.append, stdout=writing
    )
    os.close(writing)
    lines: list[bytes] = []
    LineReader(loop, reading, lines.append)
    until(loop, lambda: codes and lines)
    until(loop, lambda: not Path(f"/proc/{int(lines[0])}").exists())


def test_a_signal_is_heard_in_the_loop_and_given_back_after_it() -> None:
    before = signal.getsignal(signal.SIGTERM)
    heard: list[int] = []
    with Loop() as loop:
        loop.on_signal(signal.SIGTERM, lambda: heard.append(1))
        os.kill(os.getpid(), signal.SIGTERM)
        until(loop, lambda: heard)
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_program_that_is_not_there_is_an_error_at_once(loop: Loop) -> None:
    with pytest.raises(FileNotFoundError):
        loop.spawn(["/no/such/program"], env={}, on_exit=lambda code: None)


def test_lines_come_whole_across_reads(loop: Loop) -> None:
    reading, writing = os.pipe()
    lines: list[bytes] = []
    LineReader(loop, reading, lines.append)
    for piece in (b"one\ntw", b"o\n\nlast without an end"):
        os.write(writing, piece)
        loop.turn(0.05)
    os.close(writing)
    until(loop, lambda: len(lines) == 4)
    assert lines == [b"one", b"two", b"", b"last without an end"]


def test_a_long_line_comes_in_pieces() -> None:
    pieces, rest = split(b"", b"abcdefgh\nij", longest=3)
    assert (pieces, rest) == ([b"abc", b"def", b"gh"], b"ij")
    assert split(b"", b"abcdefgh", longest=3) == ([b"abc", b"def"], b"gh")


def test_everything_that_descends_is_found_and_killed_daemonised_or_not() -> None:
    script = "import os, subprocess, time\nsubprocess.Popen(['sh', '-c', 'setsid sleep 300 & sleep 300'])\nprint('up', flush=True)\ntime.sleep(300)"
    become_sub_reaper()
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert child.stdout is not None
    with child.stdout:
        child.stdout.readline()
    end = time.monotonic() + 10
    while len(descendants(os.getpid())) < 4 and time.monotonic() < end:
        time.sleep(0.01)
    assert len(descendants(os.getpid())) >= 4
    assert kill_descendants(os.getpid(), within_s=10) == []
    child.wait()
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:  # the orphans came to us
            pass
