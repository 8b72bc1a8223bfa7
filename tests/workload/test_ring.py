"""The ring, in Python and in C."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workload.kernels import ring

MpiRun = Callable[..., subprocess.CompletedProcess[str]]
SAID = re.compile(r"ring: (\d+) ranks on (\d+) hosts?, (\d+) laps: number (\d+), sum of ranks (\d+), ([\d.]+) us a hop")
ROOT = Path(__file__).parents[2]


@given(st.integers(1, 2000))
def test_every_neighbour_is_in_one_pair_with_each_side(size: int) -> None:
    pairs = ring.neighbour_pairs(size)
    assert len({frozenset(pair) for pair in pairs}) == len(pairs)
    assert {frozenset(pair) for pair in pairs} == {
        frozenset((rank, (rank + 1) % size)) for rank in range(size) if size > 1
    }


@given(st.floats(min_value=0, allow_nan=False, allow_infinity=False))
def test_round_trips_stay_within_their_bounds(seconds: float) -> None:
    assert ring.FEWEST <= ring.trips_for(seconds) <= ring.MOST


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_the_number_comes_back_with_one_added_for_each_rank_and_lap(workload_run: MpiRun, ranks: int) -> None:
    run = workload_run(ranks, "ring", "--laps", "3")
    assert run.returncode == 0, run.stderr
    said = SAID.fullmatch(run.stdout.strip())
    assert said is not None, run.stdout
    assert [int(said[i]) for i in (1, 2, 3, 4, 5)] == [ranks, 1, 3, 3 * ranks, ranks * (ranks - 1) // 2]


def test_the_sweep_measures_every_pair_at_every_size(workload_run: MpiRun, tmp_path: Path) -> None:
    run = workload_run(3, "ring", "--sweep", "--json", "shared:ring.json", env={"TUTTI_SHARED": str(tmp_path)})
    assert run.returncode == 0, run.stderr
    found = json.loads((tmp_path / "ring.json").read_text())
    assert {(one["left"], one["right"], one["bytes"]) for one in found["pairs"]} == {
        (left, right, size) for left, right in [(0, 1), (1, 2), (2, 0)] for size in ring.SIZES
    }
    for one in found["pairs"]:
        assert one["gb_per_s"] == pytest.approx(one["bytes"] / one["latency_us"] / 1e3)
    for row in ("0 -    1", "1 -    2", "2 -    0", "4194304"):
        assert row in run.stdout


def test_many_pairs_are_shown_by_size_with_the_slowest_named() -> None:
    found = [
        ring.Measurement(left=left, right=left + 1, bytes=size, latency_us=99.0 if left == 7 else 1.0, gb_per_s=1.0)
        for left in range(40)
        for size in ring.SIZES
    ]
    rows = ring.table(found).splitlines()
    assert len(rows) == 1 + len(ring.SIZES)
    assert all("7 -   8" in row for row in rows[1:])
    assert max(map(len, rows)) <= 80


def test_one_rank_has_nothing_to_measure(workload_run: MpiRun) -> None:
    run = workload_run(1, "ring", "--sweep")
    assert run.returncode == 0, run.stderr
    assert "nothing to measure" in run.stdout


def test_a_wrong_option_is_said_once_and_ends_all_ranks_with_2(workload_run: MpiRun) -> None:
    run = workload_run(3, "ring", "--laps", "0")
    assert run.returncode == 2
    assert run.stderr.count("at least 1 is needed") == 1


def test_the_ring_imports_no_numpy() -> None:
    probe = "import sys, workload.kernels.ring; print('numpy' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.strip() == "False"


def test_the_ring_in_c_says_the_same(mpirun: MpiRun, compile_c: Callable[[Path], Path]) -> None:
    program = compile_c(ROOT / "examples" / "hello" / "ring.c")
    for ranks in (1, 3):
        run = mpirun(ranks, program, "--laps", "5", "--sweep")
        assert run.returncode == 0, run.stderr
        said = SAID.fullmatch(run.stdout.splitlines()[0])
        assert said is not None, run.stdout
        assert [int(said[i]) for i in (1, 2, 3, 4, 5)] == [ranks, 1, 5, 5 * ranks, ranks * (ranks - 1) // 2]
        pairs = 3 if ranks == 3 else 0
        assert len(run.stdout.splitlines()) == 2 + pairs * len(ring.SIZES)
    wrong = mpirun(2, program, "--laps", "5x")
    assert wrong.returncode == 2
    assert wrong.stderr.count("usage:") == 1
