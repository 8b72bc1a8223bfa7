"""`status -w` and `top -w` as a reader meets them: in a terminal that changes its size, in a dumb one, in a pipe."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tutti.cli.terminal import Terminal
from tutti import Cluster, Job
from tutti.run import Run


@pytest.fixture
def environ(twin_home: Path) -> dict[str, str]:
    """A reader's, in a terminal that knows colours and says its size itself."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "TUTTI_"))}
    gone = {"COLUMNS", "LINES", "NO_COLOR"}
    return {**{k: v for k, v in kept.items() if k not in gone}, "TUTTI_HOME": str(twin_home), "TERM": "xterm-256color"}


@pytest.fixture(scope="module")
def busy(twin_home: Path) -> Iterator[Run]:
    """A job that runs until somebody ends it."""
    cluster = Cluster.current({"TUTTI_HOME": str(twin_home)})
    run = Job(command=["sleep", "600"], name="watched", nodes=2).submit(cluster)
    run.wait(until="running")
    yield run
    run.cancel()
    run.wait()


def test_a_watched_list_follows_the_terminal_s_size_and_ctrl_c_leaves_it_whole(
    environ: dict[str, str], busy: Run
) -> None:
    with Terminal("status", "-w", environ=environ) as terminal:
        frame = terminal.until(r"\d+ jobs?: .*\n")
        assert f"{busy.id[:13]}  watched" in terminal.screen
        assert "\x1b[36mRUNNING" in frame
        terminal.until(r"\d+ jobs?: .*\n")  # another frame, where the first was
        assert terminal.screen.count("watched") == 1
        terminal.resize(44, 6)
        terminal.until(r"\d+ jobs?: .*\n")
        frame = terminal.until(r"\d+ jobs?: .*\n")
        lines = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", frame).split("\r\n")
        assert max(map(len, lines)) <= 44
        assert len([line for line in lines if line]) <= 5
        terminal.press("\x03")
        assert terminal.ended() == 130
        assert terminal.whole
        assert " ".join(terminal.shown.split()).endswith("tutti: interrupted; jobs that were submitted go on")
    assert not busy.details().ended


def test_a_dumb_terminal_gets_frames_below_each_other_and_no_sequence(environ: dict[str, str], busy: Run) -> None:
    with Terminal("status", "-w", environ={**environ, "TERM": "dumb"}) as terminal:
        shown = terminal.until(r"\d+ jobs?: [^\n]*\n[^$]*\d+ jobs?: ")
        terminal.press("\x03")
        assert terminal.ended() == 130
    assert "\x1b" not in shown
    assert shown.count("watched") == 2
    assert busy.id[:13] in shown


def test_no_color_is_kept_in_a_watched_list(environ: dict[str, str], busy: Run) -> None:
    with Terminal("status", "-w", busy.id, environ={**environ, "NO_COLOR": "1"}) as terminal:
        frame = terminal.until(r"RUNNING[^$]*RUNNING[^$]*RUNNING[^$]*\n")
        assert not re.search(r"\x1b\[[0-9;]*m", frame)


def test_a_pipe_gets_whole_frames_as_they_come(environ: dict[str, str], busy: Run) -> None:
    command = [sys.executable, "-m", "tutti", "status", "-w"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        frames = []
        for line in watching.stdout:
            frames.append(line)
            if sum("jobs:" in x or "job:" in x for x in frames) == 2:
                break
        watching.send_signal(signal.SIGINT)
    assert "\x1b" not in "".join(frames)
    assert sum(busy.id[:13] in line for line in frames) == 2


def test_top_shows_each_node_s_load_while_it_runs_and_ends_with_the_job(
    environ: dict[str, str], twin_home: Path
) -> None:
    cluster = Cluster.current({"TUTTI_HOME": str(twin_home)})
    spin = "import time\nend = time.time() + 600\nwhile time.time() < end: pass"
    run = Job(command=["python", "-c", spin], name="spinning", nodes=2, ranks_per_node=1).submit(cluster)
    run.wait(until="running")
    with Terminal("top", "-w", "--ranks", run.id, environ=environ) as terminal:
        terminal.until(r"MEMORY[^$]*\n1 +1 +")
        node, rank, cores, memory = terminal.screen.splitlines()[2].split()[:4]
        assert (node, rank) == ("0", "0")
        assert float(cores) > 0
        assert int(memory.replace("KiB", "").replace("MiB", "").split(".")[0]) > 0
        run.cancel()
        assert terminal.ended() == 0
        assert terminal.whole
        assert "FAILED" in terminal.screen


@pytest.mark.parametrize(
    ("keys", "code", "words"),
    [("\x03", 130, "tutti: interrupted; nothing was ended"), ("n\r", 0, "nothing was ended")],
)
def test_ctrl_c_and_no_at_the_question_end_no_job(
    environ: dict[str, str], busy: Run, keys: str, code: int, words: str
) -> None:
    with Terminal("cancel", "--name", "watched", environ=environ) as terminal:
        terminal.until(r"end 1 job\? \[y/N\]: ")
        terminal.press(keys)
        assert terminal.ended() == code
        assert terminal.whole
        assert terminal.screen.rstrip().endswith(words)
    assert not busy.details().ended


def test_in_a_terminal_of_80_columns_no_message_is_wider(environ: dict[str, str], busy: Run) -> None:
    plain = {**environ, "NO_COLOR": "1"}
    with Terminal("submit", "--wait", "--nodes", "1", "--", "true", environ=plain) as terminal:
        assert terminal.ended() == 0
        assert "computed" in terminal.screen
        assert "node 0 of 1 (main)" in terminal.screen
        assert max(map(len, terminal.screen.splitlines())) <= 80
    with Terminal("status", f"{busy.id[:-4]}none", environ=plain) as terminal:
        assert terminal.ended() == 3
        assert f"{busy.id[:13]} (watched)" in terminal.screen
        assert max(map(len, terminal.screen.splitlines())) <= 80
