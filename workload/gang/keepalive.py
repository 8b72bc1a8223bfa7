"""Keeps the control connections of Hydra and Intel MPI alive.

Their proxies talk to mpiexec over TCP without keepalive, and newer instances drop what idles for 350 s: mpiexec
would never hear of the end of a silent job (traps 5). So the proxy is told a port of its own member, which relays to
mpiexec over a connection that is kept alive. (Setting the option on the proxy's own socket needs pidfd_getfd, which
Docker's seccomp profile denies.) Open MPI's daemons keep theirs alive when told to: see `launch`.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from typing import Final

from workload.gang.launch import KEEPALIVE_PROBES, KEEPALIVE_S

# MPICH: `--control-port HOST:PORT`. Intel MPI: `--upstream-host HOST --upstream-port PORT`.
MPICH_PORT: Final = re.compile(r"(--control-port\s+)([^\s:]+):(\d+)")
INTEL_PORT: Final = re.compile(r"(--upstream-host\s+)(\S+)(\s+--upstream-port\s+)(\d+)")
CONNECT_S: Final = 60.0
CHUNK: Final = 65536


def guard(command: str, own: str) -> str:
    """The daemon's `command`, with its control connection through a relay of this process where it needs one.

    `own` is this node's address: a connection to it crosses no network.
    """
    if f" {own}:" in command or f"--upstream-host {own} " in command:
        return command
    if match := MPICH_PORT.search(command):
        port = relay(match[2], int(match[3]))
        return command[: match.start()] + f"{match[1]}127.0.0.1:{port}" + command[match.end() :]
    if match := INTEL_PORT.search(command):
        port = relay(match[2], int(match[4]))
        return command[: match.start()] + f"{match[1]}127.0.0.1{match[3]}{port}" + command[match.end() :]
    return command


def relay(host: str, port: int) -> int:
    """Relay one connection to `host`:`port`, kept alive; returns the local port that takes it."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1)
    # Threads and not the loop: MPI's wire-up passes here, and must wait neither for the heartbeat nor hold it up.
    threading.Thread(target=_serve, args=(listener, host, port), name="keepalive", daemon=True).start()
    return int(listener.getsockname()[1])


def keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)


def _serve(listener: socket.socket, host: str, port: int) -> None:
    with listener:
        listener.settimeout(CONNECT_S)
        try:
            daemon, _ = listener.accept()
        except OSError:
            return  # the daemon did not start: mpiexec hears that from its agent
    daemon.settimeout(None)
    with daemon:
        try:
            mpiexec = socket.create_connection((host, port), timeout=CONNECT_S)
        except OSError:
            return  # closing the daemon's connection tells it
        with mpiexec:
            mpiexec.settimeout(None)
            keep_alive(mpiexec)
            for connection in (daemon, mpiexec):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=_copy, args=(mpiexec, daemon), name="keepalive", daemon=True)
            back.start()
            _copy(daemon, mpiexec)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            target.sendall(data)
    for end, how in ((target, socket.SHUT_WR), (source, socket.SHUT_RD)):
        with contextlib.suppress(OSError):
            end.shutdown(how)
