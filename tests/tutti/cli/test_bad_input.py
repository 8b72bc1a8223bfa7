"""Bad input and bad surroundings, as a user meets them: one clear line, the right exit code, nothing lost, no traceback."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tutti.conftest import clean_environ
from tutti import Cluster, Job
from tutti.home import Home

Tutti = Callable[..., "subprocess.CompletedProcess[str]"]
# Says a word once the entry's own code runs: what Python does before, no program can take in hand.
ENTRY = "import os, sys; from tutti.__main__ import main; os.write(1, b'.'); sys.argv[0] = 'tutti'; main()"


@pytest.fixture
def shell(twin_home: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A line of bash in which `tutti` is this one, in a process of its own."""
    environ = clean_environ(twin_home)

    def run(line: str, **variables: str) -> subprocess.CompletedProcess[str]:
        text = f'tutti() {{ "{sys.executable}" -m tutti "$@"; }}; {line}'
        return subprocess.run(
            ["bash", "-c", text], env={**environ, **variables}, capture_output=True, text=True, timeout=60, check=False
        )

    return run


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "is empty; allowed: job and one of grid, list, random"),
        (b"name: s\njob:\n  comm", ":2: job: got 'comm'; allowed: the keys of a job file"),
        (b"job: {command: x}\ngrid:\n  n: [1,", "<stream end>'. It ends in the middle: is all of it there?"),
        (b"job: \xbd", "is no text: byte 5 is no UTF-8"),
        (b"job: \x07", "is not YAML: has '\\x07'"),
    ],
    ids=["empty", "half", "open", "bytes", "bell"],
)
def test_a_half_written_sweep_file_is_told_in_a_line(tutti: Tutti, tmp_path: Path, text: bytes, told: str) -> None:
    (tmp_path / "sweep.yaml").write_bytes(text)
    done = tutti("sweep", str(tmp_path / "sweep.yaml"))
    assert done.returncode == 2
    assert told in done.stderr


def test_a_program_in_place_of_a_script_is_told(tutti: Tutti, tmp_path: Path) -> None:
    (tmp_path / "a.out").write_bytes(b"\x7fELF\xff")
    done = tutti("submit", "--nodes", "2", str(tmp_path / "a.out"))
    assert done.returncode == 2
    assert "is no text: byte 4 is no UTF-8. A program stands behind --" in done.stderr


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text.replace('"version": 1', '"version": 9'), "has version 9; this tutti reads version 1. A newer stack"),
        (lambda text: text[:100], "is no cluster card: not JSON from line"),
    ],
    ids=["newer", "half"],
)  # fmt: skip
def test_a_card_that_cannot_be_read_says_what_to_do(
    twin_home: Path, tmp_path: Path, at_home: Callable[[Path], Tutti], change: Callable[[str], str], told: str
) -> None:
    there, here = (Home.from_environment({"TUTTI_HOME": str(home)}) for home in (twin_home, tmp_path))
    here.clusters.mkdir(parents=True)
    here.card("twin").write_text(change(there.card("twin").read_text()))
    done = at_home(tmp_path)("status")
    assert done.returncode == 2
    assert told in done.stderr


def test_the_nearest_ids_are_shown_for_one_that_is_not_there(tutti: Tutti, cluster: Cluster) -> None:
    run = Job(command=("true",), nodes=1, name="nearest").submit(cluster)
    run.wait()
    wrong = run.id[:-1] + ("0" if run.id[-1] != "0" else "1")
    for command in ("status", "logs", "wait", "why", "cancel", "resubmit", "top", "report"):
        done = tutti(command, wrong)
        assert done.returncode == 3, command
        assert f"no job '{wrong}' on cluster twin; nearest: {run.id[:13]} (nearest)" in done.stderr, command


@pytest.mark.parametrize("closed", ["0<&-", ">&-", "2>&-"])
def test_a_stream_that_is_closed_is_no_error(
    shell: Callable[..., subprocess.CompletedProcess[str]], closed: str
) -> None:
    done = shell(f"tutti submit --wait --nodes 1 -- true {closed}")
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert ("submitted" in done.stderr) == (closed != "2>&-")
    assert ("submitted" in done.stdout) is False


def test_a_reader_who_has_left_is_no_error(twin_home: Path) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    done = subprocess.run(
        [sys.executable, "-m", "tutti", "status"],
        env=clean_environ(twin_home),
        stdout=writes,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(writes)
    assert (done.returncode, done.stderr) == (141, "")


def test_an_answer_that_cannot_be_written_is_told(shell: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = shell("tutti status >/dev/full")
    assert done.returncode == 1
    assert done.stderr == (
        "tutti: the answer cannot be written: No space left on device; "
        "what was submitted or changed stays so (tutti status)\n"
    )


@pytest.mark.parametrize(("term", "colours"), [("xterm", True), ("dumb", False), ("", False)])
def test_colours_are_for_terminals_that_have_them(
    shell: Callable[..., subprocess.CompletedProcess[str]], term: str, *, colours: bool
) -> None:
    done = shell(f"script -qec '{sys.executable} -m tutti doctor' /dev/null </dev/null", TERM=term)
    assert "good" in done.stdout
    assert ("\x1b[" in done.stdout) == colours


def test_ctrl_c_at_any_moment_of_the_start_is_a_line_and_130(twin_home: Path) -> None:
    environ = clean_environ(twin_home)

    def started() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", ENTRY, "status"]
        process = subprocess.Popen(
            command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        )
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 1) == b"."
        return process

    with started() as whole:
        began = time.monotonic()
        whole.communicate(timeout=60)
        span = time.monotonic() - began
    moments = random.Random(7)
    caught = 0
    for share in range(12):
        with started() as process:
            time.sleep(span * 0.8 * (share + moments.random()) / 12)  # any moment will do: the test waits for none
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=60)
        if process.returncode == -signal.SIGINT:
            assert told == ""  # Python's own end, without a handler: a shell calls it 130 too
        elif process.returncode:
            caught += 1
            assert process.returncode == 130, told
            assert told in {"tutti: interrupted\n", "tutti: interrupted; jobs that were submitted go on\n"}
    assert caught >= 6


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("submit", "--nodes", "1", "--", "true"), "what was submitted goes on, tutti status says whether it was"),
        (("data", "ls"), "files that were done stay done, the same command does the rest"),
        (("--cluster", "twin", "status"), "jobs that were submitted go on"),
    ],
)  # fmt: skip
def test_ctrl_c_in_a_command_says_what_is_left(
    tutti: Tutti, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], told: str
) -> None:
    def pressed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Cluster, "client", pressed)
    done = tutti(*words)
    assert (done.returncode, done.stderr) == (130, f"tutti: interrupted; {told}\n")


def test_a_doctor_that_is_interrupted_leaves_no_job_and_no_file(twin_home: Path, cluster: Cluster) -> None:
    command = [sys.executable, "-m", "tutti", "doctor", "--run", "--json"]
    with subprocess.Popen(
        command, env=clean_environ(twin_home), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as doctor:
        while not (busy := _doctors(cluster, ("RUNNABLE", "STARTING", "RUNNING"))):
            time.sleep(0.05)
        doctor.send_signal(signal.SIGINT)
        out, told = doctor.communicate(timeout=60)
    assert doctor.returncode == 130
    assert told == "tutti: interrupted; no job of the doctor's is left running\n"
    assert not out.strip() or json.loads(out)
    for job_id in busy:
        assert cluster.batch.describe_jobs(jobs=[job_id])["jobs"][0]["status"] in {"FAILED", "SUCCEEDED", "RUNNING"}
    while _doctors(cluster, ("RUNNABLE", "STARTING", "RUNNING")):
        time.sleep(0.05)


def _doctors(cluster: Cluster, states: tuple[str, ...]) -> list[str]:
    from tutti.listing import list_jobs

    return [job.id for job in list_jobs(cluster, states=states) if job.name.startswith("doctor-")]
