"""Outputs, to a real S3 API through a proxy that fails on demand, and to a shared folder."""

import hashlib
import os
import random
import socket
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from workload import staging
from workload.staging import places
from workload.staging.places import EXECUTABLE

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

MIB = 1 << 20


@pytest.fixture
def output(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch" / "job" / "output"
    (folder / "steps").mkdir(parents=True)
    (folder / "result.npy").write_bytes(random.Random(1).randbytes(MIB + 5))
    (folder / "steps" / "1.txt").write_text("one")
    (folder / "empty").write_text("")
    return folder


FILES = {"result.npy", "steps/1.txt", "empty"}


def objects(client: "S3Client") -> dict[str, bytes]:
    found = client.list_objects_v2(Bucket="bucket").get("Contents", [])
    return {one["Key"]: client.get_object(Bucket="bucket", Key=one["Key"])["Body"].read() for one in found}


def expected(folder: Path, below: str) -> dict[str, bytes]:
    return {f"{below}{path.relative_to(folder)}": path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("uri", "below"), [("s3://bucket/r", "r/"), ("s3://bucket/r/", "r/"), ("s3://bucket", "")])
def test_outputs_of_a_node_lie_under_its_own_name(
    s3: "S3Client", through: Any, shared: Path, output: Path, uri: str, below: str
) -> None:
    moved = staging.upload_outputs([uri], folder=output, node=3, shared=shared, rescue=None, s3=through)
    assert objects(s3) == expected(output, f"{below}node-3/")
    assert (moved.files, moved.bytes) == (3, MIB + 8)


def test_a_program_among_the_outputs_is_known_as_one(s3: "S3Client", tmp_path: Path) -> None:
    (tmp_path / "solver").write_bytes(b"ELF")
    (tmp_path / "solver").chmod(0o755)
    (tmp_path / "notes").write_bytes(b"1")
    staging.upload_outputs(["s3://bucket/o/"], folder=tmp_path, node=0, shared=None, rescue=None, s3=lambda: s3)
    assert s3.head_object(Bucket="bucket", Key="o/node-0/solver")["Metadata"] == {EXECUTABLE: "1"}
    assert s3.head_object(Bucket="bucket", Key="o/node-0/notes")["Metadata"] == {}


def test_each_place_gets_everything(s3: "S3Client", through: Any, shared: Path, output: Path) -> None:
    places_ = ["s3://bucket/r", "shared:output/r"]
    moved = staging.upload_outputs(places_, folder=output, node=0, shared=shared, rescue=None, s3=through)
    assert objects(s3) == expected(output, "r/node-0/")
    assert expected(shared / "output", "") == expected(output, "r/node-0/")
    assert moved.files == moved.of_files == 6
    assert moved.bytes == moved.of_bytes


def test_big_files_go_in_parts_and_are_whole(
    s3: "S3Client", through: Any, proxy: Any, shared: Path, output: Path
) -> None:
    data = random.Random(2).randbytes(2 * places.PART_BYTES + 3)
    (output / "big").write_bytes(data)
    staging.upload_outputs(["s3://bucket/r"], folder=output, node=0, shared=shared, rescue=None, s3=through)
    head = s3.head_object(Bucket="bucket", Key="r/node-0/big")
    assert head["ETag"].strip('"').endswith("-3")
    assert hashlib.sha256(objects(s3)["r/node-0/big"]).digest() == hashlib.sha256(data).digest()
    assert proxy.count("PUT", "partNumber=") == 3


def test_a_folder_that_was_never_made_is_no_failure(tmp_path: Path) -> None:
    def refuse() -> Any:
        raise AssertionError("asked for a client")

    moved = staging.upload_outputs(
        ["s3://bucket/r"], folder=tmp_path / "none", node=0, shared=None, rescue=None, s3=refuse
    )
    assert moved == staging.Moved()


@pytest.mark.parametrize(
    "kind",
    [
        {"status": 500},
        {"status": 503},
        {"cut_request": True},
        {"lose_answer": True},
        {"cut_after": 0},
        {"damage_request_at": 0},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_faults_that_pass_are_survived(
    s3: "S3Client",
    through: Any,
    proxy: Any,
    fault: Any,
    shared: Path,
    output: Path,
    hasty: staging.Limits,
    kind: dict[str, Any],
    method: str,
) -> None:
    (output / "big").write_bytes(b"." * (places.PART_BYTES + 1))
    proxy.times(2, fault(**kind), method=method, holds="big" if method == "POST" else "")
    moved = staging.upload_outputs(
        ["s3://bucket/r"], folder=output, node=0, shared=shared, rescue=None, s3=through, limits=hasty
    )
    assert objects(s3) == expected(output, "r/node-0/")
    assert moved.bytes == moved.of_bytes, "what was moved twice counts once"


def test_what_could_not_be_uploaded_is_on_the_shared_folder_and_the_rest_on_s3(
    s3: "S3Client", through: Any, proxy: Any, fault: Any, shared: Path, output: Path, hasty: staging.Limits
) -> None:
    (output / "big").write_bytes(b"." * (places.PART_BYTES + 1))
    proxy.fault = lambda request: (
        fault(status=503) if request.method == "PUT" and ("result" in request.path or "big" in request.path) else None
    )
    rescue = shared / "output" / "job" / "node-2"
    with pytest.raises(staging.StagingError) as error:
        staging.upload_outputs(
            ["s3://bucket/r"], folder=output, node=2, shared=shared, rescue=rescue, s3=through, limits=hasty
        )
    assert "result.npy was not brought to s3://bucket/r" in str(error.value)
    assert f"nothing is lost: 2 files were saved on the shared folder, in {rescue}" in str(error.value)
    assert set(objects(s3)) == {"r/node-2/steps/1.txt", "r/node-2/empty"}
    assert expected(rescue, "") == {name: (output / name).read_bytes() for name in ("result.npy", "big")}
    assert not s3.list_multipart_uploads(Bucket="bucket").get("Uploads"), "no half upload is left to be paid for"


def test_outputs_that_lie_on_the_shared_folder_stay_there(
    s3: "S3Client", through: Any, proxy: Any, fault: Any, shared: Path, output: Path, hasty: staging.Limits
) -> None:
    there = shared / "work" / "job" / "output"
    there.parent.mkdir(parents=True)
    output.rename(there)
    output.symlink_to(there)
    proxy.times(1000, fault(status=500), method="PUT")
    rescue = shared / "output" / "job"
    with pytest.raises(staging.StagingError, match="nothing is lost: the files are on the shared folder"):
        staging.upload_outputs(
            ["s3://bucket/r"], folder=output, node=0, shared=shared, rescue=rescue, s3=through, limits=hasty
        )
    assert not rescue.exists()
    assert set(expected(there, "")) == FILES


def test_a_silent_s3_is_a_stall_and_the_files_are_saved(
    s3: "S3Client", through: Any, proxy: Any, fault: Any, shared: Path, output: Path, hasty: staging.Limits
) -> None:
    released = threading.Event()
    proxy.times(1000, fault(pause=released), method="PUT")
    rescue = shared / "output" / "job" / "node-0"
    try:
        with pytest.raises(staging.StagingError, match="stalled"):
            staging.upload_outputs(
                ["s3://bucket/r"],
                folder=output,
                node=0,
                shared=shared,
                rescue=rescue,
                s3=through,
                limits=replace(hasty, stall_s=1),
            )
    finally:
        released.set()
    assert set(expected(rescue, "")) == FILES


def test_no_bucket_no_shared_folder_and_the_loss_is_said(s3: "S3Client", through: Any, output: Path) -> None:
    with pytest.raises(staging.StagingError) as error:
        staging.upload_outputs(["s3://none/r"], folder=output, node=0, shared=None, rescue=None, s3=through)
    assert "there is no such object or bucket" in str(error.value)
    assert "LOST with this node" in str(error.value)


def test_a_full_shared_folder_saves_what_it_can_and_names_what_is_lost(
    s3: "S3Client", through: Any, output: Path, small_disk: Path
) -> None:
    (output / "big").write_bytes(b"." * (5 * MIB))
    rescue = small_disk / "output" / "job"
    with pytest.raises(staging.StagingError) as error:
        staging.upload_outputs(["s3://none/r"], folder=output, node=0, shared=small_disk, rescue=rescue, s3=through)
    assert "3 files were saved on the shared folder" in str(error.value)
    assert "LOST with this node are 1: big (" in str(error.value)
    assert set(expected(rescue, "")) == FILES


def test_a_client_that_cannot_be_made_loses_nothing(shared: Path, output: Path) -> None:
    def broken() -> Any:
        raise RuntimeError("no region")

    rescue = shared / "output" / "job" / "node-0"
    with pytest.raises(staging.StagingError, match="no region"):
        staging.upload_outputs(["s3://b/r"], folder=output, node=0, shared=shared, rescue=rescue, s3=broken)
    assert set(expected(rescue, "")) == FILES


def test_a_file_that_is_still_written_to_is_not_taken_for_done(
    s3: "S3Client", through: Any, proxy: Any, shared: Path, output: Path, hasty: staging.Limits
) -> None:
    def grow(request: Any) -> None:
        if request.method == "PUT" and "result" in request.path:
            with (output / "result.npy").open("ab") as file:
                file.write(b"more")

    proxy.fault = grow
    with pytest.raises(staging.StagingError, match="written to while it was uploaded"):
        staging.upload_outputs(
            ["s3://bucket/r"],
            folder=output,
            node=0,
            shared=shared,
            rescue=shared / "output" / "x",
            s3=through,
            limits=hasty,
        )


def test_links_pipes_and_loops_are_said_and_nothing_is_sent_twice(
    s3: "S3Client", through: Any, shared: Path, output: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "far").write_text("far")
    (output / "latest").symlink_to(output / "steps")
    (output / "loop").symlink_to(output)
    (output / "outside").symlink_to(tmp_path / "elsewhere")
    (output / "copy").symlink_to(output / "steps" / "1.txt")
    os.mkfifo(output / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(output / "socket"))
        moved = staging.upload_outputs(["s3://bucket/r"], folder=output, node=0, shared=shared, rescue=None, s3=through)
    assert set(objects(s3)) == {f"r/node-0/{name}" for name in FILES | {"outside/far", "copy"}}
    assert {note.partition(":")[0].rpartition("/")[2] for note in moved.notes} == {"latest", "loop", "pipe", "socket"}


def test_what_cannot_be_read_is_said_and_the_rest_is_uploaded(
    s3: "S3Client", through: Any, shared: Path, output: Path
) -> None:
    (output / "dangling").symlink_to(output / "gone")
    with pytest.raises(staging.StagingError, match=r"dangling: No such file"):
        staging.upload_outputs(["s3://bucket/r"], folder=output, node=0, shared=shared, rescue=None, s3=through)
    assert set(objects(s3)) == {f"r/node-0/{name}" for name in FILES}
