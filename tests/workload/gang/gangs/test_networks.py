"""What takes a network of its own for each node: a cut link, a host that goes, idle connections that are forgotten."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn
from uuid import uuid4

import pytest

from tutti.twin.nodes import Drill, Isolation, NodeHost, NodeHostError, NodeSpec, RunningNode
from workload.contract import EVENT_MARK
from workload.gang.computation import MPIEXEC_S

pytestmark = pytest.mark.netns
BIN = Path(sys.executable).parent


SILENT_S = 60
FORGET_S = 10
# A connection that idles for FORGET_S is forgotten, as newer instances do (traps 5), and what comes on it after that is
# dropped without an answer.
FORGETFUL = f"""
set -e
PATH=$PATH:/usr/sbin:/sbin
echo {FORGET_S} > /proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established
echo 0 > /proc/sys/net/netfilter/nf_conntrack_tcp_loose
for chain in INPUT OUTPUT; do
    iptables -A $chain -i lo -j ACCEPT 2>/dev/null || iptables -A $chain -o lo -j ACCEPT
    iptables -A $chain -p tcp -m conntrack --ctstate INVALID -j DROP
    iptables -A $chain -p tcp -m conntrack --ctstate NEW -m tcp ! --syn -j DROP
done
"""


class Networks:
    """A node host with a network for each node; logs of a job are in a folder of its name."""

    def __init__(self, logs: Path) -> None:
        self.host = NodeHost(Isolation.NETNS, name=f"tutti-gang-{uuid4().hex[:8]}")
        self.folder = tempfile.TemporaryDirectory(prefix="tutti-gang-")
        self.logs = logs

    def start(
        self,
        count: int,
        *argv: str,
        mpi_bin: Path,
        job: str,
        subnet: int = 3,
        shm_mib: Sequence[int] = (),
        first: Mapping[int, str] = MappingProxyType({}),
        **changes: str,
    ) -> dict[int, RunningNode]:
        """Start a gang. `shm_mib`: of each node, else 64; `first`: what nodes do, by a shell, before they begin."""
        command = (str(BIN / "tutti-node"), "--", *argv)
        addresses = [f"10.77.{subnet}.{index + 1}" for index in range(count)]
        nodes = {}
        for index, address in enumerate(addresses):
            before = ("sh", "-c", f'{first[index]}\nexec "$@"', "sh") if index in first else ()
            environ = {
                "PATH": f"{mpi_bin}:{BIN}:/usr/bin:/bin",
                "HOME": self.folder.name,
                "TMPDIR": self.folder.name,
                "AWS_BATCH_JOB_ID": f"{job}#{index}",
                "AWS_BATCH_JOB_ATTEMPT": "1",
                "AWS_BATCH_JOB_NODE_INDEX": str(index),
                "AWS_BATCH_JOB_NUM_NODES": str(count),
                "AWS_BATCH_JOB_MAIN_NODE_INDEX": "0",
                "TUTTI_SECRET": "secret",
                "TUTTI_ADDRESS": address,
                "TUTTI_CPUSET": "none",
                "TUTTI_NODE_SILENCE": "5",
                **({"AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS": addresses[0]} if index else {}),
                **changes,
            }
            nodes[index] = self.host.start(
                NodeSpec(
                    key=f"{job}#{index}",
                    argv=(*before, *command),
                    shm_mib=shm_mib[index] if shm_mib else 64,
                    environment=environ,
                    folder=f"{self.folder.name}/{job}-{index}",
                    log=str(self.logs / f"{index}.log"),
                    address=address,
                    host_name=f"node-{index}",
                )
            )
        return nodes

    def close(self) -> None:
        self.host.close()
        self.folder.cleanup()


@pytest.fixture
def start(mpi: str, mpi_bin: Path, tmp_path: Path) -> Iterator[Callable[..., dict[int, RunningNode]]]:
    """Start a gang of nodes in network namespaces; returns its nodes."""
    try:
        networks = Networks(tmp_path)
    except NodeHostError as error:
        _without(str(error))
    with contextlib.closing(networks):
        yield partial(networks.start, mpi_bin=mpi_bin, job=uuid4().hex[:8], TUTTI_MPI=mpi)


def _without(why: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="module", autouse=True)
def silent(mpi_bins: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Any]]:
    """A job with each MPI that is silent for a minute: it passes while the other tests run. By MPI: main, and its log."""
    if shutil.which("iptables", path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
        yield {}
        return
    with contextlib.ExitStack() as stack:
        found = {}
        for subnet, (mpi, mpi_bin) in enumerate(mpi_bins.items(), start=20):
            logs = tmp_path_factory.mktemp(mpi)
            try:
                networks = stack.enter_context(contextlib.closing(Networks(logs)))
            except NodeHostError:
                break
            nodes = networks.start(
                2,
                *("sh", "-c", f"sleep {SILENT_S}; exit 3"),
                mpi_bin=mpi_bin,
                job=mpi,
                subnet=subnet,
                first=dict.fromkeys(range(2), FORGETFUL),
            )
            found[mpi] = (nodes[0], logs / "0.log")
        yield found


def said(folder: Path, index: int, text: str, seconds: float = 60.0) -> float:
    end = time.monotonic() + seconds
    log = folder / f"{index}.log"
    while not log.exists() or text not in log.read_text(encoding="utf-8", errors="replace"):
        assert time.monotonic() < end, f"node {index} never said {text!r}\n{log.read_text() if log.exists() else ''}"
        time.sleep(0.01)
    return time.monotonic()


RING = "from mpi4py import MPI\nimport time\nMPI.COMM_WORLD.barrier(); print('in', flush=True)\nwhile True: MPI.COMM_WORLD.barrier(); time.sleep(0.05)"


def test_a_cut_link_is_221_within_12_seconds_though_mpi_would_hang(start: Any, tmp_path: Path) -> None:
    nodes = start(3, "python", "-m", "mpi4py", "-c", RING)
    for index in range(3):
        said(tmp_path, index, "in")
    nodes[2].drill(Drill.CUT)
    cut = time.monotonic()
    assert nodes[0].wait(30).code == 221
    assert time.monotonic() - cut < 12
    assert nodes[1].wait(30).code == 0
    # The one that was cut off ends too, by itself: main is silent for it.
    assert nodes[2].wait(30).code == 221
    assert time.monotonic() - cut < 12
    log = (tmp_path / "0.log").read_text(encoding="utf-8")
    lost = next(json.loads(line.partition("tutti-event ")[2]) for line in log.splitlines() if '"event":"lost"' in line)
    assert (lost["node"], lost["address"]) == (2, "10.77.3.3")


def test_children_end_within_12_seconds_when_mains_host_goes(start: Any, tmp_path: Path) -> None:
    nodes = start(3, "python", "-m", "mpi4py", "-c", RING)
    for index in range(3):
        said(tmp_path, index, "in")
    nodes[0].drill(Drill.CUT)  # no FIN, no RST: nothing comes from a host that has gone
    gone = time.monotonic()
    nodes[0].drill(Drill.KILL)
    assert [nodes[1].wait(30).code, nodes[2].wait(30).code] == [221, 221]
    assert time.monotonic() - gone < 12


def test_every_node_uses_the_interface_of_its_own_address(start: Any, tmp_path: Path) -> None:
    nodes = start(
        2, "python", "-m", "mpi4py", "-c", "from mpi4py import MPI; print('sum', MPI.COMM_WORLD.allreduce(1))"
    )
    assert [nodes[0].wait(60).code, nodes[1].wait(60).code] == [0, 0]
    for index in range(2):
        assert "on eth0" in (tmp_path / f"{index}.log").read_text(encoding="utf-8")
        assert f"[{index}:{index}] sum 2" in (tmp_path / f"{index}.log").read_text(encoding="utf-8")


def test_a_neighbour_out_of_reach_is_223_and_named(start: Any, tmp_path: Path) -> None:
    """Node 1 reaches main and not node 2: the gang would assemble, and MPI would hang."""
    nodes = start(3, "hostname", first={1: "PATH=$PATH:/usr/sbin:/sbin ip route add unreachable 10.77.3.3/32"})
    assert nodes[0].wait(60).code == 223
    log = (tmp_path / "0.log").read_text(encoding="utf-8")
    assert re.search(r"preflight failed: node 1 \(10\.77\.3\.2\): .*10\.77\.3\.3.*No route to host", log), log


def test_nodes_of_which_one_has_too_little_shared_memory_are_223(start: Any, tmp_path: Path) -> None:
    nodes = start(2, "hostname", shm_mib=(64, 1))
    assert nodes[0].wait(60).code == 223
    log = (tmp_path / "0.log").read_text(encoding="utf-8")
    assert "preflight failed" in log
    assert "shm" in log


def test_a_silent_program_ends_with_its_own_code_where_idle_connections_are_forgotten(
    silent: Mapping[str, Any], mpi_bins: Mapping[str, Path]
) -> None:
    if set(silent) != set(mpi_bins):
        _without("no iptables, or no network namespaces")
    for mpi, (main, log) in silent.items():
        end = main.wait(SILENT_S + 60)
        said = log.read_text(encoding="utf-8")
        assert end.code == 3, f"{mpi}:\n{said}"
        assert f'"mpi":"{mpi}' in said
        # mpiexec has heard of it too: main did not have to give it up after MPIEXEC_S.
        computed = next(line.partition(EVENT_MARK)[2] for line in said.splitlines() if '"event":"computed"' in line)
        assert SILENT_S <= json.loads(computed)["seconds"] < SILENT_S + MPIEXEC_S - 0.5, f"{mpi}:\n{said}"
