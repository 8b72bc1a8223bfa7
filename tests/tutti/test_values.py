"""Times, sizes and words as users write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutti import values


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("2d", 172_800),
        ("1:30:00", 5400),
        ("1-02:00", 93_600),
        ("1.5h", 5400),
        (45, 45),
    ],
)
def test_times_are_read(text: object, seconds: int) -> None:
    assert values.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "-5", "1:99", "1y", None, True, []])
def test_what_is_no_time_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="allowed: seconds"):
        values.duration(text)


@pytest.mark.parametrize(
    ("text", "mib"), [("4096", 4096), ("4096M", 4096), ("8G", 8192), ("8 GiB", 8192), ("0.5g", 512)]
)
def test_sizes_are_read(text: str, mib: int) -> None:
    assert values.memory_mib(text) == mib


@given(st.integers(0, 10**7))
def test_a_time_in_words_is_within_its_last_unit(seconds: int) -> None:
    units = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
    words = values.in_words(seconds).split()
    said = sum(int(number) * units[unit] for number, unit in zip(words[::2], words[1::2], strict=True))
    smallest = {"d": 3600, "h": 60}.get(words[1], 1)  # the unit below the first is said, the rest is cut
    assert 0 <= seconds - said < smallest


def test_pairs_need_a_name_and_an_equals_sign() -> None:
    assert values.pairs(["A=1", "B=x=y"]) == {"A": "1", "B": "x=y"}
    with pytest.raises(ValueError, match="allowed: NAME=VALUE"):
        values.pairs(["=1"])
