"""A member's side of its ranks, with the real shim and without any MPI: `run_alone` and what comes of it."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from workload.contract import Progress, Variable
from workload.gang import processes, stacks
from workload.gang.fulllog import FullLog
from workload.gang.log import Log
from workload.gang.loop import Loop
from workload.gang.places import Place
from workload.gang.ranks import Ranks
from workload.gang.records import RankRecord


class Kept(Log):
    """A log that keeps its lines."""

    def __init__(self) -> None:
        super().__init__(0)
        self.lines: list[tuple[int | None, str]] = []

    def says(self, text: str) -> None:
        self.lines.append((None, text))

    def line(self, rank: int | None, text: bytes) -> None:
        self.lines.append((rank, text.decode("utf-8", "replace")))


class Alone:
    """One node that runs a program without an MPI."""

    def __init__(self, folder: Path, place: Place) -> None:
        self.loop = Loop()
        self.log = Kept()
        self.records: list[RankRecord] = []
        self.progress: list[tuple[Progress, dict[str, Any]]] = []
        self.outputs = 0
        self.job_folder = folder / "job"
        self.job_folder.mkdir()
        self.full = self.job_folder / "output" / "ranks.log"
        self.ranks = Ranks(
            self.loop,
            log=self.log,
            folder=folder,
            places=[place],
            job_folder=self.job_folder,
            on_record=self.records.append,
            on_progress=lambda progress, datagram: self.progress.append((progress, dict(datagram))),
            on_output=self._output,
            full=FullLog(self.job_folder),
        )

    def _output(self) -> None:
        self.outputs += 1

    def start(self, argv: Sequence[str], **environ: str) -> None:
        self.ranks.run_alone(argv, {"PATH": os.environ["PATH"], **self.ranks.environment, **environ}, rank=4)

    def until(self, what: Callable[[], bool], seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, f"not within {seconds} s: {self.records} {self.log.lines[-5:]}"
            self.loop.turn(0.05)

    def run(self, argv: Sequence[str], **environ: str) -> RankRecord:
        self.start(argv, **environ)
        self.until(lambda: any(r.ended is not None for r in self.records))
        self.ranks.drained()
        return self.records[-1]

    def text(self) -> list[str]:
        return [text for rank, text in self.log.lines if rank == 4]


@pytest.fixture
def make(short_path: Path, sub_reaper: None) -> Iterator[Callable[..., Alone]]:
    made: list[Alone] = []

    def alone(place: Place | None = None) -> Alone:
        made.append(Alone(short_path, place or Place()))
        return made[-1]

    yield alone
    for one in made:
        processes.kill_descendants(os.getpid(), within_s=5)
        one.ranks.close()
        one.loop.close()


@pytest.fixture
def alone(make: Callable[..., Alone]) -> Alone:
    return make()


def sh(text: str) -> list[str]:
    return ["/bin/sh", "-c", text]


def test_a_rank_runs_in_the_jobs_folder_and_knows_who_it_is(alone: Alone) -> None:
    record = alone.run(sh('echo "$PWD $TUTTI_RANK $TUTTI_LOCAL_RANK"; exit 6'))
    assert alone.text() == [f"{alone.job_folder} 4 0"]
    assert (record.rank, record.local, record.code, record.last_words) == (4, 0, 6, alone.text()[0])
    assert [r.ended is None for r in alone.records] == [True, False]


def test_a_relative_program_is_found_in_the_jobs_folder_else_in_the_images(
    alone: Alone, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = alone.job_folder / "prog"
    program.write_text("#!/bin/sh\necho from the job\n", encoding="ascii")
    program.chmod(0o755)
    assert alone.run(["./prog"]).code == 0
    assert alone.text() == ["from the job"]


def test_a_gpu_and_cores_are_the_local_ranks_own(make: Callable[..., Alone]) -> None:
    cpu = max(os.sched_getaffinity(0))
    alone = make(Place(cpus=(cpu,), gpu=3))
    alone.run(sh("echo $CUDA_VISIBLE_DEVICES $CUDA_DEVICE_ORDER; grep Cpus_allowed_list /proc/self/status"))
    assert alone.text() == ["3 PCI_BUS_ID", f"Cpus_allowed_list:\t{cpu}"]


def test_limits_are_raised_and_core_files_off(alone: Alone) -> None:
    alone.run(sh("ulimit -s; ulimit -n; ulimit -c"))
    stack, nofile, core = alone.text()
    wanted = [resource.getrlimit(limit)[1] for limit in (resource.RLIMIT_STACK, resource.RLIMIT_NOFILE)]
    assert stack == ("unlimited" if wanted[0] < 0 else str(wanted[0] // 1024))
    assert (nofile, core) == (str(wanted[1]), "0")


def test_what_was_written_last_comes_before_the_record(alone: Alone) -> None:
    record = alone.run(sh("for i in 1 2 3; do echo line $i; done; printf unfinished >&2; kill -9 $$"))
    assert (
        sorted(alone.text()) == ["Killed", "line 1", "line 2", "line 3", "unfinished"]
        or "unfinishedKilled" in alone.text()
    )
    assert (record.code, record.signal) == (137, 9)
    assert "line 3" in record.last_words


def test_a_flood_is_cut_down_said_and_whole_in_the_file(alone: Alone) -> None:
    alone.run([sys.executable, "-c", "for i in range(100_000): print('flood', i)"])
    *said, kept = [text for rank, text in alone.log.lines if rank is None]
    assert kept == "all that the ranks wrote is in output/ranks.log"
    lines = alone.text()
    assert "lines of the ranks' output left out here" in said[0]
    left_out = sum(int(text.split()[0].replace(",", "")) for text in said)
    assert left_out + len(lines) == 100_000
    assert lines[-1] == "flood 99999"
    assert len(lines) >= 10_000
    alone.ranks.close()
    assert alone.full.read_bytes().count(b"\n") == 100_000


def test_what_fits_into_the_log_leaves_no_file(alone: Alone) -> None:
    alone.run(sh("echo little"))
    alone.ranks.close()
    assert not alone.full.exists()


def test_every_piece_of_output_is_a_sign_of_progress(alone: Alone) -> None:
    alone.run(sh("echo a; sleep 0.2; echo b"))
    assert alone.outputs >= 2


def test_progress_datagrams_come_through_and_garbage_does_not(alone: Alone) -> None:
    path = alone.ranks.environment[Variable.PROGRESS]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as rank:
        rank.connect(path)
        for datagram in (
            b"garbage",
            b"[1]",
            b'{"step": 1}',
            json.dumps({"rank": 4, "step": 10, "total": 100, "rate": 2.5, "unit": "rows"}).encode(),
            json.dumps({"rank": 4, "stopped": True}).encode(),
        ):
            rank.send(datagram)
        alone.until(lambda: len(alone.progress) == 2)
    assert alone.progress[0][0] == Progress(rank=4, step=10, total=100, rate=2.5, unit="rows")
    assert alone.progress[1][1]["stopped"] is True


def test_a_rank_whose_shim_is_killed_is_ended_and_is_nobodys_failure(alone: Alone) -> None:
    alone.start(sh("echo up; sleep 1000"))
    alone.until(lambda: "up" in alone.text())
    shim = alone.ranks._locals[0].shim
    os.kill(shim, signal.SIGKILL)  # as an MPI does that kills by pid and not by group
    alone.until(lambda: alone.records[-1].ended is not None)
    assert (alone.records[-1].code, alone.records[-1].reported) == (137, False)


def test_shim_and_program_killed_together_are_known_at_once(alone: Alone) -> None:
    alone.start(sh("echo up; exec sleep 1000"))
    alone.until(lambda: "up" in alone.text())
    begun = time.monotonic()
    os.killpg(os.getpgid(alone.records[0].pid), signal.SIGKILL)
    alone.until(lambda: alone.records[-1].ended is not None)
    assert time.monotonic() - begun < 1.0
    assert not alone.records[-1].reported


def test_programs_that_end_at_once_are_recorded_with_their_codes(alone: Alone) -> None:
    for code in (0, 3, 0, 255):
        alone.records.clear()
        record = alone.run(sh(f"exit {code}"))
        assert (record.code, record.reported) == (code, True)


def test_a_daemonised_child_dies_with_the_job(alone: Alone) -> None:
    alone.run(sh("setsid sh -c 'echo $$ > daemon.pid; exec sleep 1000' >/dev/null 2>&1 & sleep 0.3"))
    pid = int((alone.job_folder / "daemon.pid").read_text())
    os.kill(pid, 0)
    alone.ranks.close(kill=True)
    alone.loop.turn(0.1)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


STALLED = """
import threading, time
def waits_for_nothing():
    print("up", flush=True)
    time.sleep(1000)
waits_for_nothing()
"""


def test_the_stack_of_a_stalled_python_names_the_function(alone: Alone) -> None:
    alone.start([sys.executable, "-c", STALLED], PYTHONFAULTHANDLER="1")
    alone.until(lambda: "up" in alone.text() and "state S" in stacks.kernel_stack(alone.records[0].pid)[0])
    done: list[int] = []
    alone.ranks.dump_stacks(lambda: done.append(1))
    alone.until(lambda: bool(done))
    assert any("waits_for_nothing" in line for line in alone.text())
    assert any("state S" in line for line in alone.text())


def test_the_stack_of_any_other_program_is_the_kernels(alone: Alone) -> None:
    alone.start(sh("echo up; exec sleep 1000"))
    alone.until(lambda: "up" in alone.text())
    alone.until(
        lambda: stacks.kernel_stack(alone.records[0].pid)[0].startswith(f"process {alone.records[0].pid} (sleep)")
    )
    done: list[int] = []
    alone.ranks.dump_stacks(lambda: done.append(1))
    alone.until(lambda: bool(done))
    assert any("(sleep)" in line and "state S" in line for line in alone.text())
    assert alone.ranks.running(), "only what can write its own stack is ended for it"


def test_a_shim_without_a_member_refuses(tmp_path: Path) -> None:
    shim = Path(stacks.__file__).with_name("shim.sh")
    none = subprocess.run(["/bin/sh", shim, "true"], capture_output=True, text=True, check=False, env={})
    assert none.returncode != 0
    assert "only the member of a gang starts ranks" in none.stderr
    more = subprocess.run(
        ["/bin/sh", shim, "true"],
        capture_output=True,
        text=True,
        check=False,
        env={"TUTTI_RANKS": str(tmp_path), "MPI_LOCALRANKID": "7"},
    )
    assert more.returncode == 210
    assert "no local rank 7" in more.stderr
