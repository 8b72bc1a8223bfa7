"""The instances that the twin pretends to have: which node is on which, and which are idle.

As Batch has it: a gang's node has an instance to itself, single containers share one while there is room, what is free
is used again before another is launched, and an idle one goes after a while. Time comes in by calls; threads may share
them.
"""

from __future__ import annotations

import secrets
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

IDLE_S: Final = 60.0  # AWS promises no time; at a desk long enough to be seen


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What the instances of an environment are. `vcpus` 0: nobody said, so each is as large as what it holds."""

    cluster: str  # ARN of the environment's ECS cluster
    type: str
    zone: str
    vcpus: int = 0
    memory_mib: int = 0


@dataclass(frozen=True, kw_only=True)
class Need:
    vcpus: int
    memory_mib: int
    alone: bool  # a gang's node


@dataclass(kw_only=True)
class Instance:
    id: str  # EC2's
    arn: str  # ECS's
    shape: Shape
    launched: float
    idle_since: float
    nodes: dict[str, Need] = field(default_factory=dict)

    @property
    def used_vcpus(self) -> int:
        return sum(need.vcpus for need in self.nodes.values())

    @property
    def used_memory_mib(self) -> int:
        return sum(need.memory_mib for need in self.nodes.values())

    def has_room_for(self, need: Need) -> bool:
        if not self.nodes:
            return not self.shape.vcpus or need.vcpus <= self.shape.vcpus
        return (
            not need.alone
            and not any(n.alone for n in self.nodes.values())
            and self.used_vcpus + need.vcpus <= self.shape.vcpus
            and self.used_memory_mib + need.memory_mib <= self.shape.memory_mib
        )


class Instances:
    def __init__(self, shape_of: Callable[[str], Shape | None]) -> None:
        """`shape_of` an environment by name; None where its jobs have no instance that anybody sees, as on Fargate."""
        self._shape_of = shape_of
        self._known: dict[str, Instance] = {}  # by the node's container instance ARN
        self._lock = threading.Lock()

    def take(self, node: str, environment: str, need: Need, now: float) -> str:
        """Place a node; the ARN of its container instance, "" where there is none."""
        shape = self._shape_of(environment)
        if shape is None:
            return ""
        with self._lock:
            self._leave(now)
            fitting = (i for i in self._known.values() if i.shape == shape and i.has_room_for(need))
            instance = next(fitting, None) or self._launch(shape, now)
            instance.nodes[node] = need
            return instance.arn

    def release(self, node: str, now: float, *, lost: bool) -> None:
        """The node is gone; `lost`: so is its instance."""
        with self._lock:
            for instance in [i for i in self._known.values() if node in i.nodes]:
                del instance.nodes[node]
                instance.idle_since = now
                if lost:
                    del self._known[instance.arn]

    def of(self, cluster: str, now: float) -> list[Instance]:
        """The instances in an ECS cluster, by its ARN or its name, in the order in which they were launched."""
        with self._lock:
            self._leave(now)
            return [i for i in self._known.values() if cluster in {i.shape.cluster, i.shape.cluster.rpartition("/")[2]}]

    def _launch(self, shape: Shape, now: float) -> Instance:
        arn = f"{shape.cluster.replace(':cluster/', ':container-instance/')}/{uuid.uuid4().hex}"
        made = Instance(id=f"i-{secrets.token_hex(9)[:17]}", arn=arn, shape=shape, launched=now, idle_since=now)
        self._known[arn] = made
        return made

    def _leave(self, now: float) -> None:
        gone = [i.arn for i in self._known.values() if not i.nodes and now - i.idle_since > IDLE_S]
        for arn in gone:
            del self._known[arn]
