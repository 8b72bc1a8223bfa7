"""Network interfaces through rtnetlink: bridges, veth pairs, addresses, routes. `ip` need not be installed.

A socket stays in the network namespace that it was opened in, so one process can hold a socket for each of several.
Layouts: <linux/rtnetlink.h>, <linux/if_link.h>, <linux/veth.h>.
"""

from __future__ import annotations

import os
import socket
import struct
from ipaddress import IPv4Address, IPv4Interface
from typing import Final, Self

_NEWLINK: Final = 16
_NEWADDR: Final = 20
_NEWROUTE: Final = 24
_ERROR: Final = 2  # NLMSG_ERROR: the acknowledgement too, with error 0
_REQUEST_ACK: Final = 0x1 | 0x4
_CREATE_EXCL: Final = 0x400 | 0x200
_HARDWARE_ADDRESS: Final = 1
_IFNAME: Final = 3
_MTU: Final = 4
_MASTER: Final = 10
_LINKINFO: Final = 18
_NET_NS_FD: Final = 28
_INFO_KIND: Final = 1
_INFO_DATA: Final = 2
_VETH_PEER: Final = 1
_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2
_RTA_DST: Final = 1
_RTA_OIF: Final = 4
_UP: Final = 1
_TABLE_MAIN: Final = 254
_PROTOCOL_BOOT: Final = 3
_SCOPE_LINK: Final = 253
_UNICAST: Final = 1


def _attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + b"\0" * (-length % 4)


def _link(index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, flags, change)


def _name(name: str) -> bytes:
    return _attribute(_IFNAME, name.encode() + b"\0")


class Netlink:
    """The interfaces of the network namespace that this was opened in."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def add_bridge(self, name: str, hardware_address: bytes) -> None:
        kind = _attribute(_LINKINFO, _attribute(_INFO_KIND, b"bridge"))
        body = _link() + _name(name) + _attribute(_HARDWARE_ADDRESS, hardware_address) + kind
        self._request(_NEWLINK, body, f"add bridge {name}", _CREATE_EXCL)

    def add_veth(self, name: str, peer: str, *, peer_namespace: int, master: int | None = None) -> None:
        """A veth pair: `name` here, `peer` in the namespace of the descriptor `peer_namespace`."""
        there = _link() + _name(peer) + _attribute(_NET_NS_FD, struct.pack("=I", peer_namespace))
        info = _attribute(_INFO_KIND, b"veth") + _attribute(_INFO_DATA, _attribute(_VETH_PEER, there))
        here = _link() + _name(name) + (_attribute(_MASTER, struct.pack("=I", master)) if master else b"")
        self._request(_NEWLINK, here + _attribute(_LINKINFO, info), f"add veth {name}", _CREATE_EXCL)

    def set_up(self, name: str, *, up: bool = True) -> None:
        body = _link(flags=_UP if up else 0, change=_UP) + _name(name)
        self._request(_NEWLINK, body, f"set interface {name} {'up' if up else 'down'}")

    def add_address(self, index: int, address: IPv4Interface) -> None:
        header = struct.pack("=BBBBi", socket.AF_INET, address.network.prefixlen, 0, 0, index)
        body = _attribute(_IFA_LOCAL, address.ip.packed) + _attribute(_IFA_ADDRESS, address.ip.packed)
        self._request(_NEWADDR, header + body, f"add address {address}", _CREATE_EXCL)

    def add_route(self, index: int, destination: IPv4Address) -> None:
        """A route to one address that is on the link itself."""
        header = struct.pack(
            "=BBBBBBBBI", socket.AF_INET, 32, 0, 0, _TABLE_MAIN, _PROTOCOL_BOOT, _SCOPE_LINK, _UNICAST, 0
        )
        body = _attribute(_RTA_DST, destination.packed) + _attribute(_RTA_OIF, struct.pack("=I", index))
        self._request(_NEWROUTE, header + body, f"add route to {destination}", _CREATE_EXCL)

    def _request(self, kind: int, body: bytes, what: str, flags: int = 0) -> None:
        self._sequence += 1
        header = struct.pack("=IHHII", 16 + len(body), kind, _REQUEST_ACK | flags, self._sequence, 0)
        self._socket.send(header + body)
        answer = self._socket.recv(65536)
        _, answer_kind, _, _, _ = struct.unpack_from("=IHHII", answer)
        if answer_kind != _ERROR:
            raise OSError(f"{what}: the kernel answered with message {answer_kind}")
        (error,) = struct.unpack_from("=i", answer, 16)
        if error:
            raise OSError(-error, f"{what}: {os.strerror(-error)}")
