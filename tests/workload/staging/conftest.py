"""What the tests of staging share."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from workload import staging
from workload.staging.s3 import connect

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


@pytest.fixture
def through(s3: "S3Client", proxy: Any, monkeypatch: pytest.MonkeyPatch) -> "Callable[[], S3Client]":
    """What staging is given as `s3`: the product's own `connect`, its endpoint the proxy."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
    return partial(connect, read_s=4)


@pytest.fixture
def hasty() -> staging.Limits:
    """Limits for tests: as many attempts, less waiting."""
    return staging.Limits(stall_s=20, attempts=4, backoff_s=0.01, backoff_cap_s=0.05, spare_bytes=0)


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    for name in ("input", "output", "work"):
        (tmp_path / "efs" / name).mkdir(parents=True)
    return tmp_path / "efs"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB (root only)."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() or os.system(f"mount -t tmpfs -o size=4m tmpfs {folder}"):  # noqa: S605  a fixed command
        pytest.skip("mounting a small disk needs root")
    yield folder
    os.system(f"umount -l {folder}")  # noqa: S605  a fixed command
