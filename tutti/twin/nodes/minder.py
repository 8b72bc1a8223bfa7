"""One node's minder: a small process that starts the node's command, keeps its log, signals it and ends all of it.

It is a sub-reaper, so whatever the node's processes do - daemonise, setsid, clear their environment - they stay below
it. With a PID namespace the kernel ends them with the node's first process anyway. When the node host is gone
(its socket closes), the minder ends the node and itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tutti.twin.nodes import linux, processes
from tutti.twin.nodes.cgroups import Cgroup, Cgroups
from tutti.twin.nodes.container import become_node
from tutti.twin.nodes.linux import Namespace
from tutti.twin.nodes.logfile import LogWriter
from tutti.twin.nodes.network import Bridge
from tutti.twin.nodes.spec import Drill, NodeSpec

_CHUNK = 256 * 1024


class Minder:
    """Runs in a process of its own, forked by the node host, and talks to it over `control`."""

    def __init__(
        self,
        spec: NodeSpec,
        *,
        serial: int,
        control: socket.socket,
        bridge: Bridge | None,
        cgroups: Cgroups | None,
        pid_namespace: bool,
    ) -> None:
        self._spec = spec
        self._serial = serial
        self._control = control
        self._bridge = bridge
        self._cgroups = cgroups
        self._pid_namespace = pid_namespace and bridge is not None
        self._cgroup: Cgroup | None = None
        self._pid = 0
        self._status: int | None = None
        self._host_gone = False

    def run(self) -> None:
        """Start the node, watch it, end what it leaves, report."""
        linux.become_subreaper()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        wake, waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        log = LogWriter(Path(self._spec.log), self._spec.log_limit)
        try:
            Path(self._spec.folder).mkdir(parents=True, exist_ok=True)
            if self._cgroups:
                limits = {"memory_mib": self._spec.memory_mib, "processes": self._spec.processes}
                self._cgroup = self._cgroups.make(f"node-{self._serial}", **limits)
            output, reason = self._start()
        except OSError as error:
            log.close()
            self._tell(event="ended", code=127, started=False, reason=f"CannotStartContainerError: {error}")
            return
        if reason:
            self._status = self._wait_main()
            log.say(reason)
            log.close()
            self._tell(event="ended", code=127, started=False, reason=f"CannotStartContainerError: {reason}")
            return
        self._tell(event="started", pid=self._pid, minder=os.getpid())
        self._watch(output, wake, log)
        leftovers = self._end_leftovers()
        _drain(output, log.feed)
        if leftovers:
            log.say(f"{leftovers} processes were left behind by the node's main process; they were ended")
        log.close()
        out_of_memory = self._cgroup is not None and self._cgroup.out_of_memory()
        if self._cgroup:
            self._cgroup.remove()
        code = os.waitstatus_to_exitcode(self._status or 0)
        report = {"code": code if code >= 0 else 128 - code, "leftovers": leftovers, "out_of_memory": out_of_memory}
        self._tell(event="ended", **report)

    def _start(self) -> tuple[int, str]:
        """Fork the node: the descriptor to read its output from, and why it could not start, if so."""
        output, write_output = os.pipe2(os.O_CLOEXEC)
        failed, write_failed = os.pipe2(os.O_CLOEXEC)
        if self._pid_namespace:
            linux.unshare(Namespace.PID)
        self._pid = os.fork()
        if self._pid == 0:
            become_node(
                self._spec,
                serial=self._serial,
                output=write_output,
                failed=write_failed,
                bridge=self._bridge,
                cgroup=self._cgroup,
                pid_1=self._pid_namespace,
            )
        os.close(write_output)
        os.close(write_failed)
        with os.fdopen(failed, "rb") as file:
            reason = file.read().decode(errors="replace")
        os.set_blocking(output, False)
        return output, reason

    def _watch(self, output: int, wake: int, log: LogWriter) -> None:
        poll = select.poll()
        for descriptor in (output, wake, self._control.fileno()):
            poll.register(descriptor, select.POLLIN)
        while self._status is None:
            for descriptor, _ in poll.poll(1000):
                if descriptor == output:
                    if not _read(output, log.feed):
                        poll.unregister(output)
                elif descriptor == wake:
                    _read(wake, lambda _: None)
                elif not self._obey():
                    poll.unregister(descriptor)
            self._reap()

    def _obey(self) -> bool:
        """Do what the host asks for; False when the host is gone, and with it the node's right to run."""
        message = self._control.recv(65536)
        if not message:
            self._host_gone = True
            self._signal_all(signal.SIGKILL)
            return False
        request = json.loads(message)
        match request["do"]:
            case "signal":
                processes.send([self._pid], request["number"])
            case Drill.STOP:
                self._signal_all(signal.SIGSTOP)
            case Drill.CONT:
                self._signal_all(signal.SIGCONT)
            case Drill.KILL:
                self._signal_all(signal.SIGKILL)
        return True

    def _members(self) -> set[int]:
        found = processes.descendants(os.getpid())
        return found | self._cgroup.processes() if self._cgroup else found

    def _signal_all(self, number: int) -> None:
        # The main process first: with a PID namespace the kernel then ends the rest at once.
        processes.send([self._pid], number)
        processes.send(self._members() - {self._pid}, number)

    def _end_leftovers(self) -> int:
        return processes.end_all(self._members, reap=self._reap)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                if found[0] == self._pid:
                    self._status = found[1]

    def _wait_main(self) -> int:
        return os.waitpid(self._pid, 0)[1]

    def _tell(self, **report: Any) -> None:
        if not self._host_gone:
            with contextlib.suppress(OSError):
                self._control.send(json.dumps(report).encode())


def _read(descriptor: int, take: Callable[[bytes], None]) -> bool:
    """Hand on what can be read now; False at the end of the file."""
    try:
        data = os.read(descriptor, _CHUNK)
    except BlockingIOError:
        return True
    if data:
        take(data)
    return bool(data)


def _drain(descriptor: int, take: Callable[[bytes], None]) -> None:
    """The rest of a pipe whose writers are gone."""
    with contextlib.suppress(BlockingIOError):
        while data := os.read(descriptor, _CHUNK):
            take(data)
