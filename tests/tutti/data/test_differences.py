"""What a sync sends and removes: the pure comparison, over any two sides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutti.data.differences import SECOND, Change, Difference, Item, Times, Why, blocked, compare, kept, parents

NAMES = st.lists(st.sampled_from(["a", "b", "c d", "-x", "é\n"]), min_size=1, max_size=3).map("/".join)
ITEMS = st.builds(
    Item,
    name=NAMES,
    size=st.integers(0, 2),
    modified_ns=st.integers(0, 3 * SECOND),
    mark=st.sampled_from(["", "one", "other"]),
)
SIDES = st.dictionaries(NAMES, ITEMS, max_size=6).map(
    lambda found: {name: replace(item, name=name) for name, item in found.items()}
)


def same_mark(source: Item, target: Item) -> bool:
    return bool(target.mark) and source.mark == target.mark


def after(target: Mapping[str, Item], found: Difference, times: Times) -> dict[str, Item]:
    """The target once a difference is carried out; S3 gives a copy the time of its making."""
    now = 10 * SECOND
    left = {name: item for name, item in target.items() if name not in found.remove}
    sent = {c.item.name: c.item if times is Times.KEPT else replace(c.item, modified_ns=now) for c in found.send}
    return {**left, **sent}


@given(SIDES, SIDES, st.sampled_from(Times), st.booleans(), st.booleans())
def test_a_second_sync_finds_nothing_to_do(
    source: dict[str, Item], target: dict[str, Item], times: Times, by_content: bool, delete: bool
) -> None:
    def look(there: Mapping[str, Item]) -> Difference:
        return compare(
            source.values(), there.values(), times=times, same_content=same_mark, by_content=by_content, delete=delete
        )

    first = look(target)
    level = after(target, first, times)
    again = look(level)
    assert again.remove == ()
    assert [
        c for c in again.send if not (by_content and not c.item.mark)
    ] == []  # no mark: nothing shows it is the same
    assert first.same + len(first.send) == len(source)
    if delete:
        assert level.keys() == source.keys()
    assert {name: level[name].size for name in source} == {name: item.size for name, item in source.items()}


@given(SIDES, SIDES, st.sampled_from(Times))
def test_only_what_the_source_has_not_is_removed_and_only_where_that_is_asked_for(
    source: dict[str, Item], target: dict[str, Item], times: Times
) -> None:
    asked = compare(source.values(), target.values(), times=times, same_content=same_mark, delete=True)
    assert set(asked.remove) == target.keys() - source.keys()
    assert compare(source.values(), target.values(), times=times, same_content=same_mark).remove == ()


@given(SIDES, st.sampled_from(["a", "*", "a/", "b/*", "!a"]))
def test_what_is_excluded_is_neither_sent_nor_removed(side: dict[str, Item], rule: str) -> None:
    left = {item.name for item in kept(side.values(), [rule])}
    found = compare(kept(side.values(), [rule]), (), times=Times.KEPT, same_content=same_mark)
    assert {c.item.name for c in found.send} == left
    gone = compare((), kept(side.values(), [rule]), times=Times.KEPT, same_content=same_mark, delete=True)
    assert set(gone.remove) == left
    if rule == "a/":
        assert left == {name for name in side if "a" not in name.split("/")[:-1]}
    if rule == "*":
        assert not left


@given(SIDES, SIDES, st.booleans())
def test_what_is_sent_to_a_folder_can_lie_there_together(
    source: dict[str, Item], target: dict[str, Item], delete: bool
) -> None:
    on_disk = [n for n in target if not any(p in target for p in parents(n))]
    there = [target[n] for n in on_disk]
    found = compare(source.values(), there, times=Times.KEPT, same_content=same_mark, delete=delete)
    fit = blocked(found, on_disk, folders=True)
    files = {c.item.name for c in fit.send} | (set(on_disk) - set(fit.remove))
    assert not [name for name in files for folder in parents(name) if folder in files]
    assert {c.item.name for c in fit.send} | {name for name, _ in fit.blocked} == {c.item.name for c in found.send}


HERE = Item(name="f", size=1, modified_ns=5 * SECOND + 7)


@pytest.mark.parametrize(
    ("copy", "times", "by_content", "why"),
    [
        (None, Times.KEPT, False, Why.NEW),
        (replace(HERE, size=2), Times.KEPT, False, Why.SIZE),
        (replace(HERE, modified_ns=5 * SECOND), Times.KEPT, False, None),
        (replace(HERE, modified_ns=6 * SECOND), Times.KEPT, False, Why.TIME),
        (replace(HERE, modified_ns=6 * SECOND), Times.OF_THE_COPY, False, None),
        (replace(HERE, modified_ns=4 * SECOND), Times.OF_THE_COPY, False, Why.TIME),
        (
            replace(HERE, modified_ns=5 * SECOND),
            Times.OF_THE_COPY,
            False,
            Why.TIME,
        ),  # changed after, in the same second?
        (replace(HERE, modified_ns=5 * SECOND, mark="ours"), Times.OF_THE_COPY, False, None),
        (replace(HERE, modified_ns=4 * SECOND, mark="ours"), Times.OF_THE_COPY, False, None),
        (replace(HERE, modified_ns=6 * SECOND, mark="ours"), Times.KEPT, False, None),
        (replace(HERE, mark="other"), Times.KEPT, False, None),
        (replace(HERE, mark="other"), Times.KEPT, True, Why.CONTENT),
        (replace(HERE, modified_ns=0, mark="ours"), Times.KEPT, True, None),
    ],
)
def test_a_file_differs_by_size_then_time_and_content_settles_what_times_do_not(
    copy: Item | None, times: Times, by_content: bool, why: Why | None
) -> None:
    found = compare(
        [HERE],
        [copy] if copy else [],
        times=times,
        same_content=lambda _, target: target.mark == "ours",
        by_content=by_content,
    )
    assert [c.why for c in found.send] == ([why] if why else [])


@pytest.mark.parametrize("name", ["", "a//b", "/a", "../x", "a/./b", "a\0b", "a/"])
def test_keys_that_are_no_names_are_told_and_never_written(name: str) -> None:
    found = Difference(send=(Change(item=replace(HERE, name=name), why=Why.NEW),), remove=(), same=0)
    fit = blocked(found, (), folders=True)
    assert (fit.send, [n for n, _ in fit.blocked]) == ((), [name])


def test_names_that_are_no_utf_8_are_told_where_a_bucket_must_keep_them() -> None:
    found = Difference(send=(Change(item=replace(HERE, name="caf\udce9"), why=Why.NEW),), remove=(), same=0)
    assert blocked(found, (), folders=False).blocked == (
        ("caf\udce9", "its name is no UTF-8, and the bucket takes no other: rename it"),
    )
    assert blocked(found, (), folders=True).send == found.send
