"""Whether a node, and the way to the next one, is fit for MPI: looked at before anything is staged.

Each node looks at itself (`local_checks`) and at its neighbour in the ring (`reach`); main compares what must be equal
on all (`differing`) and shows all nodes a mark on the shared folder.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from workload.gang import limits
from workload.gang.loop import Loop
from workload.node import Node
from workload.settings import Settings

MIB: Final = 1 << 20
SHM: Final = "/dev/shm"  # noqa: S108  where MPI has its shared memory; nothing is written here
# Docker's own 64 MiB are enough for 4 ranks (traps 22): each rank's queues take 4-8 MiB in MPICH and Open MPI.
SHM_BASE_MIB: Final = 32
SHM_RANK_MIB: Final = 8
DISK_MIB: Final = 256  # for session folders and logs; staging looks at its own need
STACK_BYTES: Final = 8 * MIB  # what every Linux gives
NOFILE_BASE: Final = 512
NOFILE_RANK: Final = 8
FI_INFO: Final = ("fi_info", "/opt/amazon/efa/bin/fi_info")
FI_INFO_S: Final = 20.0
INFINIBAND: Final = Path("/dev/infiniband")
MARKS: Final = "work/.tutti"  # below the shared folder
NFS_S: Final = 3.0  # NFS clients cache that a name does not exist; the heartbeat waits no longer
GREETING: Final = b"tutti-neighbour".ljust(64, b".")


def local_checks(node: Node, settings: Settings) -> tuple[list[str], dict[str, str]]:
    """What is wrong with this node, and the facts that must be equal on all nodes."""
    ranks = settings.ranks_per_node or len(node.cores)
    problems = [
        *_room(SHM, SHM_BASE_MIB + SHM_RANK_MIB * ranks, f"{ranks} ranks", "sharedMemorySize"),
        *_room(str(_existing(node.scratch)), DISK_MIB, "session folders and logs", "disk_gib", free=True),
    ]
    stack, nofile, memlock = (limits.hard(name) for name in ("stack", "nofile", "memlock"))
    if 0 <= stack < STACK_BYTES:
        problems.append(f"stack: the limit is {stack} bytes; needed are {STACK_BYTES} (ulimits of the definition)")
    if 0 <= nofile < (wanted := NOFILE_BASE + NOFILE_RANK * ranks):
        problems.append(f"nofile: the limit is {nofile}; {ranks} ranks need {wanted} (ulimits of the definition)")
    if node.efa:
        problems += _efa(memlock)
    if node.gpus and (there := len(list(Path("/dev").glob("nvidia[0-9]*")))) < node.gpus:
        problems.append(f"GPUs: {there} of {node.gpus} are there (/dev/nvidia*)")
    facts = {
        "CPU model": _cpu_model(),
        "physical cores": str(len(node.cores)),
        "NUMA nodes": str(len(list(Path("/sys/devices/system/node").glob("node[0-9]*")))),
        "shared memory": f"{_size_mib(SHM)} MiB",
        "stack limit": _limit(stack),
        "memlock limit": _limit(memlock),
        "nofile limit": _limit(nofile),
    }
    return problems, facts


def differing(facts: Mapping[int, Mapping[str, str]]) -> list[str]:
    """What is not equal on all nodes, a line each: which nodes have what."""
    found = []
    for name in dict.fromkeys(name for of_node in facts.values() for name in of_node):
        nodes: dict[str, list[int]] = defaultdict(list)
        for index in sorted(facts):
            nodes[facts[index].get(name, "unknown")].append(index)
        if len(nodes) > 1:
            parts = [f"{_nodes(indices)} {'have' if len(indices) > 1 else 'has'} {v}" for v, indices in nodes.items()]
            found.append(f"{name} differs: {'; '.join(parts)}")
    return found


# ---------------------------------------------------------------- the shared folder


def write_mark(shared: Path, name: str) -> str:
    """Main: leave a random token on the shared folder and return it.

    Raises
    ------
    OSError
        The folder cannot be written.

    """
    token = os.urandom(16).hex()
    mark = shared / MARKS / name
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_text(token, encoding="ascii")
    return token


def read_mark(shared: Path, name: str, token: str) -> str | None:
    """Every node: why the mark cannot be seen from here; None where it can. Waits 3 s for an NFS client's cache."""
    mark = shared / MARKS / name
    until = time.monotonic() + NFS_S
    while True:
        try:
            if (seen := mark.read_text(encoding="ascii")) == token:
                return None
            why = f"it holds {seen[:8]!r}... and not main's token"
        except OSError as error:
            why = str(error)
        # Where the folder itself is not there, no cache is to blame.
        if time.monotonic() > until or not shared.is_dir():
            return f"the shared folder {shared} is not the same as main's: {why}"
        with contextlib.suppress(OSError):
            list(mark.parent.iterdir())  # makes an NFS client ask again
        time.sleep(0.05)


def remove_mark(shared: Path, name: str) -> None:
    (shared / MARKS / name).unlink(missing_ok=True)


# ---------------------------------------------------------------- the neighbour


class Neighbour:
    """Answers the node before this one in the ring: a listener on the address that MPI will use."""

    def __init__(self, loop: Loop, address: str) -> None:
        self._loop = loop
        self._listener = socket.create_server((address, 0), backlog=8)
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])
        loop.add(self._listener.fileno(), self._accept)

    def close(self) -> None:
        self._loop.remove(self._listener.fileno())
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._listener.accept()
            with connection:
                connection.setblocking(False)
                connection.send(GREETING)


def reach(
    loop: Loop, address: str, port: int, done: Callable[[str | None, float], None], *, timeout: float = 5.0
) -> None:
    """Ask the neighbour at `address`; `done` gets what is wrong (None: nothing) and the seconds it took."""
    asked = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    asked.setblocking(False)
    begun = time.monotonic()
    finished = False

    def finish(problem: str | None) -> None:
        nonlocal finished
        if not finished:
            finished = True
            loop.remove(asked.fileno())
            asked.close()
            done(problem, time.monotonic() - begun)

    def heard() -> None:
        try:
            answer = asked.recv(len(GREETING))
        except BlockingIOError:
            return
        except OSError as error:
            finish(f"{address}:{port} does not answer: {error}")
            return
        finish(None if answer == GREETING else f"{address}:{port} is not a node of this gang")

    error = asked.connect_ex((address, port))
    loop.add(asked.fileno(), heard)
    loop.after(timeout, partial(finish, f"{address}:{port} did not answer within {timeout:g} s"))
    if error and error != errno.EINPROGRESS:
        finish(f"{address}:{port} cannot be reached: {os.strerror(error)}")


# ---------------------------------------------------------------- this node


def _room(path: str, wanted_mib: int, what: str, setting: str, *, free: bool = False) -> list[str]:
    there = _size_mib(path, free=free)
    if there >= wanted_mib:
        return []
    has = f"{there} MiB free" if free else f"{there} MiB"
    return [f"{path} has {has}; {what} need {wanted_mib} MiB ({setting} of the pool or the definition)"]


def _size_mib(path: str, *, free: bool = False) -> int:
    try:
        at = os.statvfs(path)
    except OSError:
        return 0
    return (at.f_bavail if free else at.f_blocks) * at.f_frsize // MIB


def _existing(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _efa(memlock: int) -> list[str]:
    problems = []
    if memlock >= 0:
        problems.append(f"memlock: the limit is {memlock} bytes; EFA needs none (ulimits of the definition)")
    if not INFINIBAND.is_dir():
        problems.append(f"EFA: no {INFINIBAND}: the device is not in the container")
    program = next((p for p in map(shutil.which, FI_INFO) if p), None)
    if program is None:
        return [*problems, "EFA: no fi_info in the image: it was built without EFA=1"]
    try:
        asked = subprocess.run([program, "-p", "efa"], capture_output=True, check=False, timeout=FI_INFO_S)
    except subprocess.TimeoutExpired:
        return [*problems, f"EFA: `fi_info -p efa` did not end within {FI_INFO_S:g} s"]
    if asked.returncode != 0 or b"provider: efa" not in asked.stdout:
        said = (asked.stderr or asked.stdout).decode("utf-8", "replace").strip()[:200]
        problems.append(f"EFA: `fi_info -p efa` ended with {asked.returncode}: {said or 'no efa provider'}")
    return problems


def _cpu_model(path: Path = Path("/proc/cpuinfo")) -> str:
    wanted = ("model name", "CPU part")  # x86, arm
    with contextlib.suppress(OSError):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(wanted):
                return line.partition(":")[2].strip()
    return "unknown"


def _limit(value: int) -> str:
    return "none" if value < 0 else str(value)


def _nodes(indices: list[int]) -> str:
    """[0, 1, 2, 5] -> "nodes 0-2, 5"."""
    runs: list[list[int]] = []
    for i in indices:
        if runs and runs[-1][-1] == i - 1:
            runs[-1] = [runs[-1][0], i]
        else:
            runs.append([i])
    return f"node{'s' if len(indices) > 1 else ''} {', '.join('-'.join(map(str, r)) for r in runs)}"
