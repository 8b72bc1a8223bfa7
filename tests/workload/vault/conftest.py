"""A store of each kind, empty."""

from pathlib import Path

import pytest

from workload.vault.store import Store, open_store


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        made = open_store(str(tmp_path / "deep" / "checkpoints"))
    else:
        request.getfixturevalue("s3")
        made = open_store("s3://bucket/some/run")
    made.make_folder("")
    return made
