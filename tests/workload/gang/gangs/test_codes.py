"""The job's exit code is the program's own, whatever mpiexec makes of it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

import pytest

from tutti.twin.nodes import cgroups


@pytest.fixture
def small_group() -> Iterator[Sequence[str]]:
    """A control group of 128 MiB: the files that a process writes its id to, to be in it."""
    groups = cgroups.find(f"tutti-test-{uuid4().hex[:8]}")
    if groups is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no control group can be had here")
        pytest.skip("no control group can be had here")
    made = groups.make("small", memory_mib=128, processes=500)
    yield [str(folder / "cgroup.procs") for folder in set(made.folders.values())]
    groups.remove(10)


def test_exit_7_on_one_rank_without_abort_is_7_within_5_seconds(gang: Any, victim: str) -> None:
    gang.start_all(2, [victim, "1", "exit", "7", "0"])
    assert gang.codes() == [7, 0]
    events = gang.events()
    assert events["computed"]["at"] - events["launched"]["at"] < 5  # it exits as soon as all have come to a barrier
    assert "node 1: rank 1 ended with 7" in gang.log()


def test_an_early_exit_0_does_not_end_the_others(gang: Any, victim: str) -> None:
    gang.start_all(2, [victim, "1", "exit", "0", "0", "0", "exit", "0", "1500"])
    assert gang.codes() == [0, 0]
    assert gang.events()["computed"]["seconds"] > 1.5


def test_an_early_exit_0_is_named_while_the_others_run_on(gang: Any, victim: str) -> None:
    """After a minute; this main's is two seconds long."""
    impatient = (
        "import sys; from workload import entrypoint; from workload.gang import computation; "
        "computation.EARLY_END_S = 2.0; sys.exit(entrypoint.main())"
    )
    argv = [victim, "1", "exit", "0", "0", "0", "exit", "0", "5000"]
    gang.start(0, 2, argv, command=[sys.executable, "-c", impatient])
    gang.start(1, 2, argv)
    assert gang.codes() == [0, 0]
    assert "rank 1 ended with 0 more than 2 s ago, and 1 others run on" in gang.log()


def test_of_different_codes_the_first_in_time_counts(gang: Any, victim: str) -> None:
    gang.start_all(2, [victim, "0", "exit", "5", "700", "1", "exit", "3", "0"])
    assert gang.codes() == [3, 0]


def test_a_killed_rank_is_128_and_the_signal_and_is_named(gang: Any, another_gang: Any, victim: str) -> None:
    cases = ((gang, signal.SIGKILL, 137), (another_gang, signal.SIGSEGV, 139))  # both at once: each takes its 5 s
    for one, number, _ in cases:
        one.start_all(2, [victim, "1", "signal", str(int(number)), "0"])
    for one, number, code in cases:
        assert one.codes() == [code, 0]
        assert f"node 1: rank 1 was ended by {number.name}" in one.log()


def test_a_rank_that_runs_out_of_memory_is_137_and_is_named_with_the_reason(
    gang: Any, victim: str, small_group: Sequence[str]
) -> None:
    """Node 1 has a limit, as a container has; its rank takes all that it gets."""
    argv = [victim, "1", "eat", "0", "0"]
    joined = "".join(f"echo $$ >{file}; " for file in small_group)
    gang.start(0, 2, argv)
    gang.start(1, 2, argv, command=("sh", "-c", f'{joined}exec tutti-node "$@"', "sh"))
    assert gang.codes() == [137, 0]
    assert "node 1: rank 1 was ended by SIGKILL (137), out of memory" in gang.log()


def test_the_code_of_mpi_abort_is_the_jobs(gang: Any, victim: str) -> None:
    gang.start_all(2, [victim, "1", "abort", "7", "0"])
    assert gang.codes() == [7, 0]


def test_a_python_rank_that_raises_shows_its_traceback_and_ends_all(gang: Any) -> None:
    program = "from mpi4py import MPI\nMPI.COMM_WORLD.barrier()\nif MPI.COMM_WORLD.rank: raise ValueError('lost it')\nimport time; time.sleep(60)"
    gang.start_all(2, ["python", "-m", "mpi4py", "-c", program])
    assert gang.codes() == [1, 0]
    assert "[1:1] ValueError: lost it" in gang.log(1)
    assert "[1:1] Traceback (most recent call last):" in gang.log(1)


@pytest.mark.parametrize("code", [22, 210, 213, 221])
def test_a_code_that_is_ours_is_reported_as_1_and_the_log_says_what_it_was(mpich_gang: Any, code: int) -> None:
    mpich_gang.start_all(1, ["sh", "-c", f"exit {code}"])
    assert mpich_gang.codes() == [1]
    assert f"ended with {code}" in mpich_gang.log()
    assert "the job ends with 1" in mpich_gang.log()


def test_stopped_on_request_keeps_213(mpich_gang: Any) -> None:
    said = 'import os, socket; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b\'{"rank": 0, "step": 3, "stopped": true}\', os.environ[\'TUTTI_PROGRESS\']); raise SystemExit(213)'
    mpich_gang.start_all(1, ["python", "-c", said])
    assert mpich_gang.codes() == [213]


def test_a_program_that_is_not_there_is_127_and_named(mpich_gang: Any) -> None:
    mpich_gang.start_all(2, ["no-such-program"])
    assert mpich_gang.codes() == [127, 0]
    assert "no-such-program" in mpich_gang.log() + mpich_gang.log(1)


def test_without_an_mpi_the_program_runs_once_on_each_node(mpich_gang: Any) -> None:
    mpich_gang.start_all(2, ["sh", "-c", "echo I am $TUTTI_RANK"], TUTTI_MPI="none")
    assert mpich_gang.codes() == [0, 0]
    assert "[0:0] I am 0" in mpich_gang.log()
    assert "[1:1] I am 1" in mpich_gang.log(1)


def test_a_container_without_node_variables_is_a_gang_of_one(mpich_gang: Any) -> None:
    changes = dict.fromkeys(
        (
            "AWS_BATCH_JOB_NODE_INDEX",
            "AWS_BATCH_JOB_NUM_NODES",
            "AWS_BATCH_JOB_MAIN_NODE_INDEX",
            "TUTTI_SECRET",
            "TUTTI_ADDRESS",
        ),
        "",
    )
    mpich_gang.start(0, 1, ["sh", "-c", "echo alone"], **changes, TUTTI_RANKS_PER_NODE="2")
    assert mpich_gang.codes() == [0]
    assert mpich_gang.log().count("] alone") == 2
