from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from workload.gang.roster import Differs, Hello, Refused, Roster, Welcome, ranges

VERSIONS = {"tutti": "1", "mpich": "5.0.2"}
HELLO = Hello(
    index=0,
    address="10.0.0.1",
    network="10.0.0.0/24",
    cores=4,
    bind=True,
    memory_mib=1000,
    gpus=0,
    probe_port=1,
    clock=0.0,
    versions=VERSIONS,
    facts={},
)


def roster(count: int = 3, main_index: int = 0) -> Roster:
    return Roster(count=count, main_index=main_index, versions=VERSIONS)


def test_a_hello_survives_the_journey() -> None:
    hello = HELLO.but(facts={"CPU model": "x"}, problems=("one", "two"))
    assert Hello.from_message(hello.message()) == hello


@pytest.mark.parametrize(
    "broken", [{}, {"index": "x"}, {**HELLO.message(), "versions": 3}, {**HELLO.message(), "cores": None}]
)
def test_a_hello_that_is_not_complete_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not complete"):
        Hello.from_message(broken)


def test_who_shows_the_key_of_another_index_is_refused() -> None:
    verdict = roster().admit(2, HELLO.but(index=1))
    assert isinstance(verdict, Refused)
    assert "it says that it is node 1, and its key is node 2's" in verdict.reason


def test_a_second_one_of_an_index_is_refused_and_the_first_stays() -> None:
    there = roster()
    there.admit(1, HELLO.but(index=1, address="10.0.0.2"))
    verdict = there.admit(1, HELLO.but(index=1, address="10.0.0.66"))
    assert isinstance(verdict, Refused)
    assert there.members[1].address == "10.0.0.2"


def test_a_closed_roster_takes_nobody_and_says_why() -> None:
    there = roster()
    there.closed = "the job has ended"
    verdict = there.admit(0, HELLO)
    assert isinstance(verdict, Refused)
    assert "the job has ended" in verdict.reason


def test_versions_that_differ_are_all_named_with_both_sides() -> None:
    verdict = roster().admit(1, HELLO.but(index=1, versions={"tutti": "2", "openmpi": "5.0"}))
    assert isinstance(verdict, Differs)
    for words in ("tutti: node 0 has 1, node 1 has 2", "mpich: node 0 has 5.0.2, node 1 has none", "openmpi"):
        assert words in verdict.reason


def test_main_is_first_in_the_order_of_ranks_wherever_its_index_is() -> None:
    there = roster(count=3, main_index=2)
    for index in (1, 2, 0):
        there.admit(index, HELLO.but(index=index))
    assert [member.index for member in there.in_order] == [2, 0, 1]


def test_the_ring_of_neighbours_goes_round_once() -> None:
    there = roster(count=4)
    for index in range(4):
        there.admit(index, HELLO.but(index=index))
    at, seen = 0, []
    for _ in range(4):
        seen.append(at)
        at = there.neighbour(at).index
    assert (sorted(seen), at) == ([0, 1, 2, 3], 0)


@given(st.sets(st.integers(0, 60)))
def test_ranges_name_every_index_once_in_order(indices: set[int]) -> None:
    named: list[int] = []
    for part in filter(None, ranges(indices).split(", ")):
        first, _, last = part.partition("-")
        named += range(int(first), int(last or first) + 1)
    assert named == sorted(indices)


class Joining(RuleBasedStateMachine):
    """Whoever knocks in whatever order: members are distinct, and the last one, alone, completes the gang."""

    @initialize(count=st.integers(1, 5))
    def open(self, count: int) -> None:
        self.roster = roster(count)
        self.completed = 0

    @rule(key=st.integers(0, 4), index=st.integers(0, 4), version=st.sampled_from(["1", "1", "1", "2"]))
    def knock(self, key: int, index: int, version: str) -> None:
        before = dict(self.roster.members)
        hello = HELLO.but(index=index, versions={**VERSIONS, "tutti": version})
        if key >= self.roster.count:
            return  # the wire lets no such key in
        verdict = self.roster.admit(key, hello)
        if isinstance(verdict, Welcome):
            assert key == index
            assert index not in before
            assert version == "1"
            self.completed += verdict.complete
        else:
            assert self.roster.members == before

    @invariant()
    def complete_exactly_once(self) -> None:
        if hasattr(self, "roster"):
            assert set(self.roster.missing) | set(self.roster.members) == set(range(self.roster.count))
            assert self.completed == self.roster.complete


TestJoining = Joining.TestCase
