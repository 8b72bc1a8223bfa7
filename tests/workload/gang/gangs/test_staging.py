"""Inputs and outputs of whole gangs, on a shared folder and on an S3 that fails (every fault: tests/workload/staging)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

SAVE = "cat input/x > output/x; echo $TUTTI_RANK > output/rank"
S3_PLACES = {"TUTTI_INPUTS": '["s3://bucket/in/x"]', "TUTTI_OUTPUTS": '["s3://bucket/out"]'}


def behind(proxy: Any) -> dict[str, str]:
    """What a node needs to find the proxy and, through it, S3."""
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    return {**keys, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}"}


def shared(folder: Path) -> str:
    (folder / "input").mkdir()
    (folder / "input/x").write_text("content", encoding="utf-8")
    return str(folder)


def test_every_node_has_the_input_and_its_outputs_go_under_its_own_name(mpich_gang: Any, tmp_path: Path) -> None:
    mpich_gang.start_all(
        2,
        ["sh", "-c", SAVE],
        TUTTI_SHARED=shared(tmp_path),
        TUTTI_INPUTS='["shared:input/x"]',
        TUTTI_OUTPUTS='["shared:output/run"]',
    )
    assert mpich_gang.codes() == [0, 0]
    for index in range(2):
        node = tmp_path / f"output/run/node-{index}"
        assert (node / "x").read_text(encoding="utf-8") == "content"
        assert (node / "rank").read_text(encoding="utf-8") == f"{index}\n"
    assert mpich_gang.events()["staged"]["bytes"] == 2 * len("content")
    assert [path for path in mpich_gang.folder.iterdir() if path.is_dir()] == []  # the nodes' scratch is empty again


def test_shared_inputs_are_moved_once_and_seen_by_all(mpich_gang: Any, tmp_path: Path) -> None:
    mpich_gang.start_all(
        2,
        ["sh", "-c", "cat input/x; test -L input"],
        TUTTI_SHARED=shared(tmp_path),
        TUTTI_INPUTS='["shared:input/x"]',
        TUTTI_INPUT_TO="shared",
    )
    assert mpich_gang.codes() == [0, 0]
    assert "[1:1] content" in mpich_gang.log(1)


def test_outputs_leave_also_after_a_failure_whose_code_is_the_jobs(mpich_gang: Any, tmp_path: Path) -> None:
    mpich_gang.start(
        0,
        1,
        ["sh", "-c", f"{SAVE}; exit 5"],
        TUTTI_SHARED=shared(tmp_path),
        TUTTI_INPUTS='["shared:input/x"]',
        TUTTI_OUTPUTS='["shared:out"]',
    )
    assert mpich_gang.codes() == [5]
    assert (tmp_path / "out/node-0/x").exists()


def test_a_missing_input_is_212_and_named_before_any_rank_runs(mpich_gang: Any, tmp_path: Path) -> None:
    mpich_gang.start_all(2, ["echo", "ran"], TUTTI_SHARED=shared(tmp_path), TUTTI_INPUTS='["shared:input/none"]')
    assert mpich_gang.codes() == [212, 0]
    assert "input/none" in mpich_gang.log()
    assert "] ran" not in mpich_gang.logs()


def test_an_s3_that_fails_for_a_while_costs_nothing(
    mpich_gang: Any, s3: Any, proxy: Any, fault: Any, keys: None
) -> None:
    s3.put_object(Bucket="bucket", Key="in/x", Body=b"content")
    faults = {"GET": fault(status=503), "PUT": fault(cut_request=True)}
    proxy.fault = lambda request: faults.get(request.method) if request.before < 2 else None
    mpich_gang.start_all(2, ["sh", "-c", SAVE], **behind(proxy), **S3_PLACES)
    assert mpich_gang.codes() == [0, 0]
    for index in range(2):
        assert s3.get_object(Bucket="bucket", Key=f"out/node-{index}/x")["Body"].read() == b"content"
    assert proxy.count("GET", "in/x") + proxy.count("PUT", "out/node-1/x") >= 4


def test_an_s3_that_takes_no_output_makes_212_and_nothing_is_lost(
    mpich_gang: Any, s3: Any, proxy: Any, fault: Any, tmp_path: Path
) -> None:
    s3.put_object(Bucket="bucket", Key="in/x", Body=b"content")
    proxy.fault = lambda request: fault(status=403) if request.method == "PUT" and "node-1" in request.path else None
    mpich_gang.start_all(2, ["sh", "-c", SAVE], TUTTI_SHARED=str(tmp_path), **behind(proxy), **S3_PLACES)
    assert mpich_gang.codes() == [212, 0]
    assert "node 1: " in mpich_gang.log()
    assert s3.get_object(Bucket="bucket", Key="out/node-0/x")["Body"].read() == b"content"
    (saved,) = tmp_path.glob("output/**/node-1/x")
    assert saved.read_text(encoding="utf-8") == "content"


def test_an_input_that_s3_has_not_is_212_and_named(mpich_gang: Any, s3: Any, proxy: Any) -> None:
    mpich_gang.start_all(2, ["echo", "ran"], **behind(proxy), **S3_PLACES)
    assert mpich_gang.codes() == [212, 0]
    assert "s3://bucket/in/x" in mpich_gang.log()
    assert "] ran" not in mpich_gang.logs()


def test_an_input_that_does_not_fit_on_a_nodes_disk_is_212_before_the_first_byte(
    mpich_gang: Any, tmp_path: Path
) -> None:
    place = shared(tmp_path)
    with (tmp_path / "input/big").open("wb") as big:
        big.truncate(shutil.disk_usage(tmp_path).free + (1 << 30))  # a hole
    mpich_gang.start_all(2, ["echo", "ran"], TUTTI_SHARED=place, TUTTI_INPUTS='["shared:input/big"]')
    assert mpich_gang.codes() == [212, 0]
    assert "must stay free" in mpich_gang.log()
    assert "] ran" not in mpich_gang.logs()


def test_an_output_that_cannot_be_moved_is_212_but_not_where_the_program_failed(
    mpich_gang: Any, tmp_path: Path
) -> None:
    place = shared(tmp_path)
    (tmp_path / "out").write_text("a file is in the way", encoding="utf-8")
    for name, code in (("done", 0), ("failed", 4)):
        mpich_gang.start(
            0,
            1,
            ["sh", "-c", f"echo x > output/x; exit {code}"],
            name=name,
            TUTTI_SHARED=place,
            TUTTI_OUTPUTS='["shared:out"]',
        )
        assert mpich_gang.until_ended(name) == (code or 212)
        assert "node 0: " in mpich_gang.log(name)


def test_a_secret_that_cannot_be_fetched_is_210_and_its_value_is_never_told(mpich_gang: Any) -> None:
    mpich_gang.start(
        0,
        1,
        ["echo", "ran"],
        TUTTI_SECRETS='{"TOKEN": "arn:aws:secretsmanager:eu-west-1:1:secret:x"}',
        AWS_ENDPOINT_URL="http://127.0.0.1:9",
        AWS_ACCESS_KEY_ID="x",
        AWS_SECRET_ACCESS_KEY="x",
        AWS_DEFAULT_REGION="eu-west-1",
        AWS_MAX_ATTEMPTS="1",
    )
    assert mpich_gang.codes() == [210]
    assert "TOKEN: cannot read arn:aws" in mpich_gang.log()


def test_ranks_run_where_the_job_says(mpich_gang: Any, tmp_path: Path) -> None:
    (tmp_path / "input").mkdir()
    for name, workdir in (("shared", "shared:input"), ("relative", "output")):
        mpich_gang.start(0, 1, ["sh", "-c", "pwd"], name=name, TUTTI_SHARED=str(tmp_path), TUTTI_WORKDIR=workdir)
        assert mpich_gang.until_ended(name) == 0
    assert f"] {tmp_path}/input" in mpich_gang.log("shared")
    assert f"] {mpich_gang.folder}/{mpich_gang.job_id}-1-0/output" in mpich_gang.log("relative")


def test_a_folder_of_the_shared_one_is_made_and_bears_the_job_s_id(mpich_gang: Any, tmp_path: Path) -> None:
    mpich_gang.start(0, 1, ["sh", "-c", "pwd"], TUTTI_SHARED=str(tmp_path), TUTTI_WORKDIR="shared:runs/job-%j")
    assert mpich_gang.until_ended() == 0
    made = tmp_path / "runs" / f"job-{mpich_gang.job_id}"
    assert f"] {made}" in mpich_gang.log()
    assert f"workdir {made} was not there: it is made" in mpich_gang.log()


def test_a_workdir_that_is_not_there_is_210_and_named(mpich_gang: Any) -> None:
    mpich_gang.start_all(2, ["echo", "ran"], TUTTI_WORKDIR="/no/such")
    assert mpich_gang.codes() == [210, 0]
    assert "workdir: /no/such is no folder on this node" in mpich_gang.log()


def test_a_run_whose_start_cannot_be_recorded_runs_and_says_so(
    mpich_gang: Any, proxy: Any, tmp_path: Path, s3: Any, keys: None
) -> None:
    mpich_gang.start_all(
        2,
        ["cat", "input/x"],
        **behind(proxy),
        TUTTI_SHARED=shared(tmp_path),
        TUTTI_INPUTS='["shared:input/x"]',
        TUTTI_RECORD="s3://no-such-bucket/runs/",
    )
    assert mpich_gang.codes() == [0, 0]
    assert "what the inputs hold was not kept for a rerun: s3://no-such-bucket/runs/" in mpich_gang.log()
    assert "not kept" not in mpich_gang.log(1)
