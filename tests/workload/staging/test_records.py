"""What a run says of its inputs when it stages them: the same words whoever looked, and no run fails for them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from workload import contents, staging
from workload.gang.chores import Chores
from workload.staging import records
from workload.staging.places import SharedPlace

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


def place(path: Path) -> SharedPlace:
    return SharedPlace(uri="shared:input/x", path=str(path))


def filled(folder: Path, names: str = "cab") -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text(name)
    return folder


def test_inputs_are_told_alike_to_a_node_and_to_the_shared_folder(s3: S3Client, shared: Path, tmp_path: Path) -> None:
    filled(shared / "input" / "x")
    for key in ("in/b", "in/a"):
        s3.put_object(Bucket="bucket", Key=key, Body=b"12")
    uris = ["s3://bucket/in/", "shared:input/x"]
    told: list[Any] = []
    staging.stage_to_node(uris, into=tmp_path / "in", shared=shared, s3=lambda: s3, seen=told.append)
    staging.stage_to_shared(uris, view=tmp_path / "view", shared=shared, s3=lambda: s3, seen=told.append)
    assert told[0] == told[1]
    found = told[0]["s3://bucket/in/"]
    assert (found["count"], found["bytes"], list(found["objects"])) == (2, 4, ["in/a", "in/b"])
    assert list(told[0]["shared:input/x"]["objects"]) == ["a", "b", "c"]


def test_a_missing_input_is_told_as_nothing_before_it_ends_the_run(shared: Path, tmp_path: Path) -> None:
    told: list[Any] = []
    with pytest.raises(staging.StagingError, match="nothing is there"):
        staging.stage_to_node(["shared:input/x"], into=tmp_path / "in", shared=shared, seen=told.append)
    assert [found["shared:input/x"]["count"] for found in told] == [0]


def test_another_size_or_time_is_another_digest_and_no_change_is_none(tmp_path: Path) -> None:
    folder = filled(tmp_path / "x")
    before = records.of_shared(place(folder), folder)
    assert records.of_shared(place(folder), folder) == before
    (folder / "a").write_text("A")
    after = records.of_shared(place(folder), folder)
    assert (after["bytes"], after["digest"] == before["digest"]) == (before["bytes"], False)
    assert [name for name in "abc" if after["objects"][name] != before["objects"][name]] == ["a"]


def test_a_huge_folder_is_looked_at_in_part_and_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = filled(tmp_path / "x", "abcdef")
    monkeypatch.setattr(records, "MOST_LISTED", 4)
    monkeypatch.setattr(contents, "MOST_LISTED", 4)
    found = records.of_shared(place(folder), folder)
    assert (found["all"], found["count"], found["objects"]) == (False, 4, {})


def test_a_record_lies_where_it_was_asked_for(s3: S3Client) -> None:
    assert staging.write_record("s3://bucket/runs/1.start.json", {"attempt": 1}, s3=lambda: s3) is None
    body = s3.get_object(Bucket="bucket", Key="runs/1.start.json")["Body"].read()
    assert json.loads(body) == {"attempt": 1}


def test_a_record_that_cannot_be_written_is_a_reason_and_no_error(s3: S3Client) -> None:
    why = staging.write_record("s3://no-such-bucket/runs/1.start.json", {}, s3=lambda: s3)
    assert "there is no such object or bucket" in (why or "")


@pytest.mark.parametrize(
    ("job_id", "is_main", "wanted"),
    [
        ("job", True, "s3://b/runs/job.start.json"),
        ("job", False, ""),
        ("job:0", True, "s3://b/runs/job.start.json"),
        ("job:1", True, ""),
    ],
)
def test_one_node_alone_writes_it(job_id: str, is_main: bool, wanted: str) -> None:
    settings = SimpleNamespace(record="s3://b/runs/", schedule="")
    job: Any = SimpleNamespace(node=SimpleNamespace(job_id=job_id, is_main=is_main), settings=settings)
    nobody: Any = None
    assert Chores(nobody, job, nobody)._record_to == wanted
