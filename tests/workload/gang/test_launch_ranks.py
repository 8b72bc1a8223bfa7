"""Real launches: every MPI starts ranks on several nodes through the one agent and the one shim, and each end is known."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workload.gang.records import first_failure

Gangs = Callable[..., Any]
Compile = Callable[[str], str]

HELLO = r"""
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv) {
    int rank, size, sum;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    printf("rank %d of %d sum %d node %s secret %s\n", rank, size, sum, getenv("X_NODE"), getenv("TUTTI_SECRET"));
    MPI_Finalize();
    return 0;
}
"""

# Rank R does at once what argument R says: a number is an exit code, `kill` and `segv` are signals, `stay` waits.
ENDS = r"""
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv) {
    int rank;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Barrier(MPI_COMM_WORLD);
    const char *what = argv[1 + rank];
    printf("rank %d: %s\n", rank, what);
    fflush(stdout);
    if (!strcmp(what, "kill")) raise(SIGKILL);
    if (!strcmp(what, "segv")) *(volatile int *)8 = 1;
    if (!strncmp(what, "late", 4)) { usleep(700000); _exit(atoi(what + 4)); }
    if (strcmp(what, "stay")) exit(atoi(what));
    for (;;) pause();
}
"""


def write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def test_c_program_runs_on_every_node_with_its_nodes_own_environment(gang_of: Gangs, compiled: Compile) -> None:
    gang = gang_of(nodes=3, environ={"TUTTI_SECRET": "hidden"})
    assert gang.run([compiled(HELLO)]) == 0
    assert sorted(gang.output()) == [f"rank {r} of 3 sum 3 node {r} secret (null)" for r in range(3)]
    assert [n.ranks.running() for n in gang.nodes] == [[], [], []]
    assert sorted((r.rank, r.local, r.code) for r in gang.ended()) == [(0, 0, 0), (1, 0, 0), (2, 0, 0)]


def test_two_ranks_a_node_are_numbered_node_by_node(gang_of: Gangs, compiled: Compile) -> None:
    gang = gang_of(nodes=2, each=2)
    assert gang.run([compiled(HELLO)]) == 0
    where = {r.rank: (n.node.index, r.local) for n in gang.nodes for r in n.records if r.ended}
    assert where == {0: (0, 0), 1: (0, 1), 2: (1, 0), 3: (1, 1)}


def test_hostname_and_shell_scripts_run_without_mpi_calls(gang_of: Gangs, tmp_path: Path) -> None:
    gang = gang_of(nodes=2)
    script = write(tmp_path, "where.sh", '#!/bin/sh\npwd\necho "$TUTTI_RANK of $X_NODE" >&2\nhostname >/dev/null\n')
    assert gang.run([script]) == 0
    assert sorted(gang.output()) == sorted([*(str(n.job_folder) for n in gang.nodes), "0 of 0", "1 of 1"])


def test_mpi4py_uses_the_mpi_that_started_it(gang_of: Gangs, tmp_path: Path, mpi_name: str) -> None:
    script = write(
        tmp_path,
        "sum.py",
        "from mpi4py import MPI\n"
        "c = MPI.COMM_WORLD\n"
        "v = MPI.Get_library_version().split()\n"
        "print(c.rank, c.allreduce(c.rank + 1), ' '.join(v[:2]), flush=True)\n",
    )
    gang = gang_of(nodes=2)
    assert gang.run([sys.executable, "-m", "mpi4py", script], 60.0) == 0
    named = {"mpich": "MPICH Version:", "intel": "Intel(R) MPI"}.get(mpi_name, "Open MPI")
    assert sorted(gang.output()) == [f"0 3 {named}", f"1 3 {named}"]


def test_exit_without_abort_is_recorded_at_once_with_its_code(gang_of: Gangs, compiled: Compile) -> None:
    gang = gang_of(nodes=3)
    gang.launch([compiled(ENDS), "stay", "7", "stay"])
    gang.until(lambda: any(r.code == 7 for r in gang.ended()), 20.0)
    record = first_failure(gang.records())
    assert record is not None
    assert (record.rank, record.code, record.signal, record.reported) == (1, 7, 0, True)
    assert record.last_words == "rank 1: 7"
    assert record.ended is not None
    assert 0 <= record.ended - record.started < 10


def test_an_early_exit_with_0_is_no_failure(gang_of: Gangs, compiled: Compile) -> None:
    gang = gang_of(nodes=2)
    gang.launch([compiled(ENDS), "late0", "stay"])
    gang.until(lambda: any(r.rank == 0 for r in gang.ended()), 20.0)
    gang.turn_for(1.0)
    assert first_failure(gang.records()) is None
    assert [r.rank for n in gang.nodes for r in n.ranks.running()] == [1]


@pytest.mark.parametrize(("how", "code"), [("kill", 137), ("segv", 139)])
def test_a_signal_is_128_more_and_what_peers_and_mpiexec_do_of_it_does_not_count(
    gang_of: Gangs, compiled: Compile, how: str, code: int
) -> None:
    gang = gang_of(nodes=3)
    gang.launch([compiled(ENDS), "stay", "stay", how])
    gang.until(lambda: any(r.rank == 2 for r in gang.ended()), 20.0)
    gang.turn_for(0.5)  # for what the peers and mpiexec do of it
    record = first_failure(gang.records())
    assert record is not None
    assert (record.rank, record.code, record.signal) == (2, code, code - 128)
    assert signal.Signals(record.signal).name in str(record)


def test_of_different_codes_the_first_in_time_counts(gang_of: Gangs, compiled: Compile) -> None:
    gang = gang_of(nodes=3)
    gang.launch([compiled(ENDS), "late3", "5", "late4"])
    gang.until(lambda: gang.code is not None or len(gang.ended()) == 3, 20.0)
    record = first_failure(gang.records())
    assert record is not None
    assert (record.rank, record.code) == (1, 5)


def test_a_python_exception_ends_everyone_and_its_traceback_is_in_the_log(gang_of: Gangs, tmp_path: Path) -> None:
    script = write(
        tmp_path,
        "raises.py",
        "from mpi4py import MPI\n"
        "MPI.COMM_WORLD.barrier()\n"
        "if MPI.COMM_WORLD.rank == 1: raise ValueError('no such grid')\n"
        "MPI.COMM_WORLD.barrier()\n",
    )
    gang = gang_of(nodes=2)
    gang.run([sys.executable, "-m", "mpi4py", script], 60.0)
    said = [text for rank, text in gang.nodes[1].log.lines if rank == 1]
    assert "ValueError: no such grid" in said
    record = first_failure(gang.records())
    assert record is not None
    assert (record.code if record.reported else gang.code) in {1, 255}


def test_a_signal_reaches_the_ranks_by_pid_and_they_may_take_their_time(gang_of: Gangs, tmp_path: Path) -> None:
    script = write(
        tmp_path,
        "slow.sh",
        "#!/bin/sh\ntrap 'sleep 1; echo saved; exit 9' TERM\necho ready\nwhile :; do sleep 0.1; done\n",
    )
    gang = gang_of(nodes=2)
    gang.launch([script])
    gang.until(lambda: gang.output().count("ready") == 2)
    told = time.time()
    assert [n.ranks.signal(signal.SIGTERM) for n in gang.nodes] == [1, 1]
    gang.until(lambda: len(gang.ended()) >= 1)
    assert time.time() - told >= 0.9
    gang.until(lambda: gang.output().count("saved") >= 1)
    record = first_failure(gang.records())
    assert record is not None
    assert record.code == 9


def test_a_shell_passes_on_no_signal_so_its_program_gets_it_too(gang_of: Gangs, tmp_path: Path) -> None:
    program = (
        "import signal, sys, time; signal.signal(15, lambda *a: sys.exit(0)); print('up', flush=True); time.sleep(60)"
    )
    script = write(tmp_path, "wrap.sh", f'#!/bin/sh\n{sys.executable} -c "{program}"\necho after $?\n')
    gang = gang_of(nodes=1)
    gang.launch([script])
    gang.until(lambda: "up" in gang.output())
    assert gang.nodes[0].ranks.signal(signal.SIGUSR1) == 1  # ends the shell's child, which has no handler for it
    gang.until(lambda: bool(gang.ended()))


def test_ranks_are_bound_to_their_nodes_own_cores(gang_of: Gangs, tmp_path: Path) -> None:
    last = max(os.sched_getaffinity(0))
    script = write(tmp_path, "cpus.sh", "#!/bin/sh\ngrep Cpus_allowed_list /proc/self/status\n")
    gang = gang_of(nodes=2, cores=(last,), bind=True)
    assert gang.run([script]) == 0
    assert [line.split()[1] for line in gang.output()] == [str(last)] * 2


def test_a_program_that_is_not_there_is_named(gang_of: Gangs) -> None:
    gang = gang_of(nodes=1)
    gang.run(["/nonexistent/program"])
    record = first_failure(gang.records())
    assert record is not None
    assert record.code == 127
    assert "not found" in record.last_words


def test_every_ranks_stack_is_shown_though_they_are_ended_for_it(gang_of: Gangs, tmp_path: Path) -> None:
    script = write(
        tmp_path,
        "stalls.py",
        "from mpi4py import MPI\n"
        "def waits_for_its_neighbour():\n"
        "    print('up', flush=True)\n"
        "    MPI.COMM_WORLD.recv(source=1 - MPI.COMM_WORLD.rank)\n"
        "waits_for_its_neighbour()\n",
    )
    gang = gang_of(nodes=2)
    gang.launch([sys.executable, "-m", "mpi4py", script])
    gang.until(lambda: gang.output().count("up") == 2, 60.0)
    done: list[int] = []
    for node in gang.nodes:
        node.ranks.dump_stacks(lambda: done.append(1))
    gang.until(lambda: len(done) == 2)
    for node in gang.nodes:
        node.ranks.drained()
        assert any("in waits_for_its_neighbour" in text for _, text in node.log.lines)


def test_when_mpiexec_is_gone_the_roster_hears_it_from_the_agents(gang_of: Gangs, compiled: Compile) -> None:
    gang = gang_of(nodes=2)
    pid = gang.launch([compiled(ENDS), "stay", "stay"])
    gang.until(lambda: len(gang.started()) == 2)
    called = list(gang.calls)
    assert called
    os.killpg(pid, signal.SIGKILL)
    gang.until(lambda: gang.code is not None)
    for call in gang.calls.values():
        call.finish(255)
    # An agent ends by itself only if it was mpiexec's child alone; either way no call stays open.
    gang.until(lambda: all(call.finished for call in gang.calls.values()))
