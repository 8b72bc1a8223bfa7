"""SIGTERM anywhere is one stop for the whole gang; ranks may use their whole grace."""

from __future__ import annotations

import re
import signal
import time
from typing import Any

import pytest


@pytest.mark.parametrize("node", [0, 1])
def test_sigterm_on_one_node_reaches_every_rank_which_may_save_and_is_224(gang: Any, victim: str, node: int) -> None:
    gang.start_all(2, [victim, "0", "catch", "1000", "0", "1", "catch", "1000", "0"])
    for index in range(2):
        gang.until_said("in", index)
    gang.nodes[str(node)].terminate()
    assert gang.codes() == [224, 0]
    for index in range(2):
        assert f"[{index}:{index}] heard {signal.SIGTERM.value}" in gang.log(index)
        assert f"[{index}:{index}] saved" in gang.log(index)
    assert gang.events()["stopping"]["code"] == 224
    assert f"SIGTERM on node {node}" in gang.log()


def test_sigterm_on_all_nodes_is_still_one_stop(mpich_gang: Any) -> None:
    mpich_gang.start_all(
        3, ["sh", "-c", "trap 'sleep 1; echo saved; exit 0' TERM; echo in; while :; do sleep 0.05; done"]
    )
    for index in range(3):
        mpich_gang.until_said("] in", index)
    for index in (2, 0, 1):
        mpich_gang.nodes[str(index)].terminate()
    assert mpich_gang.codes() == [224, 0, 0]
    assert all("saved" in mpich_gang.log(index) for index in range(3))
    assert mpich_gang.log().count('"event":"stopping"') == 1


def test_a_rank_that_ignores_sigterm_is_killed_after_the_grace(gang: Any, victim: str) -> None:
    gang.start_all(2, [victim, "1", "ignore", "0", "0"], TUTTI_GRACE="2")
    gang.until_said("in", 1)
    begun = time.monotonic()
    gang.nodes["1"].terminate()
    assert gang.codes() == [224, 0]
    assert 2 <= time.monotonic() - begun < 8
    assert "SIGKILL to what still runs: rank 1" in gang.log()


def test_a_child_that_got_sigterm_goes_on_beating_until_main_says_end(mpich_gang: Any) -> None:
    work = "trap 'sleep 3.5; echo saved; exit 0' TERM; echo in; while :; do sleep 0.05; done"
    mpich_gang.start_all(2, ["sh", "-c", work], TUTTI_NODE_SILENCE="3")
    mpich_gang.until_said("] in", 1)
    mpich_gang.nodes["1"].terminate()
    assert mpich_gang.codes() == [224, 0]
    assert "saved" in mpich_gang.log(1)
    assert "lost" not in mpich_gang.events()


@pytest.mark.parametrize("node", [0, 1])
def test_sigterm_before_all_are_in_ends_the_gang_at_once(mpich_gang: Any, node: int) -> None:
    mpich_gang.start(0, 3, ["hostname"])
    mpich_gang.start(1, 3, ["hostname"])
    mpich_gang.until_said("node 1 is in")
    mpich_gang.nodes[str(node)].terminate()
    assert mpich_gang.codes() == [224, 0]


def test_sigterm_to_a_node_that_nobody_takes_in(mpich_gang: Any) -> None:
    mpich_gang.start(1, 2, ["hostname"])
    mpich_gang.until_said("started", 1)
    mpich_gang.nodes["1"].terminate()
    assert mpich_gang.codes() == [224]


def test_sigterm_in_the_first_moment_is_not_lost(mpich_gang: Any) -> None:
    blocked = "import signal, sys; from workload import entrypoint; signal.pthread_sigmask(signal.SIG_BLOCK, {15}); signal.raise_signal(15); sys.exit(entrypoint.main())"
    import sys

    mpich_gang.start(0, 1, ["sleep", "60"], command=[sys.executable, "-c", blocked])
    assert mpich_gang.codes() == [224]


def test_signal_before_asks_the_ranks_ahead_of_the_timeout_and_nothing_more(mpich_gang: Any) -> None:
    work = "trap 'echo asked; exit 5' TERM; echo in; while :; do sleep 0.05; done"
    mpich_gang.start_all(2, ["sh", "-c", work], TUTTI_TIMEOUT="60", TUTTI_SIGNAL_BEFORE="59")
    assert mpich_gang.codes() == [5, 0]
    assert "asked" in mpich_gang.log(1)
    assert "stopping" not in mpich_gang.events()


def test_a_stall_shows_every_ranks_stack_and_is_214(gang: Any) -> None:
    program = "from mpi4py import MPI; import time; MPI.COMM_WORLD.barrier(); print('in')\ndef stuck(): time.sleep(100)\nstuck()"
    gang.start_all(2, ["python", "-m", "mpi4py", "-c", program], TUTTI_HANG_AFTER="1")
    assert gang.codes() == [214, 0]
    for index in range(2):
        assert f'[{index}:{index}]   File "<string>", line 2 in stuck' in gang.log(index)
    assert "no progress for" in gang.log()


def test_a_stall_of_a_c_program_shows_where_every_rank_waits_in_the_kernel(gang: Any, victim: str) -> None:
    gang.start_all(2, [victim], TUTTI_HANG_AFTER="1")
    assert gang.codes() == [214, 0]
    for index in range(2):
        shown = re.search(
            rf"\[{index}:{index}\] process \d+ \(victim\) thread \d+: state S, waits in \w*nanosleep", gang.log(index)
        )
        assert shown, gang.log(index)


def test_lines_are_progress(mpich_gang: Any) -> None:
    mpich_gang.start_all(1, ["sh", "-c", "for i in 1 2 3 4 5 6; do sleep 0.5; echo $i; done"], TUTTI_HANG_AFTER="2")
    assert mpich_gang.codes() == [0]
