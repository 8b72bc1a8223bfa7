"""The Gram matrix: the plan as arithmetic, the program on real ranks."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workload.kernels.matmul import check, command, gram, npy

MpiRun = Callable[..., subprocess.CompletedProcess[str]]


# ---------------------------------------------------------------- the plan


@given(st.integers(1, 12), st.integers(0, 40))
def test_every_entry_is_computed_exactly_once_up_to_symmetry(size: int, rows: int) -> None:
    times = np.zeros((rows, rows), dtype=int)
    for rank in range(size):
        own = gram.rows_of(rank, size, rows)
        times[own.start : own.stop, own.start : own.stop] += 1  # with its mirror image
        for step in range(1, size // 2 + 1):
            task = gram.task_at(step, rank, size, rows)
            times[task.mine.start : task.mine.stop, task.theirs.start : task.theirs.stop] += 1
            times[task.theirs.start : task.theirs.stop, task.mine.start : task.mine.stop] += 1
    assert (times == 1).all()


@given(st.integers(1, 64), st.integers(1, 100))
def test_no_rank_has_more_than_its_share_of_the_work(size: int, each: int) -> None:
    rows = size * each * 2
    work = []
    for rank in range(size):
        tasks = [gram.task_at(step, rank, size, rows) for step in range(1, size // 2 + 1)]
        diagonal = len(gram.rows_of(rank, size, rows))
        work.append(diagonal * (diagonal + 1) + 2 * sum(len(one.mine) * len(one.theirs) for one in tasks))
    assert sum(work) == gram.flops(rows, 1)
    assert max(work) == min(work)


@given(st.integers(1, 50), st.integers(0, 200))
def test_rows_are_shared_out_in_order_and_evenly(size: int, rows: int) -> None:
    spans = [gram.rows_of(rank, size, rows) for rank in range(size)]
    assert [row for span in spans for row in range(span.start, span.stop)] == list(range(rows))
    assert max(map(len, spans)) - min(map(len, spans)) <= 1


@given(st.integers(0, 300), st.integers(0, 300))
@settings(max_examples=20)
def test_the_tiled_transpose_is_the_transpose(rows: int, columns: int) -> None:
    source = np.arange(rows * columns, dtype=float).reshape(rows, columns)
    target = np.empty((columns, rows))
    gram.transpose_into(target, source)
    assert np.array_equal(target, source.T)


@given(st.integers(1, 9), st.integers(0, 300))
@settings(max_examples=20)
def test_a_random_matrix_is_the_same_whoever_makes_it(size: int, rows: int) -> None:
    dtype = np.dtype(np.float64)
    whole = command.random_rows(7, gram.Span(start=0, stop=rows), (rows, 3), dtype)
    parts = [command.random_rows(7, gram.rows_of(rank, size, rows), (rows, 3), dtype) for rank in range(size)]
    assert np.array_equal(np.vstack(parts), whole)


# ---------------------------------------------------------------- the check


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(values=st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=60))
def test_the_bound_holds_for_numpys_product_and_not_for_a_wrong_one(dtype: type, values: list[float]) -> None:
    left: gram.Matrix = np.array(values, dtype=dtype)
    right = left[::-1].copy()
    exact = sum(Fraction(float(a)) * Fraction(float(b)) for a, b in zip(left, right, strict=True))
    bound = check.error_bound(left, right)
    assert abs(Fraction(float(left @ right)) - exact) <= Fraction(bound)
    direct = check.direct_product(left, right)
    right_one = check.Entry(row=0, column=0, got=float(left @ right), direct=direct, bound=bound)
    assert right_one.is_right
    wrong = math.nextafter(direct + 2 * bound, math.inf)
    assert not check.Entry(row=0, column=0, got=wrong, direct=direct, bound=bound).is_right
    assert not check.Entry(row=0, column=0, got=math.nan, direct=direct, bound=bound).is_right


def test_a_wrong_entry_is_named() -> None:
    entry = check.Entry(row=3, column=4, got=2.0, direct=1.0, bound=1e-9)
    with pytest.raises(ValueError, match=r"wrong result: G\[3, 4\] is 2.0, the direct dot product 1.0"):
        command.worst_of([entry])


# ---------------------------------------------------------------- the program


@pytest.mark.parametrize(
    ("ranks", "shape", "dtype", "order"),
    [
        (1, (5, 3), "<f8", "C"),
        (2, (101, 37), "<f4", "C"),
        (3, (64, 200), "<f8", "F"),
        (4, (103, 51), ">f8", "C"),
        (4, (2, 9), "<f8", "C"),
        (3, (7, 0), "<f8", "C"),
        (2, (0, 7), "<f8", "C"),
        (3, (10, 1), ">f4", "F"),
    ],
)
def test_the_file_is_numpys_product(
    workload_run: MpiRun, tmp_path: Path, ranks: int, shape: tuple[int, int], dtype: str, order: str
) -> None:
    a = np.asarray(np.random.default_rng(1).standard_normal(shape), dtype=dtype, order="F" if order == "F" else "C")
    np.save(tmp_path / "a.npy", a)
    run = workload_run(
        ranks, "matmul", "--input", "shared:a.npy", "--output", "shared:out/g.npy", "--json", "shared:r.json",
        env={"TUTTI_SHARED": str(tmp_path)},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    product = np.load(tmp_path / "out" / "g.npy")
    assert product.dtype == np.dtype(dtype).newbyteorder("=")
    wide = a.astype(np.float64)
    expected = wide @ wide.T
    np.testing.assert_allclose(product, expected, rtol=0, atol=1e-4 if "4" in dtype else 1e-12)
    assert np.array_equal(product, product.T)
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["sum"] == pytest.approx(expected.sum(), abs=1e-3 if "4" in dtype else 1e-9)
    assert report["worst"] < 1
    assert report["checked"] > 0 or shape[0] == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["g.npy"]


def test_it_computes_again_until_the_time_is_up_on_every_rank(workload_run: MpiRun) -> None:
    run = workload_run(3, "matmul", "--intensity", "low", "--seconds", "0.3", "--json", "-")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1])["products"] > 1
    refused = workload_run(1, "matmul", "--seconds", "-1")
    assert refused.returncode == 2
    assert "seconds are needed, 0 or more" in refused.stderr


def test_ranks_that_do_not_see_rank_0s_folder_send_their_rows(mpirun: MpiRun, tmp_path: Path) -> None:
    a = np.random.default_rng(2).standard_normal((50, 8))
    np.save(tmp_path / "a.npy", a)
    # Each rank in a folder of its own, but for rank 2, which shares rank 0's: as on nodes with scratch of their own.
    program = f"""
import os, sys
from pathlib import Path
from mpi4py import MPI
from workload.kernels.matmul import command, npy
npy.RELAY_BYTES = 900
rank = MPI.COMM_WORLD.rank
folder = Path({str(tmp_path)!r}, "node-0" if rank == 2 else f"node-{{rank}}")
folder.mkdir(exist_ok=True)
os.chdir(folder)
write = npy.write_rows
def write_and_say(*arguments):
    wrote = write(*arguments)
    if rank == 0:
        print("by themselves:", wrote)
command.write_rows = write_and_say
sys.exit(command.main(["--input", {str(tmp_path / "a.npy")!r}, "--output", "output/g.npy"], MPI.COMM_WORLD))
"""
    run = mpirun(4, sys.executable, "-m", "mpi4py", "-c", program)
    assert run.returncode == 0, run.stderr
    assert "by themselves: 2\n" in run.stdout
    np.testing.assert_allclose(np.load(tmp_path / "node-0" / "output" / "g.npy"), a @ a.T, atol=1e-12)
    assert not list(tmp_path.glob("node-[13]/output/*"))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.write_text("no numbers"), "not a whole .npy file"),
        (lambda path: np.save(path, np.zeros(3)), r"got shape (3,), float64; needed: 2 dimensions"),
        (lambda path: np.save(path, np.zeros((3, 3), dtype=int)), "int64; needed: 2 dimensions of float32 or float64"),
        (lambda path: path.write_bytes(npy.header(9, 9, np.dtype(float)) + b"\0" * 640), "not a whole .npy"),
        (lambda path: None, "No such file"),
    ],
    ids=["text", "1-D", "integers", "cut short", "missing"],
)
def test_an_input_that_is_none_is_refused_by_every_rank(
    workload_run: MpiRun, tmp_path: Path, make: Callable[[Path], object], said: str
) -> None:
    make(tmp_path / "a.npy")
    run = workload_run(2, "matmul", "--input", tmp_path / "a.npy", "--output", tmp_path / "g.npy")
    assert run.returncode != 0
    assert said in run.stderr
    assert not (tmp_path / "g.npy").exists()


def test_an_output_that_cannot_be_written_is_said_and_leaves_nothing(workload_run: MpiRun, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    run = workload_run(2, "matmul", "--output", tmp_path / "file" / "g.npy")
    assert run.returncode != 0
    assert "Errno" in run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_seed_gives_the_same_matrix_to_any_number_of_ranks(workload_run: MpiRun, tmp_path: Path) -> None:
    for ranks in (1, 3):
        run = workload_run(ranks, "matmul", "--seed", "5", "--dtype", "float32", "--output", tmp_path / f"{ranks}.npy")
        assert run.returncode == 0, run.stderr
        assert "GFLOP/s" in run.stdout
    one, three = np.load(tmp_path / "1.npy"), np.load(tmp_path / "3.npy")
    assert one.shape == (command.INTENSITIES["low"],) * 2
    np.testing.assert_allclose(one, three, rtol=1e-4, atol=1e-3)


def test_folders_that_a_definition_names_are_enough(workload_run: MpiRun, tmp_path: Path) -> None:
    """The command of `mpi-parameterized`, with its defaults, where the shared folder is not /mnt/efs."""
    folders = ("--input", "/mnt/efs/input", "--output", "/mnt/efs/output", "--intensity", "low")
    for name in ("input", "output"):
        (tmp_path / name).mkdir()
    shared = {"TUTTI_SHARED": str(tmp_path)}
    empty = workload_run(2, "matmul", *folders, env=shared)
    assert empty.returncode == 0, empty.stderr
    assert "random, seed 0" in empty.stdout
    assert np.load(tmp_path / "output" / "gram.npy").shape == (512, 512)
    np.save(tmp_path / "input" / "a.npy", np.ones((3, 2)))
    one = workload_run(2, "matmul", *folders, env=shared)
    assert "3 x 2 float64" in one.stdout
    assert (np.load(tmp_path / "output" / "gram.npy") == 2).all()
    np.save(tmp_path / "input" / "b.npy", np.ones((3, 2)))
    several = workload_run(2, "matmul", *folders, env=shared)
    assert several.returncode != 0
    assert "2 .npy files are there (a.npy, b.npy" in several.stderr


def test_a_header_is_numpys_own(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(npy.header(2, 3, np.dtype(np.float32)) + b"\0" * 24)
    assert np.load(tmp_path / "a.npy").shape == (2, 3)
