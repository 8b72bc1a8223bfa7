"""How far a program is: one call a step, which costs next to nothing when nothing is due. Standard library only.

    progress = Progress(steps, rank=comm.rank)
    for step in range(steps):
        ...
        progress.step(step + 1)

Once a second at most, a line goes out: to the node where there is one (contract.Progress, to the socket in
TUTTI_PROGRESS), which feeds the progress bar, the stall watch and CloudWatch; else rank 0 shows it on a terminal.
"""

from __future__ import annotations

import json
import math
import os
import socket
import sys
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, TextIO

from workload.contract import Progress as Datagram
from workload.contract import Variable

SEND_S: Final = 1.0
_GROWTH: Final = 2  # the steps between two looks at the clock at most double: a run's first steps are often odd
_LOOKS: Final = 4  # looks at the clock in SEND_S


class Progress:
    """A program's progress. Not collective: every rank reports for itself, a stalled one is then seen by its silence.

    Parameters
    ----------
    total
        How many units there are to do; None where nobody knows.
    rank
        This process's.
    unit
        What is counted, for people.
    environ, clock, terminal
        In place of os.environ, time.monotonic and sys.stderr.
    """

    def __init__(
        self,
        total: int | None = None,
        *,
        rank: int = 0,
        unit: str = "steps",
        environ: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        terminal: TextIO | None = None,
    ) -> None:
        self.total = total
        self.rate: float | None = None  # units a second, over the last report's time
        self._rank = rank
        self._unit = unit
        self._clock = clock
        self._socket = _connect(os.environ if environ is None else environ)
        if self._socket is not None:
            weakref.finalize(self, self._socket.close)  # a program's main loop should not need a `with` for this
        self._terminal = sys.stderr if terminal is None else terminal
        self._shows = self._socket is None and rank == 0 and self._terminal.isatty()
        # The whole of what `step` looks at when nothing is due: one comparison of integers. The stride between two
        # looks at the clock follows the speed of the program.
        self._due = -sys.maxsize
        self._stride = 1
        self._looked: tuple[float, int | None] = (clock(), None)
        self._sent: tuple[float, int | None] = self._looked

    def step(self, done: int) -> None:
        """Say that `done` units are done. Call it as often as you like."""
        if done >= self._due:
            self._look(done)

    @property
    def remaining(self) -> float | None:
        """The estimate of the seconds left; None where rate or total are not known."""
        if self.total is None or not self.rate or self._sent[1] is None:
            return None
        return max(0, self.total - self._sent[1]) / self.rate

    def _look(self, done: int) -> None:
        now = self._clock()
        looked_at, looked_step = self._looked
        if looked_step is not None and done > looked_step and now > looked_at:
            fit = (done - looked_step) * SEND_S / _LOOKS / (now - looked_at)
            self._stride = max(1, min(math.floor(fit), _GROWTH * self._stride))
        self._looked = (now, done)
        self._due = done + self._stride
        if self.total is not None and done < self.total:
            self._due = min(self._due, self.total)
        if now - self._sent[0] >= SEND_S or self._sent[1] is None or done == self.total:
            self._send(done, now)

    def _send(self, done: int, now: float) -> None:
        sent_at, sent_step = self._sent
        if sent_step is not None and now > sent_at and done > sent_step:
            self.rate = (done - sent_step) / (now - sent_at)
        self._sent = (now, done)
        if self._socket is not None:
            report = Datagram(rank=self._rank, step=done, total=self.total, rate=self.rate, unit=self._unit)
            # A member that is busy or gone is no reason to stop computing: the next second has the next report.
            with suppress(OSError):
                self._socket.send(json.dumps(vars(report)).encode())
        elif self._shows:
            end = "\n" if done == self.total else ""
            print(f"\r{self.line(done)}\x1b[K", end=end, file=self._terminal, flush=True)

    def line(self, done: int) -> str:
        """For people: step, total, rate, estimate."""
        of = f"/{self.total}" if self.total is not None else ""
        speed = f", {self.rate:.4g} {self._unit}/s" if self.rate else ""
        left = f", {_time(self.remaining)} left" if self.remaining is not None else ""
        return f"{self._unit} {done}{of}{speed}{left}"


def tell_stopped(rank: int, step: int, environ: Mapping[str, str]) -> None:
    """Tell the node that this rank obeys a `stop` and will exit with 213, so that the job's code is 213 too."""
    told = _connect(environ)
    if told is not None:
        with told, suppress(OSError):
            told.settimeout(10.0)  # it must arrive: the socket's short queue may be full of progress
            told.send(json.dumps(vars(Datagram(rank=rank, step=step, stopped=True))).encode())


def _connect(environ: Mapping[str, str]) -> socket.socket | None:
    path = environ.get(Variable.PROGRESS)
    if not path:
        return None
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    connected.setblocking(False)
    try:
        connected.connect(path)
    except OSError:
        connected.close()
        return None
    return connected


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
