"""What the stack needs to know of an instance type, and the rules that follow from it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# Families whose default idle limit for TCP is 350 s instead of 5 days (`ConnectionTrackingConfiguration` of
# DescribeInstanceTypes): the Nitro v6 cards. The provider's lookup does not pass that field on.
_V6 = (
    "c8a c8gb c8gn c8i c8i-flex c8ib c8id c8in c8ine c9g c9gd g7 g7e hpc8a i8ge m8a m8azn m8gb m8gn m8i "
    "m8i-flex m8ib m8id m8idb m8idn m8in m8ine m9g m9gd p6-b200 p6-b300 r8a r8gb r8gn r8i r8i-flex r8ib "
    "r8id r8idb r8idn r8in r9g r9gd t8i x8aedz x8i"
)
NITRO_V6: Final = frozenset(_V6.split())
# Interfaces that a type can have in all, where DescribeInstanceTypes is asked in vain (aws-batch-facts, section 6).
KNOWN_INTERFACES: Final = {"hpc6a": 2, "hpc6id": 2, "hpc7a": 4, "hpc7g": 4}


@dataclass(frozen=True, kw_only=True)
class InstanceType:
    """One row of DescribeInstanceTypes. Memory in MiB, instance storage in GB; `interfaces` 0 where unknown."""

    name: str
    vcpus: int
    cores: int
    memory_mib: int
    architectures: tuple[str, ...]
    gpus: int = 0
    storage_gb: int = 0
    enhanced_networking: bool = True
    placement_group: bool = True
    efa_interfaces: int = 0  # the most that EC2 allows; 0: no EFA
    network_cards: int = 1
    interfaces: int = 0

    @property
    def family(self) -> str:
        return self.name.split(".", maxsplit=1)[0]

    @property
    def architecture(self) -> str:
        """x86_64 or arm64: an instance type of either has no other that matters here."""
        return "arm64" if "arm64" in self.architectures else "x86_64"

    @property
    def nitro(self) -> int:
        """6 for the cards that drop idle connections after 350 s, else 0: not one of those."""
        return 6 if self.family in NITRO_V6 else 0

    @property
    def most_efa_interfaces(self) -> int:
        """EFA interfaces that leave one for the task: each awsvpc task takes an interface of the instance's own.

        One a network card, as EC2 wants; 1 where nobody says how many interfaces the type has.
        """
        interfaces = self.interfaces or KNOWN_INTERFACES.get(self.family, 0)
        spare = interfaces - 1 if interfaces else 1
        return max(min(self.efa_interfaces, self.network_cards, spare), 0)
