"""How values are read that a user writes, in a job file or behind a flag: one reader for both.

Every reader takes text (or what YAML made of it) and raises ValueError with what it got and what is allowed.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any, Final

from tutti.errors import likely

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_UNITS_MIB: Final = {"M": 1, "MI": 1, "MIB": 1, "MB": 1, "G": 1024, "GI": 1024, "GIB": 1024, "GB": 1024}
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+", re.IGNORECASE)
_CLOCK: Final = re.compile(r"(?:(?P<d>\d+)-)?(?P<h>\d+):(?P<m>[0-5]?\d)(?::(?P<s>[0-5]?\d))?")
_MEMORY: Final = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[A-Za-z]*)")


def got(value: object, allowed: str, hint: str = "") -> ValueError:
    """The error of a value: `got X; allowed: Y`."""
    return ValueError(f"got {value!r}; allowed: {allowed}{hint}")


def whole(least: int, most: int | None = None) -> Callable[[object], int]:
    """A reader of whole numbers from `least` to `most`, both allowed."""
    allowed = f"a whole number, {least:,} or more" if most is None else f"a whole number from {least:,} to {most:,}"

    def read(value: object) -> int:
        text = str(value).strip().replace("_", "")
        if isinstance(value, bool) or not re.fullmatch(r"-?\d+", text):
            raise got(value, allowed)
        number = int(text)
        if number < least or (most is not None and number > most):
            raise got(number, allowed)
        return number

    return read


def duration(value: object) -> int:
    """Seconds of `90`, `90s`, `10m`, `1h30m`, `2d`, `1:30:00` (hours first) or `1-00:00` (Slurm's days)."""
    text = str(value).strip()
    if isinstance(value, bool) or value is None:
        raise got(value, _DURATIONS)
    if re.fullmatch(r"\d+", text):
        return int(text)
    if _DURATION.fullmatch(text):
        parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text.lower())
        return round(sum(float(number) * _UNITS_S[unit] for number, unit in parts))
    if clock := _CLOCK.fullmatch(text):
        days, hours, minutes, seconds = (int(clock[part] or 0) for part in "dhms")
        return days * 86_400 + hours * 3600 + minutes * 60 + seconds
    raise got(value, _DURATIONS)


_DURATIONS: Final = "seconds, or a time such as 90s, 10m, 1h30m, 2h, 1:30:00"


def memory_mib(value: object) -> int:
    """MiB of `4096`, `4096M`, `8G`, `8GiB`. M and G are 2**20 and 2**30 bytes, as Batch and Slurm count."""
    allowed = "MiB, or a size such as 4096M, 8G, 8GiB"
    match = _MEMORY.fullmatch(str(value).strip())
    if not match or isinstance(value, bool):
        raise got(value, allowed)
    unit = match["unit"].upper() or "M"
    if unit not in _UNITS_MIB:
        raise got(value, allowed)
    mib = round(float(match["number"]) * _UNITS_MIB[unit])
    if mib < 4:
        raise got(value, f"{allowed}, 4 MiB or more")
    return mib


def dollars(value: object) -> float:
    """US dollars: `12`, `12.50`, `$12`."""
    match = re.fullmatch(r"\$?(\d+(?:\.\d+)?)", str(value).strip())
    if not match or isinstance(value, bool):
        raise got(value, "an amount of US dollars, such as 12.50")
    return float(match[1])


def choice(*names: str) -> Callable[[object], str]:
    """A reader of one of some words."""
    words = [str(name) for name in names]

    def read(value: object) -> str:
        text = str(value).strip().lower()
        if text not in words:
            raise got(value, ", ".join(words), likely(text, words))
        return text

    return read


def boolean(value: object) -> bool:
    """Yes or no, as YAML and a flag say it."""
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text not in {"true", "yes", "on", "1", "false", "no", "off", "0"}:
        raise got(value, "true or false")
    return text in {"true", "yes", "on", "1"}


def matching(pattern: str, allowed: str) -> Callable[[object], str]:
    """A reader of text of a given shape, which `allowed` puts into words."""

    def read(value: object) -> str:
        text = str(value).strip()
        if not re.fullmatch(pattern, text):
            raise got(value, allowed)
        return text

    return read


def text(value: object) -> str:
    """Plain text; numbers that YAML made of it become text again."""
    if isinstance(value, (list, tuple, dict)) or value is None:
        raise got(value, "text")
    return str(value).lower() if isinstance(value, bool) else str(value)


def listed(value: object) -> tuple[str, ...]:
    """A list of texts; one text is a list of one."""
    if isinstance(value, (list, tuple)):
        return tuple(text(item) for item in value)
    return (text(value),)


def argv(value: object) -> tuple[str, ...]:
    """A command: a list of words, or one line that is split as a shell would."""
    if isinstance(value, str):
        try:
            return tuple(shlex.split(value))
        except ValueError as error:
            raise got(value, f"a line that a shell can split ({error})") from error
    return listed(value)


def pairs(value: object) -> dict[str, str]:
    """A mapping of texts, or a list of `K=V`."""
    if isinstance(value, Mapping):
        return {text(k): "" if v is None else text(v) for k, v in value.items()}
    found: dict[str, str] = {}
    for item in listed(value):
        name, equals, rest = item.partition("=")
        if not equals or not name:
            raise got(item, "NAME=VALUE")
        found[name] = rest
    return found


def in_words(seconds: float) -> str:
    """Seconds for people: `12.3 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 or seconds == int(seconds) else f"{seconds:.1f} s"
    whole_s = round(seconds)
    for size, name, below, name_below in (
        (86_400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole_s >= size:
            rest = whole_s % size // below
            return f"{whole_s // size} {name}" + (f" {rest} {name_below}" if rest else "")
    raise AssertionError("60 s or more always finds its unit")


Reader = Callable[[Any], Any]
