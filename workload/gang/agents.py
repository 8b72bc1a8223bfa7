"""Main's side of the launch agent: mpiexec calls `agent.sh HOST COMMAND...` as it would call ssh, once a node.

sh has no Unix sockets, so agent and roster speak through two named pipes a node in a folder that only this user can
enter. What SO_PEERCRED would say of a socket's peer, the kernel says of a pipe's too: the process that claims to have
asked must hold that very pipe open (/proc/PID/fd) and belong to this user.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Final

from workload.gang.loop import Loop

SCRIPT: Final = Path(__file__).with_name("agent.sh")
LONGEST_COMMAND: Final = 1 << 20
READ_BYTES: Final = 65536


class AgentCall:
    """One call: run `command` on `host` as `sh -c` would, then `finish` with its exit code."""

    def __init__(self, host: str, command: str, end_fd: int) -> None:
        self.host = host
        self.command = command
        self._end_fd = end_fd
        self.finished = False

    def finish(self, code: int) -> None:
        """The daemon has ended: so does the agent, with the same code."""
        if not self.finished:
            self.finished = True
            with contextlib.suppress(OSError):
                os.write(self._end_fd, b"%d\n" % code)


class _Pipes:
    """One host's two pipes."""

    def __init__(self, folder: Path, host: str) -> None:
        self.ask_path = folder / f"{host}.ask"
        end_path = folder / f"{host}.end"
        for path in (self.ask_path, end_path):
            os.mkfifo(path, 0o600)
        # Both for reading and writing: so they never end, and opening them waits for nobody.
        self.ask = os.open(self.ask_path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.end = os.open(end_path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.heard = b""
        self.alive: int | None = None  # pidfd of the agent

    def close(self) -> None:
        for fd in (self.ask, self.end, self.alive):
            if fd is not None:
                os.close(fd)


class AgentServer:
    """Hears the agents of one launch.

    `on_call` gets each call, once a host; `on_gone` gets a call whose agent ended before its daemon: mpiexec has given
    that daemon up. `refused` says why a request was not believed.
    """

    def __init__(
        self,
        loop: Loop,
        folder: Path,
        hosts: Iterable[str],
        *,
        on_call: Callable[[AgentCall], None],
        on_gone: Callable[[AgentCall], None],
        refused: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._folder = folder / "agents"
        self._folder.mkdir(mode=0o700)
        self.agent = str(self._folder / "agent")
        # A copy: it finds its pipes beside itself, and needs no bit of the installed file's mode.
        shutil.copyfile(SCRIPT, self.agent)
        Path(self.agent).chmod(0o700)
        self._on_call = on_call
        self._on_gone = on_gone
        self._refused = refused
        self._pipes = {host: _Pipes(self._folder, host) for host in hosts}
        for host, pipes in self._pipes.items():
            loop.add(pipes.ask, partial(self._hear, host))

    def close(self) -> None:
        """Close and remove the pipes. Agents that still wait end by themselves."""
        for pipes in self._pipes.values():
            self._loop.remove(pipes.ask)
            if pipes.alive is not None:
                self._loop.remove(pipes.alive)
            pipes.close()
        self._pipes = {}
        shutil.rmtree(self._folder, ignore_errors=True)

    def _hear(self, host: str) -> None:
        pipes = self._pipes[host]
        with contextlib.suppress(BlockingIOError):
            pipes.heard += os.read(pipes.ask, READ_BYTES)
        if b"\0" not in pipes.heard:
            if len(pipes.heard) > LONGEST_COMMAND:
                pipes.heard = b""
                self._refused(f"agent for {host}: a command of more than {LONGEST_COMMAND} bytes")
            return
        message, _, pipes.heard = pipes.heard.partition(b"\0")
        claimed, _, command = message.partition(b"\n")
        alive = holder(claimed, pipes.ask_path)
        if alive is None:
            self._refused(f"agent for {host}: process {claimed[:20]!r} does not hold this user's pipe")
            return
        if pipes.alive is not None:
            os.close(alive)
            self._refused(f"agent for {host}: asked twice")
            return
        pipes.alive = alive
        call = AgentCall(host, os.fsdecode(command), pipes.end)
        self._loop.add(alive, lambda: self._gone(host, call))
        self._on_call(call)

    def _gone(self, host: str, call: AgentCall) -> None:
        pipes = self._pipes[host]
        if pipes.alive is not None:
            self._loop.remove(pipes.alive)
            os.close(pipes.alive)
            pipes.alive = None
        if not call.finished:
            call.finished = True
            self._on_gone(call)


def holder(claimed: bytes, pipe: Path) -> int | None:
    """A pidfd of the process with the `claimed` pid, where it is this user's and holds `pipe` open; else None."""
    if not claimed.isdigit():
        return None
    pid = int(claimed)
    try:
        alive = os.pidfd_open(pid)
    except (OSError, OverflowError):
        return None
    with contextlib.suppress(OSError):
        wanted = pipe.stat()
        # The owner of the folder is the process's user; after the pidfd, so that it is this process and no later one.
        if Path(f"/proc/{pid}").stat().st_uid == os.geteuid():
            for fd in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    held = fd.stat()
                    if (held.st_dev, held.st_ino) == (wanted.st_dev, wanted.st_ino):
                        return alive
    os.close(alive)
    return None
