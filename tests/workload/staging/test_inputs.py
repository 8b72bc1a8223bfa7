"""Inputs, from a real S3 API through a proxy that fails on demand, and from a shared folder."""

import os
import random
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from workload import staging
from workload.staging import download, places

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

MIB = 1 << 20


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "scratch" / "job" / "input"


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def put_in_parts(client: "S3Client", key: str, parts: list[bytes]) -> None:
    upload = client.create_multipart_upload(Bucket="bucket", Key=key)["UploadId"]
    done = [
        {
            "ETag": client.upload_part(Bucket="bucket", Key=key, UploadId=upload, PartNumber=i, Body=part)["ETag"],
            "PartNumber": i,
        }
        for i, part in enumerate(parts, 1)
    ]
    client.complete_multipart_upload(Bucket="bucket", Key=key, UploadId=upload, MultipartUpload={"Parts": done})  # type: ignore[typeddict-item]  # the stubs want a literal dict


def nothing_half_made(folder: Path) -> bool:
    return not [path for path in folder.rglob("*.part") if path.exists()]


# ---------------------------------------------------------------- what lands where


def test_a_program_that_was_uploaded_as_one_can_be_run(s3: "S3Client", into: Path) -> None:
    s3.put_object(Bucket="bucket", Key="code/run.sh", Body=b"#!/bin/sh", Metadata={places.EXECUTABLE: "1"})
    s3.put_object(Bucket="bucket", Key="code/data.txt", Body=b"1")
    staging.stage_to_node(["s3://bucket/code/"], into=into, shared=None, s3=lambda: s3)
    assert os.access(into / "run.sh", os.X_OK)
    assert not (into / "data.txt").stat().st_mode & 0o111


@pytest.mark.parametrize(
    ("uri", "names"),
    [
        ("s3://bucket/run/data.npy", ["data.npy"]),
        ("s3://bucket/run/", ["data.npy", "mesh/a.msh", "mesh/b.msh"]),
        ("s3://bucket/run", ["run/data.npy", "run/mesh/a.msh", "run/mesh/b.msh"]),
        ("s3://bucket/run/mesh", ["mesh/a.msh", "mesh/b.msh"]),
        ("s3://bucket", ["run/data.npy", "run/mesh/a.msh", "run/mesh/b.msh", "runner"]),
        ("shared:input/run/data.npy", ["data.npy"]),
        ("shared:input/run/", ["data.npy", "mesh/a.msh", "mesh/b.msh"]),
        ("shared:input/run", ["run/data.npy", "run/mesh/a.msh", "run/mesh/b.msh"]),
    ],
)
@pytest.mark.parametrize("to", ["node", "shared"])
def test_s3_and_the_shared_folder_have_one_rule_for_names(
    s3: "S3Client", through: Any, shared: Path, into: Path, uri: str, names: list[str], to: str
) -> None:
    for key in ("run/data.npy", "run/mesh/a.msh", "run/mesh/b.msh", "runner"):
        s3.put_object(Bucket="bucket", Key=key, Body=key.encode())
        (shared / "input" / key).parent.mkdir(parents=True, exist_ok=True)
        (shared / "input" / key).write_text(key)
    s3.put_object(Bucket="bucket", Key="run/", Body=b"")  # a console's marker of a folder
    if to == "node":
        moved = staging.stage_to_node([uri], into=into, shared=shared, s3=through)
        assert (moved.files, moved.bytes) == (len(names), sum(len((into / name).read_bytes()) for name in names))
    else:
        staging.stage_to_shared([uri], view=into, shared=shared, s3=through)
    found = sorted(
        str((Path(folder) / name).relative_to(into))
        for folder, _, files in os.walk(into, followlinks=True)
        for name in files
    )
    assert found == names
    assert all((into / name).read_text().endswith(Path(name).name) for name in names)


def test_without_inputs_nothing_is_made_and_nobody_is_asked(into: Path) -> None:
    def refuse() -> Any:
        raise AssertionError("asked for a client")

    assert staging.stage_to_node([], into=into, shared=None, s3=refuse) == staging.Moved()
    assert not into.exists()


def test_the_shared_folder_alone_needs_no_client(shared: Path, into: Path) -> None:
    (shared / "input" / "script.sh").write_text("#!/bin/sh\n")
    (shared / "input" / "script.sh").chmod(0o755)

    def refuse() -> Any:
        raise AssertionError("asked for a client")

    staging.stage_to_node(["shared:input/script.sh"], into=into, shared=shared, s3=refuse)
    assert os.access(into / "script.sh", os.X_OK)


def test_every_problem_is_said_before_the_first_byte(s3: "S3Client", through: Any, shared: Path, into: Path) -> None:
    s3.put_object(Bucket="bucket", Key="a/x", Body=b"1")
    s3.put_object(Bucket="bucket", Key="b/x", Body=b"2")
    s3.put_object(Bucket="bucket", Key="x/y", Body=b"3")
    wrong = [
        "s3://bucket/a/",
        "s3://bucket/b/",
        "s3://bucket/x",
        "s3://bucket/none",
        "shared:input/none",
        "shared:../x",
    ]
    wrong += ["ftp://x", "s3://no-such-bucket/x/"]
    with pytest.raises(staging.StagingError) as error:
        staging.stage_to_node(wrong, into=into, shared=shared, s3=through)
    said = "\n".join(error.value.problems)
    assert len(error.value.problems) == 7
    assert "s3://bucket/a/x and s3://bucket/b/x would both be 'x'" in said
    assert "s3://bucket/a/x would be the file 'x', but s3://bucket/x/y needs a folder there" in said
    assert "s3://bucket/none: nothing is there" in said
    assert "shared:input/none: nothing is there" in said
    assert "leaves the shared folder" in said
    assert "ftp://x: got neither" in said
    assert "no such object or bucket" in said
    assert not into.exists()


@pytest.mark.parametrize("key", ["a/../../../etc/passwd", "a/./b", "a//b", "a/b/"])
def test_a_key_that_is_no_file_name_is_refused_and_never_lands_elsewhere(
    s3: "S3Client", through: Any, into: Path, tmp_path: Path, key: str
) -> None:
    s3.put_object(Bucket="bucket", Key=key, Body=b"evil")
    with pytest.raises(staging.StagingError, match=r"no file"):
        staging.stage_to_node(["s3://bucket/a/"], into=into, shared=None, s3=through)
    assert not content(tmp_path)


# ---------------------------------------------------------------- checked, and tried again


@pytest.mark.parametrize("how", ["whole", "ranges", "parts", "uneven", "empty"])
def test_objects_arrive_as_they_are_however_they_were_uploaded(
    s3: "S3Client", through: Any, into: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(download, "RANGE_BYTES", 3 * MIB)
    parts = {
        "whole": [noise(MIB + 7)],
        "ranges": [noise(10 * MIB + 3)],
        "parts": [noise(5 * MIB, 1), noise(5 * MIB, 2), noise(123, 3)],
        "uneven": [noise(5 * MIB, 1), noise(6 * MIB, 2), noise(5 * MIB, 3), noise(7 * MIB, 4)],
        "empty": [b""],
    }[how]
    if len(parts) == 1:
        s3.put_object(Bucket="bucket", Key="x", Body=parts[0])
    else:
        put_in_parts(s3, "x", parts)
    moved = staging.stage_to_node(["s3://bucket/x"], into=into, shared=None, s3=through)
    assert (into / "x").read_bytes() == b"".join(parts)
    assert moved.bytes == moved.of_bytes == sum(map(len, parts))
    assert bool(moved.notes) == (how == "uneven")


@pytest.mark.parametrize(
    "kind",
    [
        {"status": 500},
        {"status": 503},
        {"status": 429},
        {"cut_request": True},
        {"cut_after": 0},
        {"cut_after": 100_000},
        {"damage_at": 1000},
    ],
    ids=str,
)
def test_faults_that_pass_are_survived(
    s3: "S3Client", through: Any, proxy: Any, fault: Any, into: Path, hasty: staging.Limits, kind: dict[str, Any]
) -> None:
    data = noise(2 * MIB)
    s3.put_object(Bucket="bucket", Key="x", Body=data)
    proxy.times(2, fault(**kind))
    moved = staging.stage_to_node(["s3://bucket/x"], into=into, shared=None, s3=through, limits=hasty)
    assert (into / "x").read_bytes() == data
    assert moved.bytes == len(data), "what was moved twice counts once"
    assert proxy.count("GET", "x") == 3
    assert nothing_half_made(into)


@pytest.mark.parametrize("kind", [{"status": 503}, {"cut_after": 10}, {"damage_at": 5}, {"cut_request": True}], ids=str)
def test_faults_that_stay_are_said_and_leave_nothing(
    s3: "S3Client", through: Any, proxy: Any, fault: Any, into: Path, hasty: staging.Limits, kind: dict[str, Any]
) -> None:
    s3.put_object(Bucket="bucket", Key="x", Body=noise(1000))
    proxy.times(1000, fault(**kind))
    with pytest.raises(staging.StagingError, match="s3://bucket/x"):
        staging.stage_to_node(["s3://bucket/x"], into=into, shared=None, s3=through, limits=hasty)
    assert content(into) == {}
    assert proxy.count("GET", "x") == hasty.attempts


@pytest.mark.parametrize("cut", [False, True])
def test_listing_and_asking_are_tried_again_too(
    s3: "S3Client", through: Any, proxy: Any, fault: Any, into: Path, hasty: staging.Limits, cut: bool
) -> None:
    s3.put_object(Bucket="bucket", Key="p/x", Body=b"x")
    faults = [fault(cut_after=0), fault(cut_after=100)] if cut else [fault(status=500), fault(cut_request=True)]
    proxy.fault = lambda request: faults[request.before] if request.before < len(faults) else None
    staging.stage_to_node(["s3://bucket/p"], into=into, shared=None, s3=through, limits=hasty)
    assert content(into) == {"p/x": b"x"}


def test_access_denied_is_not_tried_again(
    s3: "S3Client", through: Any, proxy: Any, fault: Any, into: Path, hasty: staging.Limits
) -> None:
    s3.put_object(Bucket="bucket", Key="x", Body=b"x")
    proxy.times(1000, fault(status=403))
    with pytest.raises(staging.StagingError, match="access denied"):
        staging.stage_to_node(["s3://bucket/x"], into=into, shared=None, s3=through, limits=hasty)
    assert proxy.count("GET", "x") == 1


def test_an_object_that_changes_meanwhile_is_never_a_mixture(
    s3: "S3Client", through: Any, proxy: Any, into: Path, hasty: staging.Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "RANGE_BYTES", MIB)
    s3.put_object(Bucket="bucket", Key="x", Body=noise(4 * MIB))

    def replace_once(request: Any) -> None:
        if request.method == "GET" and sum(one.method == "GET" for one in proxy.seen) == 2:
            s3.put_object(Bucket="bucket", Key="x", Body=noise(4 * MIB, 2))

    proxy.fault = replace_once
    with pytest.raises(staging.StagingError, match="changed while it was being read"):
        staging.stage_to_node(["s3://bucket/x"], into=into, shared=None, s3=through, limits=replace(hasty, workers=1))
    assert content(into) == {}


def test_a_slow_s3_is_waited_for_and_a_silent_one_is_not(
    s3: "S3Client", through: Any, proxy: Any, fault: Any, into: Path, hasty: staging.Limits
) -> None:
    s3.put_object(Bucket="bucket", Key="x", Body=noise(100_000))
    proxy.times(1, fault(bytes_a_second=200_000))
    limits = replace(hasty, stall_s=1.0)
    staging.stage_to_node(["s3://bucket/x"], into=into, shared=None, s3=through, limits=limits)
    released = threading.Event()
    proxy.times(1000, fault(pause=released), method="GET", holds="x")
    started = time.monotonic()
    try:
        with pytest.raises(staging.StagingError, match="stalled: no byte moved for 1 s"):
            staging.stage_to_node(["s3://bucket/x"], into=into, shared=None, s3=through, limits=limits)
    finally:
        released.set()
    # The stall, and what threads are given to clear up: not the socket's own limit, nor the attempts'.
    assert time.monotonic() - started < 8


def test_an_s3_that_is_silent_from_the_start_is_a_stall_too(
    s3: "S3Client", through: Any, proxy: Any, fault: Any, into: Path, hasty: staging.Limits
) -> None:
    released = threading.Event()
    proxy.fault = lambda _: fault(pause=released)
    try:
        with pytest.raises(staging.StagingError, match=r"x: ReadTimeoutError.*nothing moved for 1 s"):
            staging.stage_to_node(
                ["s3://bucket/x"], into=into, shared=None, s3=through, limits=replace(hasty, stall_s=1)
            )
    finally:
        released.set()
    assert proxy.count("HEAD", "x") == 1


def test_what_progress_raises_stops_everything(
    s3: "S3Client", through: Any, proxy: Any, fault: Any, into: Path, hasty: staging.Limits
) -> None:
    s3.put_object(Bucket="bucket", Key="x", Body=noise(400_000))
    proxy.times(10, fault(bytes_a_second=100_000))
    seen: list[staging.Moved] = []

    def stop(moved: staging.Moved) -> None:
        seen.append(moved)
        raise InterruptedError("SIGTERM")

    with pytest.raises(InterruptedError, match="SIGTERM"):
        staging.stage_to_node(["s3://bucket/x"], into=into, shared=None, s3=through, progress=stop, limits=hasty)
    assert content(into) == {}
    assert seen[0].of_bytes == 400_000
    assert seen[0].bytes < 400_000


def test_progress_ends_with_all_of_it_and_comes_in_the_callers_thread(s3: "S3Client", through: Any, into: Path) -> None:
    for i in range(20):
        s3.put_object(Bucket="bucket", Key=f"p/{i}", Body=noise(1000, i))
    seen: list[tuple[staging.Moved, threading.Thread]] = []
    staging.stage_to_node(
        ["s3://bucket/p/"],
        into=into,
        shared=None,
        s3=through,
        progress=lambda moved: seen.append((moved, threading.current_thread())),
    )
    assert seen[-1][0] == staging.Moved(files=20, bytes=20_000, of_files=20, of_bytes=20_000)
    assert {thread for _, thread in seen} == {threading.current_thread()}


# ---------------------------------------------------------------- disks and files


def test_what_does_not_fit_is_refused_before_the_first_byte(
    s3: "S3Client", through: Any, proxy: Any, tmp_path: Path
) -> None:
    s3.put_object(Bucket="bucket", Key="x", Body=b"small")
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    with pytest.raises(staging.StagingError, match="must stay free"):
        staging.stage_to_node(
            ["s3://bucket/x"],
            into=tmp_path / "a" / "b",
            shared=None,
            s3=through,
            limits=staging.Limits(spare_bytes=free + (1 << 40)),
        )
    assert proxy.count("GET", "x") == 0
    assert not (tmp_path / "a").exists()


def test_a_disk_that_fills_meanwhile_is_said_and_left_as_it_was(
    s3: "S3Client", through: Any, proxy: Any, small_disk: Path, hasty: staging.Limits
) -> None:
    s3.put_object(Bucket="bucket", Key="x", Body=noise(3 * MIB))

    def fill(request: Any) -> None:
        if request.method == "GET" and not (small_disk / "other").exists():
            (small_disk / "other").write_bytes(b"." * (2 * MIB))

    proxy.fault = fill
    with pytest.raises(staging.StagingError, match="No space left on device"):
        staging.stage_to_node(["s3://bucket/x"], into=small_disk / "in", shared=None, s3=through, limits=hasty)
    assert content(small_disk / "in") == {}
    assert proxy.count("GET", "x") == 1, "a full disk is not tried again"


def test_an_input_that_may_not_be_read_is_said_before_the_first_byte(
    shared: Path, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("good", "bad"):
        (shared / "input" / name).write_text(name)
    allowed = os.access
    # Root may read everything, so the answer is injected.
    monkeypatch.setattr(os, "access", lambda path, mode: "bad" not in str(path) and allowed(path, mode))
    with pytest.raises(staging.StagingError, match=r"bad.* may not be read by user"):
        staging.stage_to_node(["shared:input/"], into=into, shared=shared)
    assert not into.exists()


def test_big_files_of_the_shared_folder_are_copied_whole(
    shared: Path, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workload.staging.copying.SPAN_BYTES", MIB)
    data = noise(5 * MIB + 1)
    (shared / "input" / "big").write_bytes(data)
    moved = staging.stage_to_node(["shared:input/big"], into=into, shared=shared)
    assert (into / "big").read_bytes() == data
    assert moved.bytes == len(data)
