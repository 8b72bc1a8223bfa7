"""A control group for each node, where one can be had: it holds a fork bomb and a memory hog, and lists what is left.

Version 1 (a hierarchy for each controller) and version 2. Without one, nodes are still found and ended by their minder,
but nothing limits them: RLIMIT_NPROC counts all of the user's processes, so it is no substitute.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CONTROLLERS: Final = ("pids", "memory")
_ROOT: Final = Path("/sys/fs/cgroup")


@dataclass(frozen=True, kw_only=True)
class Cgroups:
    """Where this twin's groups are: a folder for each controller (all the same one in version 2)."""

    parents: Mapping[str, Path]
    version: int

    def make(self, name: str, *, memory_mib: int, processes: int) -> Cgroup:
        """A group of its own for one node, with its limits set."""
        folders = {controller: parent / name for controller, parent in self.parents.items()}
        for folder in set(folders.values()):
            folder.mkdir(exist_ok=True)
        (folders["pids"] / "pids.max").write_text(str(processes))
        if memory_mib:
            limit = "memory.max" if self.version == 2 else "memory.limit_in_bytes"
            (folders["memory"] / limit).write_text(str(memory_mib * 1024 * 1024))
            if self.version == 2:
                with contextlib.suppress(OSError):  # no swap accounting in this kernel: then there is none to limit
                    (folders["memory"] / "memory.swap.max").write_text("0")
        return Cgroup(folders=folders, version=self.version)

    def remove(self, seconds: float = 1.0) -> None:
        """Remove what is empty or soon will be; a group that still has processes stays for the next sweep."""
        deadline = time.monotonic() + seconds
        while True:
            for parent in set(self.parents.values()):
                for folder in [*parent.glob("*/"), parent]:
                    with contextlib.suppress(OSError):
                        folder.rmdir()
            # The kernel frees a group a moment after its last process has gone, and tells nobody.
            if not any(parent.exists() for parent in self.parents.values()) or time.monotonic() > deadline:
                return
            time.sleep(0.01)


@dataclass(frozen=True, kw_only=True)
class Cgroup:
    folders: Mapping[str, Path]
    version: int

    def join(self) -> None:
        """Put the calling process into it."""
        for folder in set(self.folders.values()):
            (folder / "cgroup.procs").write_text(str(os.getpid()))

    def processes(self) -> set[int]:
        with contextlib.suppress(OSError):
            return {int(pid) for pid in (self.folders["pids"] / "cgroup.procs").read_text().split()}
        return set()

    def out_of_memory(self) -> bool:
        """Whether the kernel has killed for memory in it."""
        file = "memory.events" if self.version == 2 else "memory.oom_control"
        with contextlib.suppress(OSError, ValueError):
            words = (self.folders["memory"] / file).read_text().split()
            return int(words[words.index("oom_kill") + 1]) > 0
        return False

    def remove(self) -> None:
        for folder in set(self.folders.values()):
            with contextlib.suppress(OSError):
                folder.rmdir()


def find(name: str, root: Path = _ROOT) -> Cgroups | None:
    """The twin's place among the control groups, made if need be; None where there is none that it may write."""
    for version, places in ((2, _version_2(root)), (1, _version_1(root))):
        if set(places) != set(CONTROLLERS):
            continue
        parents = {controller: place / name for controller, place in places.items()}
        try:
            for parent in set(parents.values()):
                parent.mkdir(exist_ok=True)
            if version == 2:
                (parents["pids"] / "cgroup.subtree_control").write_text("+pids +memory")
            groups = Cgroups(parents=parents, version=version)
            groups.make("probe", memory_mib=64, processes=16).remove()
        except OSError:
            continue
        return groups
    return None


def _version_1(root: Path) -> dict[str, Path]:
    own = _own_groups()
    return {
        controller: root / controller / own.get(controller, "/").lstrip("/")
        for controller in CONTROLLERS
        if (root / controller / "cgroup.procs").exists()
    }


def _version_2(root: Path) -> dict[str, Path]:
    """Below the caller's own group, or at the root where the caller is root."""
    for place in (root / _own_groups().get("", "/").lstrip("/"), root):
        with contextlib.suppress(OSError):
            have = (place / "cgroup.subtree_control").read_text().split()
            if set(CONTROLLERS) <= set(have):
                return dict.fromkeys(CONTROLLERS, place)
    return {}


def _own_groups() -> dict[str, str]:
    """Controller -> the caller's group; version 2's has the name ''."""
    groups = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            groups[controller] = path
    return groups
