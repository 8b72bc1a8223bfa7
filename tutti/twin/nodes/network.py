"""The network of `netns` isolation: one bridge, one address a node, and what AWS has beside it.

The bridge lives in a network namespace of the node host's own: nothing of it is seen, or left, outside. There is no
default route: 169.254.169.254 (the instance's metadata) answers nothing, and nor does the internet.
"""

from __future__ import annotations

import os
import socket
from ipaddress import IPv4Address, IPv4Interface
from typing import Final

from tutti.twin.nodes.netlink import Netlink

BRIDGE: Final = "tutti0"
BRIDGE_ADDRESS: Final = IPv4Interface("10.77.0.1/16")
# Given, or the bridge takes the lowest of its ports': it would change as nodes come and go, and the others would look
# for the twin where it was, for half a minute.
_BRIDGE_HARDWARE: Final = bytes.fromhex("02544d000001")  # locally administered
# Where ECS answers with a task's credentials: an address that SDKs accept without TLS.
CREDENTIALS_ADDRESS: Final = IPv4Interface("169.254.170.2/32")
# Every awsvpc container has this interface, with the same address on every host (traps 4).
ECS_INTERFACE: Final = "ecs-eth0"
ECS_ADDRESS: Final = IPv4Interface("169.254.172.2/22")
INTERFACE: Final = "eth0"


class Bridge:
    """The node host's end. Made in its own network namespace."""

    def __init__(self) -> None:
        self._netlink = Netlink()
        self._netlink.set_up("lo")
        self._netlink.add_bridge(BRIDGE, _BRIDGE_HARDWARE)
        self._netlink.set_up(BRIDGE)
        self.index = socket.if_nametoindex(BRIDGE)
        for address in (BRIDGE_ADDRESS, CREDENTIALS_ADDRESS):
            self._netlink.add_address(self.index, address)

    def set_link(self, serial: int, *, up: bool) -> None:
        """Cut or mend the link of node `serial`."""
        self._netlink.set_up(f"n{serial}", up=up)

    def connect(self, serial: int, address: str) -> None:
        """Called by a node in its own, new namespace: gives it `eth0`, `ecs-eth0` and `lo`."""
        namespace = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._netlink.add_veth(f"n{serial}", INTERFACE, peer_namespace=namespace, master=self.index)
            self._netlink.add_veth(f"e{serial}", ECS_INTERFACE, peer_namespace=namespace)
        finally:
            os.close(namespace)
        for name in (f"n{serial}", f"e{serial}"):
            self._netlink.set_up(name)
        with Netlink() as own:
            for name in ("lo", INTERFACE, ECS_INTERFACE):
                own.set_up(name)
            index = socket.if_nametoindex(INTERFACE)
            own.add_address(index, IPv4Interface(f"{IPv4Address(address)}/{BRIDGE_ADDRESS.network.prefixlen}"))
            own.add_route(index, IPv4Address(CREDENTIALS_ADDRESS.ip))
            own.add_address(socket.if_nametoindex(ECS_INTERFACE), ECS_ADDRESS)
