"""The node host: a process that forks a minder for each node. Run by `client.NodeHost`, one thread, light imports.

It holds the namespaces that nodes share (a user namespace where the caller is not root, the bridge's network), so that
whatever becomes of the twin, nothing is left: it ends when its socket closes, its minders end when theirs close.
Messages are JSON objects, one a packet, on a SOCK_SEQPACKET socket.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
from typing import Any

from tutti.twin.nodes import cgroups, linux, processes
from tutti.twin.nodes.linux import Namespace
from tutti.twin.nodes.minder import Minder
from tutti.twin.nodes.network import Bridge
from tutti.twin.nodes.spec import Drill, Isolation, NodeSpec

_PACKET = 1 << 20


class Host:
    def __init__(self, client: socket.socket, *, isolation: Isolation, name: str, user_namespace: bool) -> None:
        self._client = client
        self._nodes: dict[int, tuple[str, socket.socket, int]] = {}  # serial -> key, the minder's socket and process
        self._serial = 0
        # Before any namespace: the control groups are found by the caller's own place among them.
        self._cgroups = cgroups.find(name)
        linux.become_subreaper()
        self._bridge = _bridge(user_namespace=user_namespace) if isolation is Isolation.NETNS else None
        self._pid_namespace = self._bridge is not None and _pid_namespace_works()

    def run(self) -> None:
        contained = f"cgroup v{self._cgroups.version}" if self._cgroups else "none"
        self._send(event="ready", contained=contained, pid_namespace=self._pid_namespace)
        poll = select.poll()
        poll.register(self._client, select.POLLIN)
        running = True
        while running or self._nodes:
            watched = {sock.fileno(): serial for serial, (_, sock, _) in self._nodes.items()}
            poll = select.poll()
            for descriptor in [*watched, *([self._client.fileno()] if running else [])]:
                poll.register(descriptor, select.POLLIN)
            for descriptor, _ in poll.poll():
                if descriptor in watched:
                    self._report(watched[descriptor])
                elif not self._serve():
                    running = False
                    for _, sock, _ in self._nodes.values():
                        sock.shutdown(socket.SHUT_WR)
        if self._cgroups:
            self._cgroups.remove()

    def _serve(self) -> bool:
        """One request; False when the client is gone."""
        message = self._client.recv(_PACKET)
        if not message:
            return False
        request = json.loads(message)
        match request["do"]:
            case "start":
                self._start(NodeSpec.from_json(request["spec"]))
            case "listen":
                self._listen(request["address"], request["port"])
            case action:
                self._act(request["key"], action, request)
        return True

    def _start(self, spec: NodeSpec) -> None:
        self._serial += 1
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if (pid := os.fork()) == 0:
            # A minder keeps nothing of the host's: a copy of another minder's socket would hide the host's end from it.
            self._client.close()
            ours.close()
            for _, sock, _ in self._nodes.values():
                sock.close()
            code = 1
            try:
                Minder(
                    spec,
                    serial=self._serial,
                    control=theirs,
                    bridge=self._bridge,
                    cgroups=self._cgroups,
                    pid_namespace=self._pid_namespace,
                ).run()
                code = 0
            except BaseException as error:  # noqa: BLE001  a forked child must never return into its parent's code
                print(f"tutti-twin: the minder of {spec.key} failed: {error!r}", file=sys.stderr, flush=True)
            finally:
                os._exit(code)
        theirs.close()
        self._nodes[self._serial] = (spec.key, ours, pid)

    def _report(self, serial: int) -> None:
        """Pass on what a minder says; a minder that is gone without a word was killed, and its node with it."""
        key, sock, _ = self._nodes[serial]
        with contextlib.suppress(ConnectionError):
            if message := sock.recv(_PACKET):
                report = json.loads(message)
                self._send(key=key, **report)
                if report["event"] != "ended":
                    return
                self._forget(serial)
                return
        self._forget(serial)
        found = processes.descendants(os.getpid()) - {pid for _, _, pid in self._nodes.values()}
        minded: set[int] = set()
        for _, _, other in self._nodes.values():
            minded |= processes.descendants(other)
        processes.send(found - minded, signal.SIGKILL)
        self._send(key=key, event="ended", code=137, reason="the node's minder was killed")

    def _forget(self, serial: int) -> None:
        _, sock, pid = self._nodes.pop(serial)
        sock.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass

    def _act(self, key: str, action: str, request: dict[str, Any]) -> None:
        """Drills and signals; one for a node that has ended meanwhile does nothing."""
        for serial, (other, sock, _) in self._nodes.items():
            if other != key:
                continue
            with contextlib.suppress(OSError):
                if action in {Drill.CUT, Drill.MEND, Drill.LOSE} and self._bridge:
                    self._bridge.set_link(serial, up=action == Drill.MEND)
                if action == Drill.LOSE:
                    sock.send(json.dumps({"do": Drill.KILL}).encode())
                elif action not in {Drill.CUT, Drill.MEND}:
                    sock.send(json.dumps(request).encode())

    def _listen(self, address: str, port: int) -> None:
        """A listening socket in the nodes' network, for the twin's server, which is not in it."""
        with socket.create_server((address, port), backlog=1024) as listener:
            answer = json.dumps({"event": "listening", "port": listener.getsockname()[1]}).encode()
            socket.send_fds(self._client, [answer], [listener.fileno()])

    def _send(self, **message: Any) -> None:
        with contextlib.suppress(OSError):
            self._client.send(json.dumps(message).encode())


def _bridge(*, user_namespace: bool) -> Bridge:
    if user_namespace:
        uid, gid = os.getuid(), os.getgid()
        linux.unshare(Namespace.USER)
        for file, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            with open(f"/proc/self/{file}", "w", encoding="ascii") as out:  # noqa: PTH123  written in one call, as the kernel wants
                out.write(text)
    linux.unshare(Namespace.NETWORK | Namespace.MOUNT)
    linux.mount("none", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
    return Bridge()


def _pid_namespace_works() -> bool:
    """Whether a PID namespace with its own /proc can be had: not where parts of /proc are masked, as in containers."""
    if (pid := os.fork()) == 0:
        code = 1
        try:
            linux.unshare(Namespace.PID | Namespace.MOUNT)
            if (inner := os.fork()) == 0:
                linux.mount("proc", "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
                os._exit(0)
            code = os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1])
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def main(argv: list[str]) -> int:
    """`host FD ISOLATION NAME USER_NAMESPACE`."""
    client = socket.socket(fileno=int(argv[0]))
    client.set_inheritable(False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        host = Host(client, isolation=Isolation(argv[1]), name=argv[2], user_namespace=argv[3] == "1")
    except OSError as error:
        client.send(json.dumps({"event": "failed", "reason": str(error)}).encode())
        return 1
    host.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
