"""When a schedule of EventBridge Scheduler is due: at(...), rate(...) and cron(...), as its User Guide defines them.

cron(MINUTE HOUR DAY MONTH WEEKDAY YEAR) in a time zone: lists, ranges, steps, names, `?`, L (last), W (the working day
nearest to), # (the Nth). A time that the clocks skip in spring is skipped; one that comes twice in autumn counts once.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Protocol
from zoneinfo import ZoneInfo

_RATE: Final = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_AT: Final = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)")
_CRON: Final = re.compile(r"cron\((\S+(?: \S+){5})\)")
FORMS: Final = (
    "at(2026-12-01T06:00:00), rate(6 hours), or cron(MINUTE HOUR DAY MONTH WEEKDAY YEAR) with ? as day or weekday"
)
_MONTHS: Final = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
_WEEKDAYS: Final = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), 1)}
_LAST_YEAR: Final = 2199
_SATURDAY: Final = 5  # of date.weekday()


class Timetable(Protocol):
    """When to act."""

    def next(self, moment: datetime) -> datetime | None:
        """The first time at `moment` or after it, in UTC; None where there is none any more."""


def parse(expression: str, zone: str = "UTC", *, start: datetime, forms: str = FORMS) -> Timetable:
    """The timetable of a schedule expression. `start`: from when on a rate counts; its first time is then.
    `forms`: what is allowed where the caller was asked, in words.

    Raises
    ------
    ValueError
        What is wrong with it, and what is allowed.
    """
    try:
        here = ZoneInfo(zone)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"got the time zone {zone!r}; allowed: a name such as Europe/Berlin") from error
    if match := _RATE.fullmatch(expression):
        if int(match[1]) < 1:
            raise ValueError(f"got {expression!r}; allowed: a rate of 1 or more")
        return _Rate(start=start, every=timedelta(**{f"{match[2]}s": int(match[1])}))
    if match := _AT.fullmatch(expression):
        try:
            return _At(moment=datetime.fromisoformat(match[1]).replace(tzinfo=here).astimezone(UTC))
        except ValueError as error:
            raise ValueError(f"got {expression!r}: {error}") from error
    if match := _CRON.fullmatch(expression):
        return _cron(match[1].upper().split(" "), here)
    raise ValueError(f"got {expression!r}; allowed: {forms}")


@dataclass(frozen=True)
class _At:
    moment: datetime

    def next(self, moment: datetime) -> datetime | None:
        return self.moment if self.moment >= moment else None


@dataclass(frozen=True)
class _Rate:
    start: datetime
    every: timedelta

    def next(self, moment: datetime) -> datetime | None:
        passed = max(timedelta(), moment - self.start)
        return self.start + -(-passed // self.every) * self.every


@dataclass(frozen=True, kw_only=True)
class _Days:
    """Which days of a month: plain numbers, and the words that depend on the month."""

    plain: frozenset[int]
    words: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Cron:
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: _Days | None  # None: ?, by weekday
    months: frozenset[int]
    weekdays: _Days | None  # of _Days.plain 1 is Sunday; None: ?, by day
    years: frozenset[int]
    zone: ZoneInfo

    def next(self, moment: datetime) -> datetime | None:
        local = moment.astimezone(self.zone)
        day = local.date()
        while day.year <= _LAST_YEAR:
            if day.year not in self.years or day.month not in self.months:
                day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
                continue
            if self._fits(day):
                for hour in self.hours:
                    for minute in self.minutes:
                        found = self._moment(day, time(hour, minute))
                        if found is not None and found >= moment:
                            return found
            day += timedelta(days=1)
        return None

    def _moment(self, day: date, clock: time) -> datetime | None:
        """That time of that day in UTC; None where the clocks skip it."""
        wanted = datetime.combine(day, clock)
        found = wanted.replace(tzinfo=self.zone).astimezone(UTC)
        return found if found.astimezone(self.zone).replace(tzinfo=None) == wanted else None

    def _fits(self, day: date) -> bool:
        if self.days is not None:
            return day.day in self.days.plain or any(_is_day(day, word) for word in self.days.words)
        if self.weekdays is None:
            return False
        number = day.isoweekday() % 7 + 1
        return number in self.weekdays.plain or any(_is_weekday(day, number, word) for word in self.weekdays.words)


def _is_day(day: date, word: str) -> bool:
    """L: the month's last; LW: its last working day; 15W: the working day nearest to the 15th, in the same month."""
    last = calendar.monthrange(day.year, day.month)[1]
    if word == "L":
        return day.day == last
    wanted = last if word == "LW" else min(int(word[:-1]), last)
    near = day.replace(day=wanted)
    if near.weekday() == _SATURDAY:
        near += timedelta(days=-1 if wanted > 1 else 2)
    elif near.weekday() > _SATURDAY:
        near += timedelta(days=1 if wanted < last else -2)
    return day == near


def _is_weekday(day: date, number: int, word: str) -> bool:
    """5L: the month's last Thursday; 3#2: its second Tuesday."""
    if "#" in word:
        wanted, nth = (int(part) for part in word.split("#"))
        return number == wanted and (day.day - 1) // 7 + 1 == nth
    last = calendar.monthrange(day.year, day.month)[1]
    return number == int(word[:-1]) and day.day > last - 7


def _cron(fields: list[str], zone: ZoneInfo) -> _Cron:
    minute, hour, day, month, weekday, year = fields
    if (day == "?") == (weekday == "?"):
        raise ValueError(
            f"got cron({' '.join(fields)}); allowed: ? as day or as weekday, in one of the two: cron(0 6 * * ? *)"
        )
    return _Cron(
        minutes=tuple(sorted(_numbers("minute", minute, 0, 59))),
        hours=tuple(sorted(_numbers("hour", hour, 0, 23))),
        days=None if day == "?" else _days(day),
        months=frozenset(_numbers("month", _named(month, _MONTHS), 1, 12)),
        weekdays=None if weekday == "?" else _weekdays(_named(weekday, _WEEKDAYS)),
        years=frozenset(_numbers("year", year, 1970, _LAST_YEAR)),
        zone=zone,
    )


def _days(text: str) -> _Days:
    words, plain = _sorted_out(text.split(","), r"L|LW|(?:[1-9]|[12]\d|3[01])W")
    return _Days(plain=frozenset(_numbers("day", plain, 1, 31) if plain else ()), words=words)


def _weekdays(text: str) -> _Days:
    """L alone is Saturday, the week's last."""
    parts = ["7" if part == "L" else part for part in text.split(",")]
    words, plain = _sorted_out(parts, r"[1-7]L|[1-7]#[1-5]")
    return _Days(plain=frozenset(_numbers("weekday", plain, 1, 7) if plain else ()), words=words)


def _sorted_out(parts: list[str], words: str) -> tuple[tuple[str, ...], str]:
    """The parts that are words, and the others as one text."""
    found = tuple(part for part in parts if re.fullmatch(words, part))
    return found, ",".join(part for part in parts if part not in found)


def _numbers(what: str, text: str, least: int, most: int) -> set[int]:
    """The numbers of a field: `*`, 5, 1-5, 0/15, */15, 10-40/10, and lists of them."""
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(?:(\*)|(\d+)(?:-(\d+))?)(?:/(\d+))?", part)
        first = last = step = 0
        if match:
            star, low, high, each = match.groups()
            step = int(each or 1)
            first = least if star else int(low)
            last = most if star or (each and not high) else int(high or low)
        if not match or step < 1 or not least <= first <= last <= most:
            raise ValueError(f"got {part!r} as {what} of cron(...); allowed: {least} to {most}, lists, ranges, steps")
        found.update(range(first, last + 1, step))
    return found


def _named(text: str, names: Mapping[str, int]) -> str:
    """`MON-FRI` in numbers."""
    return re.sub(r"[A-Z]{3}", lambda match: str(names.get(match[0], match[0])), text)
