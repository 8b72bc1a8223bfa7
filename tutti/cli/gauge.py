"""A job's progress as one line at the foot of the terminal, below what the job writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TextIO

from tutti.cli.screen import bar, width
from tutti.core.events import parse_event
from workload.contract import Event

if TYPE_CHECKING:
    from tutti.core.events import Line

CLEAR: Final = "\r\x1b[K"


class Gauge:
    """Where `out` is no terminal, it shows nothing."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._on = out.isatty()
        self._text = ""

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Make room for lines that are written meanwhile."""
        if self._on and self._text:
            self._out.write(CLEAR)
            self._out.flush()
        yield
        self._draw()

    def see(self, line: Line) -> None:
        """Take the progress that a line of the log holds, if it does."""
        if not self._on:
            return
        happening = parse_event(line)
        if happening is not None and happening.event is Event.PROGRESS:
            self._text = in_words(happening.fields)
            self._draw()

    def end(self) -> None:
        """Leave the line empty."""
        with self.aside():
            self._text = ""

    def _draw(self) -> None:
        if self._on and self._text:
            self._out.write(f"{CLEAR}{self._text[: width() - 1]}")
            self._out.flush()


def in_words(progress: Mapping[str, Any]) -> str:
    """Step, total, rate and estimate of a progress event, in one line."""
    step, total, rate = progress.get("step", 0), progress.get("total"), progress.get("rate")
    speed = f", {rate:.4g} {progress.get('unit', 'steps')}/s" if rate else ""
    if not total:
        return f"step {step}{speed}"
    left = f", {_clock(max(0, total - step) / rate)} left" if rate else ""
    return f"{bar(step / total)}  step {step} of {total}{speed}{left}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
