"""What the image's recipe promises, read off the recipe; `test_image.py` holds it against the image itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
STAGE = re.compile(r"^FROM (?P<base>\S+) AS (?P<name>\S+)$", re.MULTILINE)
COMPILERS = {"gcc", "g++", "gfortran", "make", "libopenmpi-dev", "libmpich-dev"}


@pytest.fixture
def recipe() -> str:
    return (ROOT / "workload/images/Dockerfile").read_text()


@pytest.fixture
def stages(recipe: str) -> dict[str, str]:
    """The text of each stage, by its name."""
    starts = list(STAGE.finditer(recipe))
    ends = [match.start() for match in starts[1:]] + [len(recipe)]
    return {match["name"]: recipe[match.start() : end] for match, end in zip(starts, ends, strict=True)}


def packages(stage: str) -> set[str]:
    """What a stage installs by apt-get."""
    lists = re.findall(r"apt-get install -y --no-install-recommends((?:[^&|])*)", stage)
    return {word for text in lists for word in text.replace("\\", " ").split()}


def test_no_ssh_server_in_any_stage(stages: dict[str, str]) -> None:
    assert not {name for stage in stages.values() for name in packages(stage)} & {"openssh-server", "ssh", "dropbear"}


def test_the_runtime_has_both_mpis_and_no_compiler(stages: dict[str, str]) -> None:
    assert {"mpich", "openmpi-bin"} <= packages(stages["system"])
    assert not packages(stages["system"] + stages["runtime"]) & COMPILERS


def test_dev_has_every_compiler(stages: dict[str, str]) -> None:
    assert packages(stages["dev"]) >= COMPILERS


@pytest.mark.parametrize("name", ["runtime", "dev"])
def test_nobody_is_root_at_the_end(stages: dict[str, str], name: str) -> None:
    assert re.findall(r"^USER (\S+)$", stages[name], re.MULTILINE)[-1] == "tutti"
    assert "useradd --uid 1000" in stages["runtime"]


def test_python_packages_are_locked_with_hashes(recipe: str) -> None:
    assert "--require-hashes -r" in recipe
    locked = (ROOT / "workload/images/requirements.txt").read_text()
    names = set(re.findall(r"^([a-z0-9-]+)==", locked, re.MULTILINE))
    assert names >= {"numpy", "numba", "scipy", "pandas", "matplotlib", "mpi4py", "boto3", "pyzmq"}


def test_the_image_locks_what_the_desk_locks(recipe: str) -> None:
    """A job that runs at the desk meets the same versions on AWS."""

    def versions(path: str) -> set[str]:
        return set(re.findall(r"^([a-z0-9-]+==[^ ]+)", (ROOT / path).read_text(), re.MULTILINE))

    assert versions("workload/images/requirements.txt") <= versions("requirements.txt")


def test_the_base_is_an_argument(recipe: str) -> None:
    assert "ARG BASE=debian:bookworm-slim" in recipe
    assert "FROM ${BASE} AS system" in recipe
