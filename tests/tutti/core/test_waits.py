"""Where the time went until a gang was assembled: whole, in order, and named by what it waited for."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutti.core.waits import JOIN_S, Origin, Wait, origin, waits

NAMES = {"queued", "booted", "pulled", "starting", "assembled"}
moments = st.floats(-1e6, 1e6)
intervals = st.tuples(moments, moments).map(lambda pair: (min(pair), max(pair)))
origins = st.builds(Origin, booted=st.none() | moments, pull=st.none() | intervals)


def seconds(found: list[Wait]) -> list[tuple[str, float]]:
    return [(w.name, w.end - w.start) for w in found]


@given(moments, moments, moments, moments, st.integers(0, 3), st.dictionaries(st.integers(0, 3), origins, max_size=4))
def test_whatever_clocks_and_nodes_say_the_phases_are_the_whole_time_in_order(
    asked: float, placed: float, running: float, assembled: float, main: int, told: dict[int, Origin]
) -> None:
    found = waits(asked=asked, placed=placed, running=running, assembled=assembled, main=main, origins=told)
    assert all(w.end > w.start and w.name in NAMES for w in found)
    assert all(one.end == after.start and one.name != after.name for one, after in pairwise(found))
    if assembled > asked:
        assert (found[0].start, found[-1].end) == (asked, assembled)
    else:
        assert found == []


@given(moments, st.dictionaries(st.integers(0, 3), origins, max_size=4))
def test_a_pull_is_a_pull_whoever_pulls(at: float, told: dict[int, Origin]) -> None:
    found = waits(asked=-2e6, placed=at, running=at, assembled=2e6, main=0, origins=told)
    pulling = any(o.pull and o.pull[0] <= at < o.pull[1] for o in told.values())
    assert pulling == any(w.name == "pulled" and w.start <= at < w.end for w in found)


def test_new_instances_boot_main_pulls_and_then_the_children() -> None:
    """As on AWS: all instances come up, main is placed, and the children are asked for once it runs."""
    found = waits(
        asked=0, placed=150, running=152, assembled=230, main=0,
        origins={
            0: Origin(booted=40, pull=(100, 148)),
            1: Origin(booted=42, pull=(160, 205)),
            2: Origin(booted=41, pull=(165, 220)),
        },
    )  # fmt: skip
    assert seconds(found) == [
        ("queued", 40),
        ("booted", 60),
        ("pulled", 48),
        ("starting", 4),
        ("assembled", 8),
        ("pulled", 60),  # until the slowest has it
        ("assembled", 10),
    ]


def test_an_instance_that_comes_late_is_told_from_a_node_that_only_waits() -> None:
    late = {0: Origin(booted=-100, pull=(10, 12)), 1: Origin(booted=30, pull=(90, 95))}
    found = waits(asked=0, placed=13, running=14, assembled=100, main=0, origins=late)
    assert seconds(found) == [
        ("queued", 10), ("pulled", 2), ("starting", 2), ("assembled", 16), ("booted", 60), ("pulled", 5), ("assembled", 5),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "booted",
    [-1000.0, 0.0, None, 700 - JOIN_S - 1],
    ids=["long ago", "just before", "not known", "for another job, for which it ran for long"],
)
def test_an_instance_that_was_there_is_not_booted(booted: float | None) -> None:
    told = {0: Origin(booted=booted, pull=(700, 701))}
    found = waits(asked=0, placed=702, running=703, assembled=704, main=0, origins=told)
    assert seconds(found) == [("queued", 700), ("pulled", 1), ("starting", 2), ("assembled", 1)]


def test_without_a_word_of_the_nodes_there_is_what_batch_and_main_tell() -> None:
    found = waits(asked=0, placed=10, running=12, assembled=20, main=0, origins={})
    assert seconds(found) == [("queued", 10), ("starting", 2), ("assembled", 8)]


def test_a_pull_that_takes_no_time_is_no_phase() -> None:
    told = {n: Origin(booted=-50, pull=(5, 5)) for n in range(2)}
    found = waits(asked=0, placed=6, running=7, assembled=8, main=0, origins=told)
    assert seconds(found) == [("queued", 5), ("starting", 2), ("assembled", 1)]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"booted": 1, "pull_began": "2020-10-02T00:43:06.25Z", "pull_ended": "2020-10-02T00:43:07.500000001Z"},
            Origin(booted=1.0, pull=(1601599386.25, 1601599387.5)),
        ),
        ({"booted": 1.0}, Origin(booted=1.0)),
        ({"booted": 1.0, "pull_began": "2020-10-02T00:43:06Z"}, Origin(booted=1.0)),
        ({"booted": float("nan"), "pull_began": 4.0, "pull_ended": "soon"}, Origin()),
        ({"booted": "x", "pull_began": "2020-10-02T00:43:06", "pull_ended": "2020-10-02T00:43:06"}, Origin()),
        (
            {"pull_began": "2020-10-02T00:43:06Z", "pull_ended": "2020-10-02T00:43:05Z"},
            Origin(pull=(1601599386.0, 1601599386.0)),
        ),
    ],
)
def test_what_a_node_says_is_read_with_care(fields: dict[str, object], expected: Origin) -> None:
    assert origin(fields) == expected
