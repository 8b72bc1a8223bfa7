"""How a twin is started. Passed from `tutti twin up` to the daemon as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from tutti.twin.nodes import Isolation

MIB: Final = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class TwinOptions:
    port: int = 0  # 0: the one that it had before, else any
    isolation: Isolation | None = None  # None: netns where it can be had, else process
    max_vcpus: int = 64  # of each pool
    pools: int = 1  # for MPI
    child_spread_s: float = 0.2  # children start within this time after main
    log_limit: int = 64 * MIB  # bytes a stream
    image: str = "tutti:runtime"  # docker: what nodes are containers of
    gpus: int = 0  # of each node of the GPU pool; 0: no such pool

    def to_text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Self:
        data: dict[str, Any] = json.loads(text)
        isolation = data.pop("isolation")
        return cls(**data, isolation=Isolation(isolation) if isolation else None)
