"""Who is here: the list of the gang's members that main keeps. Pure: messages in, verdicts out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Self

from workload.record import Record

PROTOCOL: Final = 1  # of the messages; a change makes old and new nodes tell each other so, and end with 210


class Hello(Record):
    """What a member says of itself. `versions` and `facts` must be the same on all nodes; `clock` is Unix time."""

    index: int
    address: str
    network: str  # CIDR of the interface that holds it
    cores: int
    bind: bool
    memory_mib: int
    gpus: int
    probe_port: int  # where its neighbour in the ring may knock
    clock: float
    versions: Mapping[str, str]
    facts: Mapping[str, str]
    problems: tuple[str, ...] = ()  # of its own preflight

    def message(self) -> dict[str, Any]:
        return {"t": "hello", **vars(self), "problems": list(self.problems)}

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> Self:
        """Read a message.

        Raises
        ------
        ValueError
            It is not complete.

        """
        try:
            return cls(
                index=int(message["index"]),
                address=str(message["address"]),
                network=str(message["network"]),
                cores=int(message["cores"]),
                bind=bool(message["bind"]),
                memory_mib=int(message["memory_mib"]),
                gpus=int(message["gpus"]),
                probe_port=int(message["probe_port"]),
                clock=float(message["clock"]),
                versions={str(k): str(v) for k, v in dict(message["versions"]).items()},
                facts={str(k): str(v) for k, v in dict(message["facts"]).items()},
                problems=tuple(str(p) for p in message["problems"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"this hello is not complete: {error!r}") from error


class Refused(Record):
    """One that may not join; the gang goes on."""

    reason: str


class Differs(Record):
    """One of another version: the gang ends (210)."""

    reason: str


class Welcome(Record):
    complete: bool  # it was the last


class Roster:
    """The members of a gang of `count` nodes. `versions` are main's own."""

    def __init__(self, *, count: int, main_index: int, versions: Mapping[str, str]) -> None:
        self.count = count
        self.main_index = main_index
        self.versions = versions
        self.closed = ""  # why nobody may join any more
        self.members: dict[int, Hello] = {}

    @property
    def complete(self) -> bool:
        return len(self.members) == self.count

    @property
    def missing(self) -> list[int]:
        return [index for index in range(self.count) if index not in self.members]

    @property
    def in_order(self) -> list[Hello]:
        """The members by index, main first: the order of the ranks."""
        return sorted(self.members.values(), key=lambda m: (m.index != self.main_index, m.index))

    def admit(self, key_index: int, hello: Hello) -> Welcome | Refused | Differs:
        """Take `hello` in, from one who showed the key of `key_index`."""
        if self.closed:
            return Refused(reason=f"the gang takes nobody in any more: {self.closed}")
        if hello.index != key_index:
            return Refused(reason=f"it says that it is node {hello.index}, and its key is node {key_index}'s")
        if taken := self.members.get(hello.index):
            return Refused(reason=f"node {hello.index} is here already, at {taken.address}")
        if dict(hello.versions) != dict(self.versions):
            return Differs(reason=differing_versions(self.main_index, self.versions, hello.index, hello.versions))
        self.members[hello.index] = hello
        return Welcome(complete=self.complete)

    def neighbour(self, index: int) -> Hello:
        """The next in the ring."""
        return self.members[(index + 1) % self.count]


def differing_versions(main: int, ours: Mapping[str, str], other: int, theirs: Mapping[str, str]) -> str:
    """Both versions of everything that differs, by name."""
    differ = [
        f"{name}: node {main} has {ours.get(name, 'none')}, node {other} has {theirs.get(name, 'none')}"
        for name in sorted({*ours, *theirs})
        if ours.get(name) != theirs.get(name)
    ]
    return f"versions differ: {'; '.join(differ)}. All nodes of a job must run the same image"


def ranges(indices: Iterable[int]) -> str:
    """Indices as people write them: 1-3, 7."""
    runs: list[list[int]] = []
    for index in sorted(indices):
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
