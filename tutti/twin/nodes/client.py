"""`NodeHost`: the handle by which the twin, tests and benches start nodes and act on them."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from tutti.twin.nodes import cgroups
from tutti.twin.nodes.spec import Drill, Isolation, NodeEnd, NodeSpec

_PACKET: Final = 1 << 20
_START_S: Final = 20.0


class NodeHostError(RuntimeError):
    """The node host cannot give what was asked for; the message says why."""


@dataclass
class RunningNode:
    """One node that was started. `started` and `ended` are set by the host's reports."""

    spec: NodeSpec
    host: NodeHost
    started: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    end: NodeEnd | None = None
    pid: int = 0  # of its main process, as the host's PID namespace counts

    def wait(self, seconds: float | None = None) -> NodeEnd:
        """How it ended.

        Raises
        ------
        TimeoutError
            It still runs after `seconds`.

        """
        if not self.ended.wait(seconds) or self.end is None:
            raise TimeoutError(f"node {self.spec.key} still runs after {seconds} s")
        return self.end

    def signal(self, number: int) -> None:
        """To its main process alone, as Batch's agent does."""
        self.host.signal(self.spec.key, number)

    def drill(self, action: Drill) -> None:
        self.host.drill(self.spec.key, action)


class NodeHost:
    """A running node host. Closing it, or the end of the process that holds it, ends every node."""

    def __init__(
        self,
        isolation: Isolation,
        *,
        name: str,
        user_namespace: bool | None = None,
        on_start: Callable[[str, int], None] = lambda _key, _pid: None,
        on_end: Callable[[NodeEnd], None] = lambda _end: None,
    ) -> None:
        """Start it.

        Parameters
        ----------
        isolation
            `process` or `netns`.
        name
            Names its control groups; its own among all twins of this machine.
        user_namespace
            Whether `netns` makes a user namespace first; by default where the caller is not root.
        on_start, on_end
            Called in a thread of the host's.

        Raises
        ------
        NodeHostError
            This machine does not permit that isolation.

        """
        self.isolation = isolation
        self.name = name
        self._nodes: dict[str, RunningNode] = {}
        self._lock = threading.Lock()
        self._on_start = on_start
        self._on_end = on_end
        self._listening: list[socket.socket] = []
        self._listened = threading.Condition()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if user_namespace is None:
            user_namespace = os.geteuid() != 0
        argv = [sys.executable, "-m", "tutti.twin.nodes.host", str(theirs.fileno()), isolation, name]
        with theirs:
            self._process = subprocess.Popen(
                [*argv, "1" if user_namespace else "0"],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._socket.settimeout(_START_S)
        try:
            ready = json.loads(self._socket.recv(_PACKET) or b'{"event":"failed","reason":"it ended at once"}')
        except TimeoutError:
            ready = {"event": "failed", "reason": f"no answer within {_START_S:g} s"}
        if ready["event"] != "ready":
            self._socket.close()
            self._process.wait()
            raise NodeHostError(f"isolation {isolation} cannot be had here: {ready['reason']}")
        self._socket.settimeout(None)
        self.contained: str = ready["contained"]  # "cgroup v1", "cgroup v2" or "none"
        self.pid_namespace: bool = ready["pid_namespace"]
        self._reader = threading.Thread(target=self._read, name="node-host", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self, spec: NodeSpec) -> RunningNode:
        """Ask for a node; `RunningNode.started` is set when its command runs."""
        node = RunningNode(spec=spec, host=self)
        with self._lock:
            if spec.key in self._nodes:
                raise ValueError(f"node {spec.key} runs already")
            self._nodes[spec.key] = node
        self._send(do="start", spec=spec.to_json())
        return node

    def signal(self, key: str, number: int) -> None:
        self._send(do="signal", key=key, number=int(number))

    def drill(self, key: str, action: Drill) -> None:
        """Do `action` to the node.

        Raises
        ------
        NodeHostError
            The isolation has no link to cut.

        """
        if action in {Drill.CUT, Drill.MEND} and self.isolation is not Isolation.NETNS:
            raise NodeHostError(
                f"{action}: isolation {self.isolation} has no link of a node's own; "
                "start the twin with: --isolation netns"
            )
        if action is Drill.TERM:
            self.signal(key, 15)
        else:
            self._send(do=action.value, key=key)

    def listen(self, address: str, port: int) -> socket.socket:
        """A listening socket in the nodes' own network (`netns`)."""
        with self._listened:
            self._send(do="listen", address=address, port=port)
            if not self._listened.wait_for(lambda: self._listening, _START_S):
                raise NodeHostError(f"the node host opened no socket on {address}")
            return self._listening.pop()

    def close(self) -> None:
        """End all nodes and the host itself; returns when nothing of them is left."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        self._process.wait()
        self._reader.join(_START_S)
        self._socket.close()
        # The host removes its control groups itself, unless it was killed.
        if self.contained != "none" and (groups := cgroups.find(self.name)):
            groups.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, **message: Any) -> None:
        with contextlib.suppress(BrokenPipeError), self._lock:
            self._socket.send(json.dumps(message).encode())

    def _read(self) -> None:
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._socket, _PACKET, 1)
            except OSError:
                data, descriptors = b"", []
            if not data:
                break
            self._take(json.loads(data), descriptors)
        # The host is gone, and all nodes with it: the minders see to that.
        with self._lock:
            lost = list(self._nodes)
        for key in lost:
            self._take({"event": "ended", "key": key, "code": 137, "reason": "the node host is gone"}, [])

    def _take(self, report: Mapping[str, Any], descriptors: list[int]) -> None:
        if report["event"] == "listening":
            with self._listened:
                self._listening.append(socket.socket(fileno=descriptors[0]))
                self._listened.notify_all()
            return
        key = report["key"]
        with self._lock:
            node = self._nodes.pop(key, None) if report["event"] == "ended" else self._nodes.get(key)
        if node is None:
            return
        if report["event"] == "started":
            node.pid = report["pid"]
            node.started.set()
            self._on_start(key, node.pid)
            return
        node.end = NodeEnd(**{k: v for k, v in report.items() if k in NodeEnd.__dataclass_fields__})
        node.ended.set()
        self._on_end(node.end)
