"""What the engine asks for: it decides, others act."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class NodeKey:
    """One node in one attempt."""

    job: str
    attempt: int
    index: int

    def __str__(self) -> str:
        return f"{self.job}#{self.index}.{self.attempt}"

    @classmethod
    def parse(cls, text: str) -> NodeKey:
        job, _, rest = text.rpartition("#")
        index, _, attempt = rest.partition(".")
        return cls(job, int(attempt), int(index))


@dataclass(frozen=True)
class StartNode:
    node: NodeKey


@dataclass(frozen=True)
class TermNode:
    """SIGTERM to its main process."""

    node: NodeKey


@dataclass(frozen=True)
class KillNode:
    """SIGKILL to all of it."""

    node: NodeKey


@dataclass(frozen=True)
class AttemptOver:
    """No node of this attempt is left on a host: its addresses and folders may go."""

    job: str
    attempt: int


@dataclass(frozen=True)
class Changed:
    """The job changed: to be kept and, where `status` is given, told as an event of that status."""

    job: str
    status: str = ""


@dataclass(frozen=True)
class Blocked:
    """The head of a queue cannot start, for a reason that waiting its turn is not."""

    queue: str
    job: str
    reason: str


Effect = StartNode | TermNode | KillNode | AttemptOver | Changed | Blocked
