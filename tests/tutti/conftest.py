"""A card as the stack writes it, for the pure parts of the client; the running twin has fixtures of its own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from tutti.cli.main import main
from tutti.cluster import Cluster
from workload.contract import Card, CardDefinition, CardQueue, Mpi, PoolKind

Tutti = Callable[..., "subprocess.CompletedProcess[str]"]


def _queue(name: str, kind: PoolKind, priority: int, **more: object) -> CardQueue:
    fields: dict[str, object] = {
        "name": name,
        "arn": f"arn:aws:batch:eu-central-1:123456789012:job-queue/{name}",
        "pool": name.rpartition("-")[0],
        "kind": kind,
        "priority": priority,
        "instance_types": ("c7i.4xlarge",),
        "zone": "eu-central-1a",
        "max_vcpus": 128,
        "vcpus": 16,
        "cores": 8,
        "memory_mib": 30_000,
    }
    return CardQueue(**{**fields, **more})  # type: ignore[arg-type]  # a table of fields


def _definition(kind: str, image: str = "cpu", **more: object) -> CardDefinition:
    fields: dict[str, object] = {
        "name": f"lab-{kind}",
        "arn": f"arn:aws:batch:eu-central-1:123456789012:job-definition/lab-{kind}:3",
        "kind": kind,
        "image": image,
        "image_uri": f"repo/{image}@sha256:0",
        "mpis": (Mpi.MPICH, Mpi.OPENMPI),
        "nodes": 2,
        "timeout_s": 3600,
        "attempts": 3,
        "vcpus": 16,
        "memory_mib": 30_000,
    }
    return CardDefinition(**{**fields, **more})  # type: ignore[arg-type]  # a table of fields


@pytest.fixture
def card() -> Card:
    return Card(
        stack="lab",
        group="astro",
        region="eu-central-1",
        account="123456789012",
        queues=(
            _queue("cpu-high", PoolKind.MPI, 10),
            _queue("cpu-low", PoolKind.MPI, 1),
            _queue(
                "gpu-high",
                PoolKind.GPU,
                10,
                instance_types=("p4d.24xlarge",),
                vcpus=96,
                cores=48,
                gpus=8,
                max_vcpus=192,
            ),
            _queue("one-low", PoolKind.SINGLE, 1, capacity="spot", vcpus=4, cores=2, memory_mib=7_000, max_vcpus=64),
        ),
        definitions=(
            _definition("mpi"),
            _definition("mpi", "wrf", name="lab-mpi-wrf", mpis=(Mpi.INTEL,)),
            _definition(
                "mpi-parameterized",
                parameters={"inputDataPath": "/i", "outputDataPath": "/o", "computeIntensity": "low"},
            ),
            _definition("gpu-mpi", vcpus=96, gpus=8),
            _definition("single", vcpus=2, memory_mib=4_000),
            _definition("array", vcpus=1, memory_mib=2_000),
        ),
        bucket="lab-data",
        prefix="astro/",
        file_system="fs-1",
        log_group="/tutti/lab",
    )


# ---------------------------------------------------------------- the running twin


@pytest.fixture(scope="session")
def twin_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home whose twin runs: the client's tests speak to it as a user's client does."""
    home = tmp_path_factory.mktemp("twin-home")
    environ = clean_environ(home)
    tutti = [sys.executable, "-m", "tutti", "twin"]
    subprocess.run([*tutti, "up", "--isolation", "process"], env=environ, check=True, capture_output=True, timeout=60)
    yield home
    subprocess.run([*tutti, "down"], env=environ, check=True, capture_output=True, timeout=60)


@pytest.fixture
def cluster(twin_home: Path) -> Cluster:
    return Cluster.current({"TUTTI_HOME": str(twin_home)})


@pytest.fixture
def at_home(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Tutti]:
    """`tutti ARGS...` in a given home, as a fresh user without a terminal.

    In this process: to start Python and import boto3 again for each call would be most of the suite's time. That it works
    as a process too is seen where a test needs one: pipes, Ctrl-C, what is imported.
    """

    def made(home: Path) -> Tutti:
        for name in [n for n in os.environ if n.startswith(("AWS_", "TUTTI_"))]:
            monkeypatch.delenv(name)
        for name, value in clean_environ(home).items():
            monkeypatch.setenv(name, value)

        def run(*args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
            out, error = io.StringIO(), io.StringIO()
            monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
            with redirect_stdout(out), redirect_stderr(error), pytest.raises(SystemExit) as ended:
                main(args)
            code = ended.value.code
            assert isinstance(code, int)
            return subprocess.CompletedProcess(["tutti", *args], code, out.getvalue(), error.getvalue())

        return run

    return made


@pytest.fixture
def tutti(twin_home: Path, at_home: Callable[[Path], Tutti]) -> Tutti:
    """`tutti ARGS...` against the running twin."""
    return at_home(twin_home)


def clean_environ(home: Path) -> dict[str, str]:
    """A fresh user: no AWS or Tutti settings, a home of its own, 80 columns."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "TUTTI_"))}
    ours = {"TUTTI_HOME": str(home), "HOME": str(home), "COLUMNS": "80", "AWS_EC2_METADATA_DISABLED": "true"}
    return {**kept, **ours}
