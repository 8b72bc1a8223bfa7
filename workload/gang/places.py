"""Where the ranks of a job run: how many on a node, with how many threads, on which cores and GPU. Pure.

The shim binds each rank to its cores, and no MPI binds anything. Measured: under `taskset -c 1` Hydra and PRRTE both
bind the first rank to CPU 0, so with either one the nodes of a twin would share one core (docs/adr/0015).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Self

from workload.gang.installed import LaunchError
from workload.record import Record
from workload.settings import Settings

MAP_LINES: Final = 16  # of nodes; more are told by the last


class Host(Record):
    """A node as a place for ranks. `slots` are its physical cores."""

    index: int
    address: str
    slots: int
    bind: bool = True
    network: str = ""  # CIDR of the interface that holds `address`


class Layout(Record):
    """What every node runs of the job: the same on all of them."""

    ranks_per_node: int
    threads: int

    def message(self) -> dict[str, int]:
        return {"ranks_per_node": self.ranks_per_node, "threads": self.threads}

    @classmethod
    def from_message(cls, told: Mapping[str, Any]) -> Self:
        return cls(ranks_per_node=int(told["ranks_per_node"]), threads=int(told["threads"]))


def placement(settings: Settings, hosts: Sequence[Host], gpus: int = 0) -> Layout:
    """How many ranks run on each node and how many threads each has.

    Without a word from the job: one rank a GPU where there are GPUs, else one a core; threads share out the cores.

    Raises
    ------
    LaunchError
        Ranks x threads are more than the cores of some node, and the job does not say `oversubscribe`.

    """
    smallest = min(hosts, key=lambda h: h.slots)
    cores = smallest.slots
    # Nodes that share their cores (TUTTI_CPUSET=none) have none to count.
    unlimited = settings.oversubscribe or not all(h.bind for h in hosts)
    ranks = settings.ranks_per_node
    if ranks is None:
        ranks = gpus or max(1, cores // (settings.threads or 1))
    threads = settings.threads or max(1, cores // ranks)
    if ranks * threads > cores and not unlimited:
        raise LaunchError(
            f"{ranks} ranks a node x {threads} threads are {ranks * threads}, and node {smallest.index} has "
            f"{_count(cores, 'physical core')}. Ask for fewer (--ranks-per-node, --threads), or say --oversubscribe"
        )
    return Layout(ranks_per_node=ranks, threads=threads)


class Place(Record):
    """One local rank's: `cpus` empty where it is bound to nothing, `gpu` None where it has none."""

    cpus: tuple[int, ...] = ()
    gpu: int | None = None


def places(
    layout: Layout,
    cores: Sequence[int],
    *,
    bind: bool,
    gpus: int = 0,
    numa_of_cpu: Mapping[int, int] | None = None,
    numa_of_gpu: Mapping[int, int] | None = None,
) -> tuple[Place, ...]:
    """The places of one node's local ranks, in their order.

    `cores` has one logical CPU of each physical core. Ranks that leave cores free are spread over all of them, so that
    they share out the memory of every NUMA node. A rank's GPU is the least used one of its cores' NUMA node, else the
    least used of all.
    """
    count, width = layout.ranks_per_node, layout.threads
    by_numa = sorted(cores, key=lambda cpu: ((numa_of_cpu or {}).get(cpu, 0), cpu))
    bound = bind and count * width <= len(by_numa)
    used = dict.fromkeys(range(gpus), 0)
    found = []
    for local in range(count):
        first = max(local * len(by_numa) // count, 0)
        cpus = tuple(by_numa[first : first + width]) if bound else ()
        gpu = None
        if gpus:
            numa = (numa_of_cpu or {}).get(by_numa[first % len(by_numa)] if by_numa else 0, 0)
            near = [g for g in used if (numa_of_gpu or {}).get(g, 0) == numa]
            least = min(used.values())
            # Never a second rank on a near GPU while a far one has none.
            gpu = min((g for g in used if used[g] == least), key=lambda g: (g not in near, g))
            used[gpu] += 1
        found.append(Place(cpus=cpus, gpu=gpu))
    return tuple(found)


def placement_map(hosts: Sequence[Host], layout: Layout, mine: Sequence[Place], *, gpus: int = 0) -> list[str]:
    """Lines to print: which ranks run where. `mine` are the places of the main node, as an example of all."""
    each = layout.ranks_per_node
    bound = all(p.cpus for p in mine)
    lines = [
        f"{_count(len(hosts) * each, 'rank')} on {_count(len(hosts), 'node')}: {each} a node, "
        f"{_count(layout.threads, 'thread')} each, "
        + (f"bound to {_count(layout.threads, 'core')} each" if bound else "bound to nothing")
        + (f", GPU {_list(p.gpu for p in mine)} by local rank" if gpus else "")
    ]
    for line, host in enumerate(hosts):
        if line == MAP_LINES and len(hosts) > MAP_LINES + 1:
            lines.append(f"and so on to node {hosts[-1].index} ({hosts[-1].address})")
            break
        first = line * each
        ranks = f"rank {first}" if each == 1 else f"ranks {first}-{first + each - 1}"
        lines.append(f"node {host.index} ({host.address}, {_count(host.slots, 'core')}): {ranks}")
    if bound:
        lines.append(f"CPUs of node {hosts[0].index}'s local ranks: {' '.join(_list(p.cpus) for p in mine)}")
    return lines


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _list(values: Iterable[object]) -> str:
    return ",".join(str(v) for v in values)
