"""A gang on nodes with networks of their own that forget idle connections, as newer instances do (traps 5)."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tutti.twin.nodes import Isolation, NodeHost, NodeSpec, RunningNode
from tutti.twin.nodes.client import NodeHostError
from workload.contract import EVENT_MARK
from workload.gang.computation import MPIEXEC_S
from workload.gang.installed import Installation

BIN = Path(sys.executable).parent
IN_CI = os.environ.get("CI") == "true"
FORGET_S = 10
SILENT_S = 60
# A connection that idles for FORGET_S is forgotten, and what comes on it after that is dropped without an answer.
FORGETFUL = f"""
set -e
echo {FORGET_S} > /proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established
echo 0 > /proc/sys/net/netfilter/nf_conntrack_tcp_loose
for chain in INPUT OUTPUT; do
    iptables -A $chain -i lo -j ACCEPT 2>/dev/null || iptables -A $chain -o lo -j ACCEPT
    iptables -A $chain -p tcp -m conntrack --ctstate INVALID -j DROP
    iptables -A $chain -p tcp -m conntrack --ctstate NEW -m tcp ! --syn -j DROP
done
exec "$@"
"""


@pytest.fixture
def host() -> Iterator[NodeHost]:
    if shutil.which("iptables") is None:
        _without("no iptables")
    try:
        one = NodeHost(Isolation.NETNS, name=f"keepalive-{os.getpid()}")
    except NodeHostError as error:
        _without(str(error))
    yield one
    one.close()


def _without(why: str) -> None:
    if IN_CI:
        pytest.fail(why)
    pytest.skip(why)


def start(host: NodeHost, folder: Path, job: str, subnet: int, prefix: Path, argv: list[str]) -> list[RunningNode]:
    """Two nodes of a job on forgetful networks, main first."""
    nodes = []
    for index in range(2):
        place = folder / job / f"node-{index}"
        (place / "tmp").mkdir(parents=True)
        address = f"10.77.{subnet}.{index + 1}"
        environment = {
            "PATH": f"{prefix / 'bin'}:{BIN}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(place),
            "TMPDIR": str(place / "tmp"),
            "AWS_BATCH_JOB_ID": f"{job}#{index}",
            "AWS_BATCH_JOB_ATTEMPT": "1",
            "AWS_BATCH_JOB_NODE_INDEX": str(index),
            "AWS_BATCH_JOB_NUM_NODES": "2",
            "AWS_BATCH_JOB_MAIN_NODE_INDEX": "0",
            "TUTTI_ADDRESS": address,
            "TUTTI_SECRET": job,
            "TUTTI_CPUSET": "none",
            "TUTTI_NODE_SILENCE": "5",
        }
        if index:
            environment["AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS"] = f"10.77.{subnet}.1"
        spec = NodeSpec(
            key=f"{job}#{index}",
            argv=("/bin/sh", "-c", FORGETFUL, "sh", *argv),
            environment=environment,
            folder=str(place),
            log=str(place / "log"),
            address=address,
            host_name=f"{job}-{index}",
            hosts={f"{job}-{i}": f"10.77.{subnet}.{i + 1}" for i in range(2)},
        )
        nodes.append(host.start(spec))
    return nodes


@pytest.mark.netns
def test_a_silent_program_ends_with_its_own_code_where_idle_connections_are_forgotten(
    host: NodeHost, short_path: Path, installation_of: Callable[[str], Installation]
) -> None:
    argv = [str(BIN / "tutti-node"), "--", "sh", "-c", f"sleep {SILENT_S}; exit 3"]
    mains = {}
    for subnet, mpi in enumerate(("mpich", "openmpi"), start=20):
        mains[mpi] = start(host, short_path, mpi, subnet, installation_of(mpi).prefix, argv)[0]
    for mpi, main in mains.items():
        end = main.wait(SILENT_S + 60)
        log = (short_path / mpi / "node-0" / "log").read_text(encoding="utf-8")
        assert end.code == 3, f"{mpi}:\n{log}"
        # mpiexec has heard of it too: main did not have to give it up after MPIEXEC_S.
        computed = next(line.partition(EVENT_MARK)[2] for line in log.splitlines() if '"event":"computed"' in line)
        assert SILENT_S <= json.loads(computed)["seconds"] < SILENT_S + MPIEXEC_S - 0.5, f"{mpi}:\n{log}"
