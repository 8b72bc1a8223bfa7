"""Inputs on the shared folder: once for the gang, kept between jobs."""

import hashlib
import os
import random
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from workload import staging
from workload.staging import inputs

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def nothing_half_made(folder: Path) -> bool:
    return not [path for path in folder.rglob("*.part") if path.exists()]


def test_only_differences_move_and_an_old_job_keeps_its_version(
    s3: "S3Client", through: Any, proxy: Any, shared: Path
) -> None:
    for name in ("a", "b"):
        s3.put_object(Bucket="bucket", Key=f"p/{name}", Body=f"{name}1".encode())
    first = staging.stage_to_shared(["s3://bucket/p/"], view=shared / "work" / "1", shared=shared, s3=through)
    assert (first.files, first.bytes, first.kept_bytes) == (2, 4, 0)
    s3.put_object(Bucket="bucket", Key="p/b", Body=b"b22")
    s3.put_object(Bucket="bucket", Key="p/c", Body=b"c1")
    s3.delete_object(Bucket="bucket", Key="p/a")
    proxy.seen.clear()
    second = staging.stage_to_shared(["s3://bucket/p/"], view=shared / "work" / "2", shared=shared, s3=through)
    assert (second.files, second.bytes, second.kept_bytes) == (2, 5, 0)
    third = staging.stage_to_shared(["s3://bucket/p/"], view=shared / "work" / "3", shared=shared, s3=through)
    assert (third.files, third.bytes, third.kept_bytes) == (2, 0, 5)
    assert proxy.count("GET", "/p/") == 2
    assert content(shared / "work" / "1") == {"a": b"a1", "b": b"b1"}
    assert content(shared / "work" / "2") == content(shared / "work" / "3") == {"b": b"b22", "c": b"c1"}
    assert nothing_half_made(shared)


def test_a_kept_input_that_a_job_wrote_to_is_fetched_again(s3: "S3Client", through: Any, shared: Path) -> None:
    s3.put_object(Bucket="bucket", Key="x", Body=b"as it is")
    view = shared / "work" / "1"
    staging.stage_to_shared(["s3://bucket/x"], view=view, shared=shared, s3=through)
    (view / "x").write_bytes(b"as it wa")
    moved = staging.stage_to_shared(["s3://bucket/x"], view=view, shared=shared, s3=through)
    assert moved.kept_bytes == 0
    assert (view / "x").read_bytes() == b"as it is"


def test_versions_that_nobody_used_for_long_are_removed_when_a_new_one_comes(
    s3: "S3Client", through: Any, shared: Path
) -> None:
    s3.put_object(Bucket="bucket", Key="x", Body=b"1")
    staging.stage_to_shared(["s3://bucket/x"], view=shared / "work" / "1", shared=shared, s3=through)
    (old,) = (shared / inputs.CACHE).glob("*/*")
    os.utime(old, (time.time() - inputs.STALE_S - 10,) * 2)
    s3.put_object(Bucket="bucket", Key="x", Body=b"22")
    staging.stage_to_shared(["s3://bucket/x"], view=shared / "work" / "2", shared=shared, s3=through)
    assert not old.exists()
    assert len(list((shared / inputs.CACHE).glob("*/*"))) == 1


def test_gangs_that_stage_the_same_at_once_all_succeed(s3: "S3Client", through: Any, shared: Path) -> None:
    data = random.Random(1).randbytes(300_000)
    s3.put_object(Bucket="bucket", Key="x", Body=data)
    failures: list[BaseException] = []
    barrier = threading.Barrier(4)

    def gang(number: int) -> None:
        try:
            barrier.wait(10)
            staging.stage_to_shared(["s3://bucket/x"], view=shared / "work" / str(number), shared=shared, s3=through)
        except BaseException as error:  # noqa: BLE001  handed to the test's own thread
            failures.append(error)

    gangs = [threading.Thread(target=gang, args=(number,)) for number in range(4)]
    for one in gangs:
        one.start()
    for one in gangs:
        one.join(60)
    assert not failures
    digests = {hashlib.sha256((shared / "work" / str(i) / "x").read_bytes()).hexdigest() for i in range(4)}
    assert digests == {hashlib.sha256(data).hexdigest()}


def test_a_failure_leaves_no_view(
    s3: "S3Client", through: Any, proxy: Any, fault: Any, shared: Path, hasty: staging.Limits
) -> None:
    s3.put_object(Bucket="bucket", Key="p/good", Body=b"1")
    s3.put_object(Bucket="bucket", Key="p/bad", Body=b"2")
    proxy.times(1000, fault(status=500), holds="p/bad")
    with pytest.raises(staging.StagingError, match="p/bad"):
        staging.stage_to_shared(["s3://bucket/p/"], view=shared / "work" / "1", shared=shared, s3=through, limits=hasty)
    assert not (shared / "work" / "1").exists()
    assert nothing_half_made(shared)
