"""Which rank's end gives the job its code."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workload.gang.records import AT_ONCE_S, MPI_ERR_UNKNOWN, RankRecord, first_failure


def ended(rank: int, at: float, code: int, *, reported: bool = True, words: str = "") -> RankRecord:
    return RankRecord(
        rank=rank, local=0, pid=100 + rank, started=0.0, ended=at, code=code, reported=reported, last_words=words
    )


def test_the_first_that_did_not_end_with_0() -> None:
    assert first_failure([ended(0, 1.0, 0), ended(1, 5.0, 4), ended(2, 3.0, 9)]) == ended(2, 3.0, 9)


def test_all_well_is_no_failure_and_neither_is_a_rank_that_runs() -> None:
    runs = RankRecord(rank=3, local=0, pid=1, started=0.0)
    assert first_failure([ended(0, 1.0, 0), runs]) is None


def test_ranks_that_mpiexec_ended_count_only_where_no_other_failed() -> None:
    swept = ended(0, 1.0, 137, reported=False)
    assert first_failure([swept, ended(1, 2.0, 3)]) == ended(1, 2.0, 3)
    assert first_failure([swept]) == swept


def test_what_peers_and_their_mpi_do_of_a_crash_does_not_count_beside_it() -> None:
    crash = ended(2, 1.002, 139)
    peers = [ended(0, 1.0, 1), ended(1, 1.001, MPI_ERR_UNKNOWN)]
    assert first_failure([*peers, crash]) == crash
    own = ended(2, 1.002, 7)
    assert first_failure([ended(1, 1.001, MPI_ERR_UNKNOWN), own]) == own
    assert first_failure([ended(1, 1.0, 15, words="Fatal error in internal_Recv"), own]) == own


def test_a_later_crash_is_no_cause() -> None:
    first = ended(0, 1.0, 5)
    assert first_failure([first, ended(1, 1.0 + 2 * AT_ONCE_S, 139)]) == first


def test_a_code_over_128_names_its_signal() -> None:
    assert str(ended(3, 1.0, 137)) == "rank 3 was ended by SIGKILL (137)"
    assert str(ended(3, 1.0, 137).but(out_of_memory=True)) == "rank 3 was ended by SIGKILL (137), out of memory"
    assert str(ended(3, 1.0, 7)) == "rank 3 ended with 7"
    assert "from outside" in str(ended(3, 1.0, 137, reported=False))
    assert ended(0, 1.0, 255).signal == 0


@given(st.builds(ended, st.integers(0, 9), st.floats(0, 1e9), st.integers(0, 255), reported=st.booleans()))
def test_a_record_survives_the_wire(record: RankRecord) -> None:
    assert RankRecord.from_json(record.to_json()) == record
