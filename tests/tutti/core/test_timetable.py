"""When schedules are due: the forms of EventBridge Scheduler, against its User Guide's examples and against every minute."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutti.core.timetable import parse

START = datetime(2026, 11, 20, 13, 7, 30, tzinfo=UTC)


def times(expression: str, count: int, zone: str = "UTC", start: datetime = START) -> list[str]:
    table = parse(expression, zone, start=start)
    found: list[str] = []
    moment: datetime | None = start
    while len(found) < count and moment is not None and (moment := table.next(moment)) is not None:
        found.append(f"{moment:%Y-%m-%dT%H:%M:%S}")
        moment += timedelta(seconds=1)
    return found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("at(2026-11-20T13:08:00)", ["2026-11-20T13:08:00"]),
        ("at(2026-11-20T13:07:00)", []),
        ("rate(1 minute)", ["2026-11-20T13:07:30", "2026-11-20T13:08:30"]),
        ("rate(6 hours)", ["2026-11-20T13:07:30", "2026-11-20T19:07:30"]),
        ("cron(0 10 * * ? *)", ["2026-11-21T10:00:00", "2026-11-22T10:00:00"]),
        ("cron(15 12 * * ? *)", ["2026-11-21T12:15:00"]),
        ("cron(0 18 ? * MON-FRI *)", ["2026-11-20T18:00:00", "2026-11-23T18:00:00"]),
        ("cron(0 8 1 * ? *)", ["2026-12-01T08:00:00", "2027-01-01T08:00:00"]),
        ("cron(0/15 * * * ? *)", ["2026-11-20T13:15:00", "2026-11-20T13:30:00"]),
        ("cron(0/10 * ? * MON-FRI *)", ["2026-11-20T13:10:00"]),
        ("cron(15 10 ? * 6L 2026-2027)", ["2026-11-27T10:15:00", "2026-12-25T10:15:00"]),
        ("cron(0 0 L * ? *)", ["2026-11-30T00:00:00", "2026-12-31T00:00:00"]),
        ("cron(0 0 LW * ? *)", ["2026-11-30T00:00:00", "2026-12-31T00:00:00", "2027-01-29T00:00:00"]),
        ("cron(0 0 15W * ? *)", ["2026-12-15T00:00:00", "2027-01-15T00:00:00", "2027-02-15T00:00:00"]),
        ("cron(0 0 1W 8 ? *)", ["2027-08-02T00:00:00"]),  # the 1st is a Sunday
        ("cron(0 0 ? * TUE#2 *)", ["2026-12-08T00:00:00"]),
        ("cron(0 0 ? * L *)", ["2026-11-21T00:00:00"]),
        ("cron(5,35 14 * * ? *)", ["2026-11-20T14:05:00", "2026-11-20T14:35:00"]),
        ("cron(0 0 29 FEB ? *)", ["2028-02-29T00:00:00", "2032-02-29T00:00:00"]),
        ("cron(0 0 30 2 ? *)", []),
        ("cron(0 0 1 1 ? 2020)", []),
    ],
)
def test_a_schedule_is_due_when_its_words_say(expression: str, expected: list[str]) -> None:
    assert times(expression, max(len(expected), 1)) == expected


def test_a_time_zone_is_kept_over_the_change_of_clocks() -> None:
    """In spring 02:30 does not exist and is skipped; in autumn it comes twice and counts once."""
    spring = datetime(2027, 3, 27, 12, tzinfo=UTC)
    assert times("cron(30 2 * * ? *)", 2, "Europe/Berlin", spring) == ["2027-03-29T00:30:00", "2027-03-30T00:30:00"]
    autumn = datetime(2027, 10, 30, 12, tzinfo=UTC)
    assert times("cron(30 2 * * ? *)", 2, "Europe/Berlin", autumn) == ["2027-10-31T00:30:00", "2027-11-01T01:30:00"]
    assert times("at(2026-12-01T06:00:00)", 1, "Europe/Berlin") == ["2026-12-01T05:00:00"]


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("often", r"allowed: at\("),
        ("rate(0 minutes)", "a rate of 1 or more"),
        ("rate(5 weeks)", r"allowed: at\("),
        ("at(2026-02-30T00:00:00)", "day"),
        ("cron(0 6 * * *)", r"allowed: at\("),
        ("cron(0 6 * * * *)", r"\? as day or as weekday"),
        ("cron(0 6 ? * ? *)", r"\? as day or as weekday"),
        ("cron(60 6 * * ? *)", "got '60' as minute .*0 to 59"),
        ("cron(0 24 * * ? *)", "as hour"),
        ("cron(0 6 32 * ? *)", "as day"),
        ("cron(0 6 1 MAYBE ? *)", "as month"),
        ("cron(0 6 ? * 8 *)", "as weekday"),
        ("cron(0 6 ? * 1#6 *)", "as weekday"),
        ("cron(0 6 * * ? 1969)", "as year"),
        ("cron(5-1 6 * * ? *)", "as minute"),
        ("cron(*/0 6 * * ? *)", "as minute"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_is_allowed(expression: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse(expression, start=START)


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="Nowhere/Land"):
        parse("cron(0 6 * * ? *)", "Nowhere/Land", start=START)


@given(
    minutes=st.sets(st.integers(0, 59), min_size=1, max_size=3),
    hours=st.sets(st.integers(0, 23), min_size=1, max_size=3),
    weekdays=st.sets(st.integers(1, 7), min_size=1, max_size=7),
    offset=st.integers(0, 60 * 24 * 400),
)
def test_the_next_time_is_the_first_minute_that_fits(
    minutes: set[int], hours: set[int], weekdays: set[int], offset: int
) -> None:
    """Against a search of every hour from there on."""
    moment = START + timedelta(minutes=offset)
    fields = [",".join(map(str, sorted(numbers))) for numbers in (minutes, hours, weekdays)]
    found = parse(f"cron({fields[0]} {fields[1]} ? * {fields[2]} *)", start=START).next(moment)
    hour = moment.replace(minute=0, second=0)
    candidates = (
        hour + timedelta(hours=step, minutes=minute)
        for step in range(24 * 8)
        if (hour + timedelta(hours=step)).hour in hours
        for minute in sorted(minutes)
    )
    assert found == next(c for c in candidates if c >= moment and (c.weekday() + 1) % 7 + 1 in weekdays)


@given(st.integers(0, 5000), st.sampled_from(["minute", "hour", "day"]), st.integers(1, 90))
def test_a_rate_counts_from_its_start(seconds: int, unit: str, count: int) -> None:
    every = timedelta(**{f"{unit}s": count})
    found = parse(f"rate({count} {unit}s)", start=START).next(START + timedelta(seconds=seconds))
    assert found is not None
    assert (found - START) % every == timedelta()
    assert START + timedelta(seconds=seconds) <= found < START + timedelta(seconds=seconds) + every


def test_the_last_days_of_all_months_are_found() -> None:
    expected = [
        f"{year}-{month:02}-{calendar.monthrange(year, month)[1]}T00:00:00"
        for year in (2027, 2028)
        for month in range(1, 13)
    ]
    assert times("cron(0 0 L * ? *)", 24, start=datetime(2027, 1, 1, tzinfo=UTC)) == expected
