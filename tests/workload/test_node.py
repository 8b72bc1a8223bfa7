from __future__ import annotations

import http.server
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workload import contract
from workload.interfaces import holder_of, interfaces, source_address
from workload.node import Node, NodeError, parse_cpus, physical

CHILD = {
    "AWS_BATCH_JOB_ID": "b6e0#2",
    "AWS_BATCH_JOB_ATTEMPT": "3",
    "AWS_BATCH_JOB_NODE_INDEX": "2",
    "AWS_BATCH_JOB_NUM_NODES": "4",
    "AWS_BATCH_JOB_MAIN_NODE_INDEX": "0",
    "AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS": "127.0.0.1",
    "TUTTI_ADDRESS": "127.9.9.3",
}


def test_a_child_reads_what_batch_says() -> None:
    node = Node.from_environment({**CHILD, "TUTTI_SHARED": "/mnt/efs", "TMPDIR": "/scratch", "TUTTI_NODE_SILENCE": "5"})
    assert (node.job_id, node.attempt, node.index, node.count, node.is_main) == ("b6e0", 3, 2, 4, False)
    assert (node.address, node.main_address, node.port) == ("127.9.9.3", "127.0.0.1", contract.DEFAULT_PORT)
    assert (node.shared, node.silence_s) == (Path("/mnt/efs"), 5.0)
    assert node.job_folder == Path("/scratch/b6e0-3-2")
    assert node.interface.network == "127.0.0.0/8"


def test_a_container_without_node_variables_is_a_gang_of_one_on_any_port() -> None:
    node = Node.from_environment({"AWS_BATCH_JOB_ID": "b6e0:17"})
    assert (node.index, node.count, node.is_main, node.port) == (0, 1, True, 0)
    assert node.address == node.main_address == "127.0.0.1"
    assert node.job_name == "b6e0-17"


def test_main_is_main_wherever_its_index_is() -> None:
    node = Node.from_environment({**CHILD, "AWS_BATCH_JOB_MAIN_NODE_INDEX": "2"})
    assert node.is_main
    assert node.main_address == node.address


def test_everything_that_is_wrong_is_named_at_once() -> None:
    bad = {
        **CHILD,
        "AWS_BATCH_JOB_ATTEMPT": "x",
        "AWS_BATCH_JOB_NODE_INDEX": "9",
        "TUTTI_CPUSET": "a-b",
        "TUTTI_ADDRESS": "203.0.113.9",
    }
    with pytest.raises(NodeError) as caught:
        Node.from_environment(bad)
    said = "; ".join(caught.value.problems)
    for words in (
        "JOB_ATTEMPT: got 'x'",
        "indices below",
        "TUTTI_CPUSET: got 'a-b'",
        "no interface of this node holds its address 203.0.113.9",
    ):
        assert words in said


def test_a_child_without_mains_address_is_told() -> None:
    with pytest.raises(NodeError, match="PRIVATE_IPV4_ADDRESS is not set, and node 2 is a child"):
        Node.from_environment({k: v for k, v in CHILD.items() if "PRIVATE" not in k})


@pytest.fixture
def metadata() -> Iterator[list[bytes]]:
    """An ECS agent: the list's first item is what it answers; its address is in the second."""
    answers: list[bytes] = [b"{}"]

    class Agent(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if answers[0] else 404)
            self.end_headers()
            self.wfile.write(answers[0])

        def log_message(self, *_: object) -> None:
            return

    with http.server.HTTPServer(("127.0.0.1", 0), Agent) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        answers.append(f"http://127.0.0.1:{server.server_port}/v4/abc".encode())
        yield answers
        server.shutdown()


def test_on_ecs_the_agent_says_the_address(metadata: list[bytes]) -> None:
    metadata[0] = json.dumps({"Networks": [{"NetworkMode": "awsvpc", "IPv4Addresses": ["127.4.4.4"]}]}).encode()
    environ = {k: v for k, v in CHILD.items() if k != "TUTTI_ADDRESS"}
    node = Node.from_environment({**environ, "ECS_CONTAINER_METADATA_URI_V4": metadata[1].decode()})
    assert node.address == "127.4.4.4"


@pytest.mark.parametrize("answer", [b"", b"not json", b"{}", b'{"Networks": []}'])
def test_an_agent_that_does_not_say_it_is_an_error_with_its_address(metadata: list[bytes], answer: bytes) -> None:
    metadata[0] = answer
    environ = {k: v for k, v in CHILD.items() if k != "TUTTI_ADDRESS"}
    with pytest.raises(NodeError, match=r"the ECS metadata at http://127\.0\.0\.1"):
        Node.from_environment({**environ, "ECS_CONTAINER_METADATA_URI_V4": metadata[1].decode()})


def test_without_an_agent_a_child_has_the_address_from_which_it_reaches_main() -> None:
    node = Node.from_environment({k: v for k, v in CHILD.items() if k != "TUTTI_ADDRESS"})
    assert node.address == "127.0.0.1"


def test_cores_are_physical_and_within_the_cpuset() -> None:
    allowed = sorted(os.sched_getaffinity(0))
    node = Node.from_environment({"TUTTI_CPUSET": str(allowed[0])})
    assert (node.cores, node.bind) == ((allowed[0],), True)
    everything = Node.from_environment({})
    assert set(everything.cores) <= set(allowed)


def test_a_node_that_shares_its_cores_has_one_slot_and_is_bound_to_nothing() -> None:
    node = Node.from_environment({"TUTTI_CPUSET": "none"})
    assert (len(node.cores), node.bind) == (1, False)


@given(st.sets(st.integers(0, 63), min_size=1), st.integers(1, 4))
def test_one_cpu_of_each_core_is_taken(cpus: set[int], threads: int) -> None:
    cores = physical(cpus, lambda cpu: str(cpu // threads))
    assert len(cores) == len({cpu // threads for cpu in cpus})
    assert set(cores) <= cpus


def test_the_kernels_cpu_lists_are_read() -> None:
    assert parse_cpus("0-2,7\n") == [0, 1, 2, 7]
    with pytest.raises(ValueError):
        parse_cpus("1-x")


def test_memory_is_no_more_than_the_machines() -> None:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    assert 0 < Node.from_environment({}).memory_mib <= machine


def test_the_loopback_interface_holds_every_address_of_its_network() -> None:
    holder = holder_of("127.77.1.2")
    assert holder is not None
    assert (holder.address, holder.network) == ("127.77.1.2", "127.0.0.0/8")
    assert holder_of("203.0.113.1") is None


def test_every_interface_holds_its_own_address() -> None:
    for interface in interfaces():
        assert holder_of(interface.address) == interface


def test_the_way_to_a_peer_starts_at_an_own_address() -> None:
    assert source_address("127.0.0.1") == "127.0.0.1"
    assert source_address("not an address").startswith("127.")
