"""Moments of a normal sample: exact arithmetic, real ranks, array jobs, files and S3."""

import json
import math
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workload.kernels.montecarlo.moments import BLOCK_ROWS, Moments, Sample, exact, from_text, part, to_text
from workload.kernels.montecarlo.results import Result, Share, merge, read, write

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

MpiRun = Callable[..., subprocess.CompletedProcess[str]]
finite = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(finite, max_size=20))
def test_sums_are_exact_and_survive_being_written(values: list[float]) -> None:
    total = sum(map(exact, values))
    assert Fraction(total, 1 << 1074) == sum(map(Fraction, values))
    assert from_text(to_text(total)) == total


@pytest.mark.parametrize("text", ["", "0x1", "p3", "zp3", "0x1p-1075", "0x1pz"])
def test_text_that_is_no_exact_sum_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no exact sum|invalid literal"):
        from_text(text)


@given(st.lists(st.lists(finite.filter(lambda x: abs(x) < 1e150), min_size=2, max_size=2), min_size=1, max_size=30))
def test_the_moments_are_those_of_numpy_in_exact_arithmetic(rows: list[list[float]]) -> None:
    blocks = [Moments.of(np.array([row])) for row in rows]
    moments = sum(blocks, start=Moments.none(2))
    columns = list(zip(*rows, strict=True))
    assert moments.count == len(rows)
    assert moments.mean == [float(sum(map(Fraction, column)) / len(rows)) for column in columns]
    assert moments.least == tuple(map(min, columns))
    assert moments.greatest == tuple(map(max, columns))
    assert all(std >= 0 for std in moments.std)


def test_the_statistics_are_those_of_the_sample() -> None:
    sample = Sample(iterations=5000, columns=3, seed=1)
    moments = sample.moments(range(sample.blocks))
    rows = np.vstack([sample.block(number) for number in range(sample.blocks)])
    assert rows.shape == (5000, 3)
    np.testing.assert_allclose(moments.mean, rows.mean(axis=0), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(moments.std, rows.std(axis=0), rtol=1e-12)
    assert moments.least == tuple(rows.min(axis=0))
    assert moments.greatest == tuple(rows.max(axis=0))
    # Normal with mean 0 and deviation 1: five standard errors.
    assert np.abs(moments.mean).max() < 5 / math.sqrt(5000)
    assert np.abs(np.array(moments.std) - 1).max() < 5 / math.sqrt(2 * 5000)
    assert len(np.unique(rows)) == rows.size, "no number comes twice: blocks do not overlap"


@given(st.integers(1, 4 * BLOCK_ROWS), st.integers(1, 9), st.integers(1, 6), st.randoms())
@settings(max_examples=25, deadline=None)
def test_no_sharing_out_changes_a_bit(iterations: int, shares: int, ranks: int, shuffled: Any) -> None:
    sample = Sample(iterations=iterations, columns=2, seed=3)
    whole = range(sample.blocks)
    parts = [part(part(whole, i, shares), r, ranks) for i in range(shares) for r in range(ranks)]
    assert [block for one in parts for block in one] == list(whole)
    shuffled.shuffle(parts)
    assert sum(map(sample.moments, parts), start=Moments.none(2)) == sample.moments(whole)


def run_array(workload_run: MpiRun, folder: Path, size: int, *options: str) -> None:
    for index in range(size):
        batch = {
            "AWS_BATCH_JOB_ID": f"job-1:{index}",
            "AWS_BATCH_JOB_ARRAY_INDEX": str(index),
            "AWS_BATCH_JOB_ARRAY_SIZE": str(size),
        }
        run = workload_run(1 + index % 2, "montecarlo", *options, "--output", f"{folder}/", env=batch)
        assert run.returncode == 0, run.stderr


def test_any_number_of_ranks_and_an_array_give_the_same_file(workload_run: MpiRun, tmp_path: Path) -> None:
    options = ("--iterations", "10000", "--columns", "4", "--seed", "9")
    for ranks in (1, 2, 3):
        run = workload_run(
            ranks, "montecarlo", *options, "--output", f"shared:{ranks}/",
            env={"AWS_BATCH_JOB_ID": "job-1#0", "TUTTI_SHARED": str(tmp_path)},
        )  # fmt: skip
        assert run.returncode == 0, run.stderr
    one = (tmp_path / "1" / "results" / "job-1.json").read_bytes()
    assert one == (tmp_path / "2" / "results" / "job-1.json").read_bytes()
    assert one == (tmp_path / "3" / "results" / "job-1.json").read_bytes()
    run_array(workload_run, tmp_path / "array", 3, *options)
    names = sorted(path.name for path in (tmp_path / "array" / "results").iterdir())
    assert names == ["job-1-0.json", "job-1-1.json", "job-1-2.json"]
    merged = workload_run(2, "montecarlo", "--merge", tmp_path / "array" / "results", "--output", tmp_path / "m.json")
    assert merged.returncode == 0, merged.stderr
    assert (tmp_path / "m.json").read_bytes() == one
    (tmp_path / "array" / "results" / "job-1-1.json").unlink()
    failed = workload_run(1, "montecarlo", "--merge", tmp_path / "array" / "results")
    assert failed.returncode != 0
    assert "share 1 of 3 missing" in failed.stderr


def test_without_a_place_the_result_is_on_standard_output(workload_run: MpiRun) -> None:
    run = workload_run(2, "montecarlo", "--iterations", "3000", "--columns", "1")
    found = json.loads(run.stdout)
    assert (found["iterations"], found["job_id"], found["index"]) == (3000, "local", None)


def test_a_share_without_rows_is_said_and_merged_as_well(tmp_path: Path) -> None:
    sample = Sample(iterations=100, columns=2, seed=0)
    shares = [Share(job_id="j", index=i, size=3) for i in range(3)]
    for share in shares:
        write(Result(sample=sample, share=share, moments=sample.moments(share.blocks(sample))), f"{tmp_path}/")
    empty = json.loads((tmp_path / "results" / "j-0.json").read_text())
    assert (empty["iterations"], empty["mean"]) == (0, None)
    assert merge(read(str(tmp_path / "results"))).moments == sample.moments(range(1))


def result(index: int, *, size: int = 2, seed: int = 0, job_id: str = "j") -> Result:
    sample = Sample(iterations=5000, columns=1, seed=seed)
    share = Share(job_id=job_id, index=index, size=size)
    return Result(sample=sample, share=share, moments=sample.moments(share.blocks(sample)))


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ([], "no results to merge"),
        ([result(0), result(1, seed=1)], "2 different jobs or samples"),
        ([result(0), result(1, job_id="k")], "2 different jobs or samples"),
        ([result(0), result(0), result(1)], "share 0 there more than once"),
        ([result(1)], "share 0 of 2 missing"),
        ([result(0), Result(sample=result(1).sample, share=result(1).share, moments=Moments.none(1))], "has 0 rows"),
    ],
    ids=["none", "seed", "job", "twice", "missing", "rows"],
)
def test_what_is_not_one_jobs_shares_is_not_merged(shares: list[Result], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        merge(shares)


@pytest.mark.parametrize(
    ("environ", "share"),
    [
        ({}, Share(job_id="local", index=None, size=1)),
        ({"AWS_BATCH_JOB_ID": "a#3"}, Share(job_id="a", index=None, size=1)),
        (
            {"AWS_BATCH_JOB_ID": "a:7", "AWS_BATCH_JOB_ARRAY_INDEX": "7", "AWS_BATCH_JOB_ARRAY_SIZE": "8"},
            Share(job_id="a", index=7, size=8),
        ),
    ],
)
def test_a_share_is_read_from_batchs_variables(environ: dict[str, str], share: Share) -> None:
    assert Share.from_environment(environ) == share


@pytest.mark.parametrize("size", [None, "0", "7", "x"])
def test_variables_that_contradict_each_other_are_refused(size: str | None) -> None:
    environ = {"AWS_BATCH_JOB_ARRAY_INDEX": "7"} | ({} if size is None else {"AWS_BATCH_JOB_ARRAY_SIZE": size})
    with pytest.raises(ValueError, match="an index from 0 to below it"):
        Share.from_environment(environ)


@pytest.mark.parametrize("text", ["{}", "[]", "no json", '{"format": 1, "block_rows": 1024}'])
def test_a_file_that_is_no_result_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match=r"x\.json"):
        read(str(tmp_path))


def test_results_go_to_s3_and_are_merged_from_there(workload_run: MpiRun, s3: "S3Client", moto_port: int) -> None:
    endpoint = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{moto_port}"}
    for index in range(2):
        batch = {"AWS_BATCH_JOB_ID": "a", "AWS_BATCH_JOB_ARRAY_INDEX": str(index), "AWS_BATCH_JOB_ARRAY_SIZE": "2"}
        run = workload_run(
            2, "montecarlo", "--iterations", "5000", "--output", "s3://bucket/mc/", env={**endpoint, **batch}
        )
        assert run.returncode == 0, run.stderr
        assert f"s3://bucket/mc/results/a-{index}.json" in run.stdout
    one = workload_run(1, "montecarlo", "--iterations", "5000", env={"AWS_BATCH_JOB_ID": "a"})
    merged = workload_run(1, "montecarlo", "--merge", "s3://bucket/mc/results/", env=endpoint)
    assert merged.stdout == one.stdout
