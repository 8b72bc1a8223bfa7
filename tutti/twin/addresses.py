"""Which address each node gets, and which CPUs. Pure but for what is in use."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import Final

from tutti.twin.nodes import Isolation

# The first of each network is the bridge's, or the gateway's.
_FIRST: Final = {
    Isolation.NETNS: int(IPv4Address("10.77.0.2")),
    Isolation.DOCKER: int(IPv4Address("10.78.0.2")),
}
_ROOM: Final = 65_000
_LOOPBACK_HOSTS: Final = 250  # addresses used of 127.J.K.1-250: a job of 1,000 nodes takes four K
_LOOPBACK_K: Final = 250
_LOOPBACK_J: Final = range(1, 251)  # 127.0.x.x is left to others
PLACES: Final = len(_LOOPBACK_J) * _LOOPBACK_K


class AddressBook:
    """Addresses of nodes: a job's nodes follow each other, and an address is used again as late as can be."""

    def __init__(self, isolation: Isolation, *, first: int = 0) -> None:
        """`first`: where among the loopback places to begin: twins on one machine share them, and begin apart."""
        self._isolation = isolation
        self._taken: dict[str, list[str]] = {}
        self._used: set[str] = set()
        self._next = first if isolation is Isolation.PROCESS else 0

    def allot(self, attempt: str, nodes: int) -> list[str]:
        """The addresses of `attempt`, the same ones at each call until they are released."""
        if attempt not in self._taken:
            found = self._loopback(nodes) if self._isolation is Isolation.PROCESS else self._network(nodes)
            self._taken[attempt] = found
            self._used |= set(found)
        return self._taken[attempt]

    def release(self, attempt: str) -> None:
        self._used -= set(self._taken.pop(attempt, ()))

    def _network(self, nodes: int) -> list[str]:
        found: list[str] = []
        for _ in range(_ROOM):
            address = str(IPv4Address(_FIRST[self._isolation] + self._next % _ROOM))
            self._next += 1
            if address not in self._used:
                found.append(address)
            if len(found) == nodes:
                return found
        raise RuntimeError(f"no {nodes} addresses are free in the network of the nodes")

    def _loopback(self, nodes: int) -> list[str]:
        """127.J.K.1 onwards: each job a place of its own, so that ports never collide."""
        places = -(-nodes // _LOOPBACK_HOSTS)
        rows = _LOOPBACK_K // places
        for _ in range(len(_LOOPBACK_J) * rows):
            place = self._next
            self._next += 1
            j = _LOOPBACK_J[place // rows % len(_LOOPBACK_J)]
            k = place % rows * places
            found = [f"127.{j}.{k + n // _LOOPBACK_HOSTS}.{n % _LOOPBACK_HOSTS + 1}" for n in range(nodes)]
            if not self._used & set(found):
                return found
        raise RuntimeError(f"no {nodes} loopback addresses are free")


def cpu_shares(free: Sequence[int], nodes: int, vcpus: int) -> list[tuple[int, ...]]:
    """Each node's CPUs, at most `vcpus` of those that are `free`; empty shares where nodes outnumber these."""
    each = min(len(free) // max(1, nodes), vcpus)
    return [tuple(free[n * each : (n + 1) * each]) for n in range(nodes)]


def cpu_list(cpus: Sequence[int]) -> str:
    """`0-1,4`, as TUTTI_CPUSET has it; `none` where there are none."""
    if not cpus:
        return "none"
    runs: list[list[int]] = []
    for cpu in sorted(cpus):
        if runs and cpu == runs[-1][-1] + 1:
            runs[-1].append(cpu)
        else:
            runs.append([cpu])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
