"""What is known of each rank, and which of them decides the job's exit code. Pure."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from typing import Any, Final, Self

from workload.record import Record

AT_ONCE_S: Final = 0.25
MPI_ERR_UNKNOWN: Final = 14  # with this code Open MPI ends a rank whose peer's connection is closed
MPICH_SAYS: Final = "Fatal error in "  # MPICH and Intel MPI, on the rank's own stderr


class RankRecord(Record):
    """One rank: as it started (`ended` None), or as it ended. Times are Unix seconds of its node."""

    rank: int
    local: int
    pid: int
    started: float
    ended: float | None = None
    code: int | None = None  # as a shell says it: 128+n for signal n
    reported: bool = True  # False: it vanished together with its shim, which is how mpiexec ends ranks
    last_words: str = ""
    out_of_memory: bool = False  # the kernel killed it because the node's memory was used up

    @property
    def signal(self) -> int:
        """The signal that a code over 128 stands for, else 0. A program can also just exit with such a code."""
        number = (self.code or 0) - 128
        return number if number in set(signal.Signals) else 0  # a real-time signal has no name

    def __str__(self) -> str:
        if self.ended is None:
            return f"rank {self.rank} runs as process {self.pid}"
        how = f"ended with {self.code}"
        if self.signal:
            how = f"was ended by {signal.Signals(self.signal).name} ({self.code})"
        if self.out_of_memory:
            how += ", out of memory"
        if not self.reported:
            how = "was ended from outside, by mpiexec most likely"
        return f"rank {self.rank} {how}"

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        return cls(**data)


def first_failure(records: Iterable[RankRecord]) -> RankRecord | None:
    """The record that gives the job its code: the first rank in time that ended other than with 0 (DESIGN 4.7).

    Ranks that vanished with their shims count only where no other failed: mpiexec ends the rest when one has failed.
    Measured: within a millisecond of a rank's end its peers see its connection closed and end by their MPI's own error.
    So of ends as good as at once those do not count beside another, and one by a signal counts first.
    """
    failed = [(r.ended, r) for r in records if r.ended is not None and r.code]
    reported = [f for f in failed if f[1].reported] or failed
    if not reported:
        return None
    first = min(ended for ended, _ in reported)
    at_once = [f for f in reported if f[0] - first <= AT_ONCE_S]
    return min(at_once, key=lambda f: (_by_mpi(f[1]), not f[1].signal, f[0], f[1].rank))[1]


def _by_mpi(record: RankRecord) -> bool:
    """Whether the rank's MPI ended it, as far as one can tell: it does so when a peer has gone."""
    return record.code == MPI_ERR_UNKNOWN or MPICH_SAYS in record.last_words
