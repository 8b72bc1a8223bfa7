from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workload.gang.outcome import Outcome, ended_early
from workload.gang.records import RankRecord


def record(rank: int, ended: float | None = 1.0, code: int | None = 0, *, reported: bool = True) -> RankRecord:
    return RankRecord(
        rank=rank, local=0, pid=1, started=0.0, ended=ended, code=code if ended else None, reported=reported
    )


def outcome(*records: RankRecord, ranks: int | None = None) -> Outcome:
    made = Outcome(ranks=len(records) if ranks is None else ranks)
    for one in records:
        made.add(one.rank, one)
    return made


def test_all_zero_is_zero_whatever_mpiexec_says() -> None:
    for code in (0, 9, 14, None):
        assert outcome(record(0), record(1)).verdict(code).code == 0


def test_the_first_failure_in_time_counts_and_names_node_and_rank() -> None:
    verdict = outcome(record(0, 9.0, 5), record(1, 4.0, 3), record(2)).verdict(7)
    assert verdict.code == 3
    assert "node 1: rank 1" in verdict.why


def test_times_of_different_nodes_are_compared_by_mains_clock() -> None:
    made = outcome(record(0, 100.0, 5), record(1, 40.0, 3))  # node 1's clock is an hour behind
    made.clock(1, theirs=0.0, ours=3600.0)
    made.clock(1, theirs=1.0, ours=3602.0)  # a slow message tells less than the quick one
    assert made.offsets[1] == 3600.0
    assert made.verdict(None).code == 5


def test_mpi_abort_ends_ranks_and_shims_and_leaves_its_code_with_mpiexec() -> None:
    ended = [record(rank, 1.0, 137, reported=False) for rank in range(3)]
    assert outcome(*ended).verdict(7).code == 7
    assert outcome(*ended).verdict(None).code == 137


def test_a_reported_end_beats_mpiexecs_code() -> None:
    assert outcome(record(0, 1.0, 137), record(1, 0.5, 137, reported=False)).verdict(9).code == 137


def test_mpiexec_speaks_where_no_rank_ran() -> None:
    assert outcome(ranks=4).verdict(255).code == 255


@given(st.integers(1, 255))
def test_a_code_of_ours_never_comes_from_a_program(code: int) -> None:
    verdict = outcome(record(0, 1.0, code)).verdict(None)
    ours = code == 22 or 210 <= code < 230
    assert verdict.code == (1 if ours else code)
    assert (f"{code} is a code of Tutti's own" in verdict.why) == ours


def test_213_is_kept_where_the_program_said_that_it_stops_on_request() -> None:
    made = outcome(record(0, 1.0, 213))
    assert made.verdict(None).code == 1
    made.asked = True
    assert made.verdict(None).code == 213


def test_who_ended_with_0_long_before_the_others_is_named() -> None:
    made = outcome(record(0, None), record(1, 10.0), record(2, 10.0, 4), record(3, 95.0))
    assert ended_early(made.records, now=100.0, after_s=60.0) == [1]


def test_running_ranks_are_those_that_started_and_have_not_ended() -> None:
    made = outcome(record(0, None), record(1), ranks=3)
    assert [r.rank for r in made.running()] == [0]
    assert [r.rank for r in made.running(nodes=[1])] == []
    assert (made.started, made.ended) == (2, 1)
