"""A program to be killed, and where its checkpoints lie: a folder, or S3."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from workload.vault.store import Store, open_store

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

STEPPER = Path(__file__).with_name("stepper.py")


@dataclass(frozen=True)
class Ended:
    """How a run of the stepper ended."""

    code: int
    out: str
    err: str

    @property
    def result(self) -> Mapping[str, Any]:
        assert self.code == 0, self.out + self.err
        line = next(line for line in self.out.splitlines() if line.startswith("{"))
        return json.loads(line)  # type: ignore[no-any-return]  # a line of the stepper's


@pytest.fixture(scope="session")
def steps(mpirun: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., Ended]:
    """`steps(ranks, target, count, *options, env={})`: run the stepper and wait for its end."""

    def run(ranks: int, target: str | Path, count: int, *options: str, env: Mapping[str, str] | None = None) -> Ended:
        done = mpirun(ranks, sys.executable, "-m", "mpi4py", STEPPER, target, str(count), *options, env=env)
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def uninterrupted(steps: Callable[..., Ended], tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], str]:
    """`uninterrupted(count)`: the digest after `count` steps of a run that nothing happened to."""
    known: dict[int, str] = {}

    def digest(count: int) -> str:
        if count not in known:
            known[count] = steps(1, tmp_path_factory.mktemp("calm"), count, "--every", "1000").result["digest"]
        return known[count]

    return digest


@pytest.fixture(params=["folder", "s3"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place for checkpoints, of each kind."""
    if request.param == "folder":
        return str(tmp_path / "checkpoints")
    request.getfixturevalue("s3")
    return "s3://bucket/some/run"


@pytest.fixture
def store(target: str) -> Store:
    return open_store(target)


@pytest.fixture
def damage(target: str, request: pytest.FixtureRequest) -> Callable[[str, Callable[[bytes], bytes | None]], None]:
    """`damage(key, change)`: replace what `key` holds by `change(data)`; None removes it."""

    def in_folder(key: str, change: Callable[[bytes], bytes | None]) -> None:
        path = Path(target, key)
        changed = change(path.read_bytes())
        path.unlink() if changed is None else path.write_bytes(changed)

    def in_s3(key: str, change: Callable[[bytes], bytes | None]) -> None:
        client: S3Client = request.getfixturevalue("s3")
        name = f"some/run/{key}"
        changed = change(client.get_object(Bucket="bucket", Key=name)["Body"].read())
        if changed is None:
            client.delete_object(Bucket="bucket", Key=name)
        else:
            client.put_object(Bucket="bucket", Key=name, Body=changed)

    return in_s3 if target.startswith("s3:") else in_folder
