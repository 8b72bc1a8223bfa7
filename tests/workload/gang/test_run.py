"""Where a node keeps its pipes and sockets: where they go with the job, however it ends."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from workload.gang.run import LONGEST_SCRATCH, _run_folder


@pytest.fixture
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="x-") as folder:
        yield Path(folder)


def test_pipes_and_sockets_are_below_the_scratch_folder_and_private(scratch: Path) -> None:
    folder = _run_folder(str(scratch))
    assert folder.parent == scratch
    assert folder.stat().st_mode & 0o777 == 0o700


def test_where_a_sockets_name_would_be_too_long_or_scratch_cannot_be_used_they_are_in_tmp(scratch: Path) -> None:
    deep = scratch / ("x" * LONGEST_SCRATCH)
    deep.mkdir()
    for unusable in (str(deep), str(scratch / "missing"), ""):
        folder = _run_folder(unusable)
        assert folder.parent == Path(tempfile.gettempdir())
        shutil.rmtree(folder)
