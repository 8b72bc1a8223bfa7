"""Inputs and outputs of whole gangs, on a shared folder (what S3 does to them: tests/workload/staging)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SAVE = "cat input/x > output/x; echo $TUTTI_RANK > output/rank"


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


def test_a_workdir_that_is_not_there_is_210_and_named(mpich_gang: Any) -> None:
    mpich_gang.start_all(2, ["echo", "ran"], TUTTI_WORKDIR="/no/such")
    assert mpich_gang.codes() == [210, 0]
    assert "workdir: /no/such is no folder on this node" in mpich_gang.log()
