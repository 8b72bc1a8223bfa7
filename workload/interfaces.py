"""Which network interface holds an address: what each MPI must be told to use (DESIGN section 4, traps 4)."""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct
from typing import Final

from workload.record import Record

# linux/sockios.h. The ioctls know an interface's first IPv4 address alone: an awsvpc interface has no other.
SIOCGIFADDR: Final = 0x8915
SIOCGIFNETMASK: Final = 0x891B


class Interface(Record):
    name: str
    address: str
    network: str  # CIDR


def interfaces() -> list[Interface]:
    """The interfaces of this network namespace that have an IPv4 address."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for _, name in socket.if_nameindex():
            try:
                address = _ask(asked, SIOCGIFADDR, name)
                mask = _ask(asked, SIOCGIFNETMASK, name)
            except OSError:
                continue  # no IPv4 address
            network = str(ipaddress.IPv4Network(f"{address}/{mask}", strict=False))
            found.append(Interface(name=name, address=address, network=network))
    return found


def holder_of(address: str) -> Interface | None:
    """The interface that holds `address`; of the loopback network, whose every address is local, the loopback one."""
    known = interfaces()
    for interface in known:
        if interface.address == address:
            return interface
    if not address.startswith("127."):
        return None
    loopback = next((i for i in known if i.address.startswith("127.")), None)
    return loopback and Interface(name=loopback.name, address=address, network=loopback.network)


def source_address(peer: str) -> str:
    """The own address from which a packet to `peer` would leave (none does); the loopback's where there is no way."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect((peer, 9))  # the port does not matter: nothing is sent
        except OSError:
            return "127.0.0.1"
        return str(asked.getsockname()[0])


def _ask(asked: socket.socket, request: int, name: str) -> str:
    answer = fcntl.ioctl(asked.fileno(), request, struct.pack("256s", name.encode()[:15]))
    return socket.inet_ntoa(answer[20:24])
