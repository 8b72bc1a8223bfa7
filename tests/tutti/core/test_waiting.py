"""What comes next for a submission that waits: never twice, never lost, and only by what its key says."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutti.core.refusal import final
from tutti.core.waiting import LEASE_S, Done, Folder, Next, Waiting, key, owner

PLACE = "_after/astro/"
ENDED = ("SUCCEEDED", "FAILED")
STATES = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", *ENDED)
PART = st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1)
REQUEST = {"jobName": "tidy", "jobQueue": "q", "tags": {"a": "b", "tutti:user": "AROA:forged"}}
ONE = Waiting(
    name="after-tidy-1",
    user="AROA:alice@example.org",
    after=("j1", "j2"),
    request=REQUEST,
    runs="astro/runs/",
    capsule={"version": 2, "job": "", "submitted": 1.0},
    created=1000.0,
)


@pytest.mark.parametrize(
    ("states", "claimed", "now", "step"),
    [
        ({"j1": "RUNNING", "j2": "SUCCEEDED"}, None, 2000.0, Next.WAIT),
        ({"j1": "RUNNABLE", "j2": "RUNNABLE"}, None, 2000.0, Next.WAIT),
        ({"j1": "FAILED", "j2": "SUCCEEDED"}, None, 2000.0, Next.SUBMIT),
        ({"j2": "SUCCEEDED"}, None, 2000.0, Next.SUBMIT),  # Batch has forgotten j1, which it does to what has ended
        ({}, None, 2000.0, Next.SUBMIT),
        ({}, 2000.0, 2000.0 + LEASE_S, Next.LEAVE),
        ({}, 2000.0, 2000.1 + LEASE_S, Next.FIND),
        ({"j1": "RUNNING"}, 2000.0, 2000.1 + LEASE_S, Next.FIND),  # a claim was made because they had ended
    ],
)
def test_what_comes_next(states: dict[str, str], claimed: float | None, now: float, step: Next) -> None:
    assert replace(ONE, claimed=claimed).next(states, now) is step


@given(
    after=st.lists(st.sampled_from(["j1", "j2", "j3"]), unique=True, min_size=1),
    states=st.dictionaries(st.sampled_from(["j1", "j2", "j3", "other"]), st.sampled_from(STATES)),
    claimed=st.none() | st.floats(0, 1e6),
    now=st.floats(0, 1e6),
)
def test_it_is_submitted_where_all_have_ended_and_nobody_has_claimed_it_and_never_else(
    after: list[str], states: dict[str, str], claimed: float | None, now: float
) -> None:
    one = replace(ONE, after=tuple(after), claimed=claimed)
    due = all(states.get(job) in (None, *ENDED) for job in after)
    step = one.next(states, now)
    assert (step is Next.SUBMIT) == (due and claimed is None)
    assert (step in {Next.LEAVE, Next.FIND}) == (claimed is not None)
    assert len(one.unfinished(states)) == sum(states.get(job) not in (None, *ENDED) for job in after)


def test_whose_it_is_says_the_key_alone() -> None:
    made = ONE.submission()
    assert made["tags"] == {"a": "b", "tutti:user": "AROA:alice@example.org", "tutti:waited": "after-tidy-1"}
    forged = json.loads(ONE.to_text()) | {"user": "AROA:bob"}
    with pytest.raises(ValueError, match="not complete"):
        Waiting.from_text(json.dumps(forged), user="AROA:alice", name="x")
    capsule = ONE.capsule_of("id", 5.0)
    assert capsule is not None
    assert (capsule["job"], capsule["submitted"], capsule["request"]) == ("id", 5.0, made)
    assert replace(ONE, capsule=None).capsule_of("id", 5.0) is None


@given(
    PART,
    PART,
    st.sampled_from(Folder),
)
def test_a_key_is_read_as_it_was_written(user: str, name: str, folder: Folder) -> None:
    at = key(PLACE, folder, user, name)
    assert owner(PLACE, folder, at) == (user, name)
    assert owner("_after/astro2/", folder, at) is None
    assert [f for f in Folder if owner(PLACE, f, at)] == [folder]


@pytest.mark.parametrize(
    "at",
    [
        f"{PLACE}waiting/AROA:bob/AROA:alice/x.json",  # which alice's `*/AROA:alice/*` would let her write
        f"{PLACE}waiting/x.json",
        f"{PLACE}waiting//x.json",
        f"{PLACE}waiting/AROA:bob/",
        f"{PLACE}waiting/AROA:bob/x",
        "astro/waiting/AROA:bob/x.json",
    ],
)
def test_other_keys_are_nobodys(at: str) -> None:
    assert owner(PLACE, Folder.WAITING, at) is None


@pytest.mark.parametrize("one", [ONE, replace(ONE, claimed=3.5, capsule=None)])
def test_what_was_kept_is_read_again(one: Waiting) -> None:
    assert Waiting.from_text(one.to_text(), user=one.user, name=one.name) == one
    done = Done(name=one.name, user=one.user, job="tidy", after=one.after, at=1.0, id="j9")
    assert Done.from_text(done.to_text(), user=one.user, name=one.name) == done
    assert (done.folder, replace(done, id="", reason="no").folder) == (Folder.SUBMITTED, Folder.REFUSED)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"request": []},
        {"request": {"jobName": "x"}},
        {"request": {**REQUEST, "tags": 1}},
        {"capsule": 1},
        {"after": 7},
        {"more": 1},
    ],
)
def test_what_is_none_of_ours_is_not_read(change: dict[str, Any]) -> None:
    text = json.dumps(json.loads(ONE.to_text()) | change)
    with pytest.raises(ValueError, match=r"format|not complete"):
        Waiting.from_text(text, user="u", name="n")
    for text in ("", "[]", "{}", "nothing"):
        with pytest.raises(ValueError):  # in JSON's own words
            Waiting.from_text(text, user="u", name="n")


def test_a_busy_service_is_asked_again_and_a_wrong_request_is_not() -> None:
    assert final("ClientException", 400)
    assert final("AccessDeniedException", 403)
    assert not final("TooManyRequestsException", 429)
    assert not final("ThrottlingException", 400)
    assert not final("ServerException", 500)
