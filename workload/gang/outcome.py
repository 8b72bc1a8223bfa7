"""How the ranks ended, and what the job's exit code is (DESIGN section 4, point 7). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from workload.contract import ExitCode, reported_code
from workload.gang.records import RankRecord, first_failure
from workload.record import Record


class Verdict(Record):
    """The job's exit code, and why in words."""

    code: int
    why: str


class Outcome:
    """The records of as many `ranks` as will run. Times of different nodes are compared by main's clock."""

    def __init__(self, *, ranks: int) -> None:
        self.ranks = ranks
        self.records: dict[int, RankRecord] = {}
        self.node_of: dict[int, int] = {}
        self.asked = False  # the program says that it saves and ends on request of the control object
        self.offsets: dict[int, float] = {}  # main's clock less the node's, seconds

    def clock(self, node: int, theirs: float, ours: float) -> None:
        """A message of `node` sent at `theirs` came at `ours`: the quickest one tells the difference best."""
        self.offsets[node] = min(self.offsets.get(node, float("inf")), ours - theirs)

    def add(self, node: int, record: RankRecord) -> None:
        self.node_of[record.rank] = node
        self.records[record.rank] = record

    @property
    def started(self) -> int:
        return len(self.records)

    @property
    def ended(self) -> int:
        return sum(r.ended is not None for r in self.records.values())

    def running(self, nodes: Iterable[int] | None = None) -> list[RankRecord]:
        """Ranks that have started and not ended; on `nodes` alone where those are given."""
        wanted = None if nodes is None else set(nodes)
        return [
            r for r in self.records.values() if r.ended is None and (wanted is None or self.node_of[r.rank] in wanted)
        ]

    def failure(self) -> tuple[int, RankRecord] | None:
        """The first rank in time that ended other than with 0, and its node."""
        offset = {rank: self.offsets.get(node, 0.0) for rank, node in self.node_of.items()}
        first = first_failure(
            r.but(ended=r.ended + offset[r.rank]) for r in self.records.values() if r.ended is not None
        )
        return (self.node_of[first.rank], first) if first else None

    def verdict(self, mpiexec_code: int | None) -> Verdict:
        """The job's code from the ranks' records; mpiexec's own only where they say nothing.

        `mpiexec_code` is None where mpiexec did not run, or was ended by us.
        """
        failure = self.failure()
        if failure and (failure[1].reported or not mpiexec_code):
            node, record = failure
            code = record.code or 0
            if code == ExitCode.STOPPED and self.asked:
                return Verdict(code=code, why=f"rank {record.rank} stopped with a checkpoint, on request")
            words = f"; its last words: {record.last_words}" if record.last_words else ""
            return _reported(code, f"node {node}: {record}{words}")
        if mpiexec_code and (failure or self.ended < self.ranks):
            # MPI_Abort: mpiexec ends ranks and shims before any can tell; its code is what was aborted with.
            return _reported(mpiexec_code, f"mpiexec ended the job with {mpiexec_code}")
        if mpiexec_code:
            why = f"every rank ended with 0; mpiexec itself ended with {mpiexec_code}, which is no rank's"
            return Verdict(code=0, why=why)
        return Verdict(code=0, why="every rank ended with 0")


def _reported(code: int, why: str) -> Verdict:
    reported = reported_code(code)
    if reported != code:
        why += f"; {code} is a code of Tutti's own, so the job ends with {reported}"
    return Verdict(code=reported, why=why)


def ended_early(records: Mapping[int, RankRecord], now: float, after_s: float) -> list[int]:
    """Ranks that ended with 0 more than `after_s` ago while others run on: what the log names once."""
    return sorted(r.rank for r in records.values() if r.ended is not None and not r.code and now - r.ended > after_s)
