"""What a node knows of itself: `os.environ` and the machine -> `Node`, read once.

Sources: aws-batch job_env_vars (DESIGN B4, B11), the ECS agent, Linux's sysfs and procfs.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, Self

from workload import contract, ecs
from workload.contract import BatchVariable, Variable
from workload.interfaces import Interface, holder_of, source_address
from workload.record import Record

UNBOUND: Final = "none"  # of TUTTI_CPUSET
DEFAULT_SILENCE_S: Final = 30.0  # on AWS: a shorter one ends jobs that MPI would have survived (traps 14)
SYSFS_CPUS: Final = Path("/sys/devices/system/cpu")
CGROUP_MEMORY: Final = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


class NodeError(ValueError):
    """An environment that no node can run in: every problem at once."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Node(Record):
    """One node of a gang. `cores` has one logical CPU of each physical core that is this node's."""

    job_id: str  # without `#N`; with `:K` on a child of an array
    attempt: int
    index: int
    count: int
    main_index: int
    address: str
    main_address: str
    port: int  # of the roster; 0: any free one (a gang of one)
    interface: Interface  # the one that holds `address`
    cores: tuple[int, ...]
    bind: bool  # False: the cores are shared with other nodes: bind nothing, spin nowhere
    memory_mib: int
    gpus: int
    efa: bool
    shared_host: bool
    shared: Path | None
    scratch: Path
    silence_s: float

    @property
    def is_main(self) -> bool:
        return self.index == self.main_index

    @property
    def job_name(self) -> str:
        """The job's id as a file name."""
        return re.sub(r"[^A-Za-z0-9-]", "-", self.job_id)

    @property
    def job_folder(self) -> Path:
        """The job's own folder on this node: where the ranks run."""
        return self.scratch / f"{self.job_name}-{self.attempt}-{self.index}"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Read the environment, and the machine where the environment is silent.

        A container without node variables (single, array) is a gang of one.

        Raises
        ------
        NodeError
            What is missing or cannot be read, all of it.

        """
        problems: list[str] = []

        def number(name: str, default: int) -> int:
            text = environ.get(name) or str(default)
            with contextlib.suppress(ValueError):
                return int(text)
            problems.append(f"{name}: got {text!r}; allowed: a whole number")
            return default

        index = number(BatchVariable.NODE_INDEX, 0)
        count = number(BatchVariable.NUM_NODES, 1)
        main_index = number(BatchVariable.MAIN_NODE_INDEX, 0)
        port = number(Variable.PORT, contract.DEFAULT_PORT) if count > 1 else 0
        attempt = number(BatchVariable.ATTEMPT, 1)
        gpus = number(Variable.GPUS, 0)
        if count < 1 or not 0 <= index < count or not 0 <= main_index < count:
            problems.append(
                f"{BatchVariable.NODE_INDEX} is {index}, {BatchVariable.MAIN_NODE_INDEX} is {main_index}, "
                f"{BatchVariable.NUM_NODES} is {count}; allowed: indices below the number of nodes"
            )
        main_address = environ.get(BatchVariable.MAIN_NODE_ADDRESS, "")
        if index != main_index and not main_address:
            problems.append(f"{BatchVariable.MAIN_NODE_ADDRESS} is not set, and node {index} is a child: Batch sets it")
        address = environ.get(Variable.ADDRESS) or _own_address(environ, main_address, alone=count == 1)
        interface = holder_of(address)
        if interface is None:
            problems.append(f"no interface of this node holds its address {address}")
        cores, bind = _cores(environ.get(Variable.CPUSET, ""), problems)
        silence = environ.get(Variable.NODE_SILENCE) or str(DEFAULT_SILENCE_S)
        if not re.fullmatch(r"\d+(\.\d+)?", silence):
            problems.append(f"{Variable.NODE_SILENCE}: got {silence!r}; allowed: seconds")
        if problems or interface is None:
            raise NodeError(problems)
        shared = environ.get(Variable.SHARED)
        return cls(
            job_id=environ.get(BatchVariable.JOB_ID, "local").partition("#")[0],
            attempt=attempt,
            index=index,
            count=count,
            main_index=main_index,
            address=address,
            main_address=main_address if index != main_index else address,
            port=port,
            interface=interface,
            cores=cores,
            bind=bind,
            memory_mib=_memory_mib(),
            gpus=gpus,
            efa=environ.get(Variable.EFA) == "1",
            shared_host=environ.get(Variable.SHARED_HOST) == "1",
            shared=Path(shared) if shared else None,
            scratch=Path(environ.get("TMPDIR") or "/tmp"),  # noqa: S108  where no TMPDIR is given
            silence_s=float(silence),
        )


def _own_address(environ: Mapping[str, str], main_address: str, *, alone: bool) -> str:
    if alone:
        return "127.0.0.1"
    if uri := environ.get(ecs.METADATA_URI):
        try:
            return ecs.address(uri)
        except ecs.MetadataError as error:
            raise NodeError([str(error)]) from error
    return source_address(main_address or "10.0.0.1")


def _cores(cpuset: str, problems: list[str]) -> tuple[tuple[int, ...], bool]:
    allowed = os.sched_getaffinity(0)
    if cpuset == UNBOUND:
        return (min(allowed),), False  # a share of less than a core each: one slot
    if cpuset:
        try:
            wanted = set(parse_cpus(cpuset))
        except ValueError:
            problems.append(f"{Variable.CPUSET}: got {cpuset!r}; allowed: CPUs like 0-1,4, or {UNBOUND}")
            wanted = allowed
        if not wanted & allowed:
            problems.append(f"{Variable.CPUSET} is {cpuset}, and this process may run on {sorted(allowed)} alone")
        allowed = (wanted & allowed) or allowed
    return physical(allowed, _siblings), True


def parse_cpus(text: str) -> list[int]:
    """CPUs in the kernel's list format: "0-1,4" is 0, 1, 4.

    Raises
    ------
    ValueError
        Anything else.

    """
    cpus: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        cpus += range(int(first), int(last or first) + 1)
    return cpus


def physical(cpus: Iterable[int], siblings: Callable[[int], str | None]) -> tuple[int, ...]:
    """The first logical CPU of each core among `cpus`; `siblings(cpu)` is the kernel's list of its core's CPUs."""
    first_of: dict[str, int] = {}
    for cpu in sorted(cpus):
        first_of.setdefault(siblings(cpu) or str(cpu), cpu)
    return tuple(first_of.values())


def _siblings(cpu: int) -> str | None:
    with contextlib.suppress(OSError):
        return (SYSFS_CPUS / f"cpu{cpu}/topology/thread_siblings_list").read_text(encoding="ascii").strip()
    return None


def _memory_mib() -> int:
    """What this node's processes may use, MiB: the machine's memory, or the container's limit where it is lower."""
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in CGROUP_MEMORY:
        with contextlib.suppress(OSError, ValueError):  # "max" is no number: no limit
            limit = min(limit, int(path.read_text(encoding="ascii")))
    return limit >> 20
