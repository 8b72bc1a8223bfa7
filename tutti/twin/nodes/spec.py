"""What a node of the twin is: plain values that the twin hands to the node host, and what comes back."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final, Protocol, Self

MIB: Final = 1024 * 1024


class Isolation(StrEnum):
    """How far nodes are apart."""

    PROCESS = "process"  # plain processes; each node has its own loopback address
    NETNS = "netns"  # own network, UTS, IPC, mount and (where it can be had) PID namespace
    DOCKER = "docker"  # containers of the real image


class Drill(StrEnum):
    """What can be done to a running node."""

    KILL = "kill"  # SIGKILL to everything on it
    LOSE = "lose"  # its instance goes: off the network first, then killed, without an exit code
    STOP = "stop"  # SIGSTOP to everything on it
    CONT = "cont"
    CUT = "cut"  # its link goes down
    MEND = "mend"
    TERM = "term"  # SIGTERM to its main process, as an instance that is going does


@dataclass(frozen=True, kw_only=True)
class NodeSpec:
    """One node to start. `key` is the node's own among all that the host runs."""

    key: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]  # the whole of it: nothing is inherited
    folder: str  # where it starts; made if it is not there
    log: str  # the file that its output is appended to (see `logfile`)
    address: str = ""
    host_name: str = ""  # netns
    hosts: Mapping[str, str] = field(default_factory=dict)  # netns: name -> address, for its hosts file
    shm_mib: int = 64  # netns: the size of its /dev/shm
    cpus: tuple[int, ...] = ()  # logical CPUs it may run on; none named: all
    memory_mib: int = 0  # 0: no limit; held where a cgroup can be had
    processes: int = 2048  # at most; held where a cgroup can be had
    open_files: int = 65_536  # wanted; never above the hard limit
    image: str = ""  # docker
    mounts: Mapping[str, str] = field(default_factory=dict)  # docker: folder here -> folder in the container
    log_limit: int = 64 * MIB  # bytes; what is more is dropped, and a line says so

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(**{**data, "argv": tuple(data["argv"]), "cpus": tuple(data["cpus"])})


@dataclass(frozen=True, kw_only=True)
class NodeEnd:
    """How a node ended. `code` is as a shell says it: 128 + the signal's number after a signal."""

    key: str
    code: int
    leftovers: int = 0  # processes that outlived its main process and were ended
    out_of_memory: bool = False
    started: bool = True  # False: the command could not be started; `reason` says why
    reason: str = ""


class Nodes(Protocol):
    """What runs nodes: a node host, or a Docker engine."""

    isolation: Isolation
    contained: str  # by what fork bombs and memory hogs are held; "none"
    pid_namespace: bool

    def start(self, spec: NodeSpec) -> object: ...

    def drill(self, key: str, action: Drill) -> None: ...

    def listen(self, address: str, port: int) -> socket.socket: ...

    def close(self) -> None: ...
