"""MPI's control connections pass a relay that keeps them alive."""

from __future__ import annotations

import socket
import threading

import pytest

from workload.gang import keepalive
from workload.gang.launch import KEEPALIVE_S

HYDRA = '"/usr/bin/hydra_pmi_proxy" --control-port {} --rmk user --proxy-id 1'
INTEL = "/opt/bin//hydra_bstrap_proxy --upstream-host {} --upstream-port {} --pgid 0"


def serve_once(answer: bytes) -> tuple[str, int, list[bytes], threading.Thread]:
    listener = socket.create_server(("127.0.0.2", 0))
    heard: list[bytes] = []

    def serve() -> None:
        with listener:
            connection, _ = listener.accept()
            with connection:
                while data := connection.recv(100):
                    heard.append(data)
                    connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    host, port = listener.getsockname()[:2]
    return host, port, heard, thread


@pytest.mark.parametrize("form", ["mpich", "intel"])
def test_a_daemon_reaches_mpiexec_through_the_relay(form: str) -> None:
    host, port, heard, thread = serve_once(b"pong")
    command = HYDRA.format(f"{host}:{port}") if form == "mpich" else INTEL.format(host, port)
    guarded = keepalive.guard(command, "127.0.0.9")
    assert guarded != command
    pattern = keepalive.MPICH_PORT if form == "mpich" else keepalive.INTEL_PORT
    match = pattern.search(guarded)
    assert match is not None
    assert match[2] == "127.0.0.1"
    with socket.create_connection(("127.0.0.1", int(match.groups()[-1]))) as daemon:
        daemon.sendall(b"ping")
        assert daemon.recv(100) == b"pong"
        daemon.shutdown(socket.SHUT_WR)
        assert daemon.recv(100) == b""
    thread.join(10)
    assert heard == [b"ping"]


def test_what_crosses_no_network_or_keeps_itself_alive_is_left_as_it_is() -> None:
    assert keepalive.guard(HYDRA.format("10.0.0.1:5"), "10.0.0.1") == HYDRA.format("10.0.0.1:5")
    assert keepalive.guard(INTEL.format("10.0.0.1", 5), "10.0.0.1") == INTEL.format("10.0.0.1", 5)
    assert keepalive.guard("A=b; export A; prted --x", "10.0.0.2") == "A=b; export A; prted --x"


def test_the_kernel_is_told_to_keep_the_connection_alive() -> None:
    with socket.socket() as connection:
        keepalive.keep_alive(connection)
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == KEEPALIVE_S < 60


def test_a_main_that_is_gone_ends_the_daemons_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    local = keepalive.relay("127.0.0.1", port)
    with socket.create_connection(("127.0.0.1", local)) as daemon:
        assert daemon.recv(1) == b""
