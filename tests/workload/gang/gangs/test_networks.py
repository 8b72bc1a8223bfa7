"""What takes a network of its own for each node: a cut link, a host that goes."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tutti.twin.nodes import Drill, Isolation, NodeHost, NodeHostError, NodeSpec

pytestmark = pytest.mark.netns
BIN = Path(sys.executable).parent


@pytest.fixture
def start(mpi: str, mpi_bin: Path, tmp_path: Path) -> Iterator[Callable[..., dict[int, Any]]]:
    """Start a gang of nodes in network namespaces; returns its nodes."""
    try:
        host = NodeHost(Isolation.NETNS, name=f"tutti-gang-{uuid4().hex[:8]}")
    except NodeHostError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    with host, tempfile.TemporaryDirectory(prefix="tutti-gang-") as folder:
        job = uuid4().hex[:8]

        def make(
            count: int, *argv: str, shm_mib: Sequence[int] = (), first: str = "", **changes: str
        ) -> dict[int, Any]:
            """`shm_mib`: of each node, else 64; `first`: what node 1 does, by a shell, before it begins."""
            nodes = {}
            command = (str(BIN / "tutti-node"), "--", *argv)
            for index in range(count):
                environ = {
                    "PATH": f"{mpi_bin}:{BIN}:/usr/bin:/bin",
                    "TUTTI_MPI": mpi,
                    "HOME": folder,
                    "TMPDIR": folder,
                    "AWS_BATCH_JOB_ID": f"{job}#{index}",
                    "AWS_BATCH_JOB_ATTEMPT": "1",
                    "AWS_BATCH_JOB_NODE_INDEX": str(index),
                    "AWS_BATCH_JOB_NUM_NODES": str(count),
                    "AWS_BATCH_JOB_MAIN_NODE_INDEX": "0",
                    "TUTTI_SECRET": "secret",
                    "TUTTI_ADDRESS": f"10.77.3.{index + 1}",
                    "TUTTI_CPUSET": "none",
                    "TUTTI_NODE_SILENCE": "5",
                    **({"AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS": "10.77.3.1"} if index else {}),
                    **changes,
                }
                nodes[index] = host.start(
                    NodeSpec(
                        key=f"{job}#{index}",
                        argv=(*(("sh", "-c", f'{first}; exec "$@"', "sh") if first and index == 1 else ()), *command),
                        shm_mib=shm_mib[index] if shm_mib else 64,
                        environment=environ,
                        folder=f"{folder}/{index}",
                        log=str(tmp_path / f"{index}.log"),
                        address=f"10.77.3.{index + 1}",
                        host_name=f"node-{index}",
                    )
                )
            return nodes

        yield make


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
    nodes = start(3, "hostname", first="PATH=$PATH:/usr/sbin:/sbin ip route add unreachable 10.77.3.3/32")
    assert nodes[0].wait(60).code == 223
    log = (tmp_path / "0.log").read_text(encoding="utf-8")
    assert re.search(r"preflight failed: node 1 \(10\.77\.3\.2\): .*10\.77\.3\.3.*No route to host", log), log


def test_nodes_of_which_one_has_too_little_shared_memory_are_223(start: Any, tmp_path: Path) -> None:
    nodes = start(2, "hostname", shm_mib=(64, 1))
    assert nodes[0].wait(60).code == 223
    log = (tmp_path / "0.log").read_text(encoding="utf-8")
    assert "preflight failed" in log
    assert "shm" in log
