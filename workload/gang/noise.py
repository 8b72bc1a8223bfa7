"""What mpiexec and its daemons say: news while they start, noise when main is ending them."""

from __future__ import annotations

from typing import Final

from workload.gang.log import Log
from workload.gang.loop import Loop

HOLD_S: Final = 1.0  # a lost node is known by then, and their complaint about it no news


class Noise:
    """Lines that go to the log under `name`: at once, after `hold()` a second later, after `drop()` never."""

    def __init__(self, loop: Loop, log: Log, name: str) -> None:
        self._loop = loop
        self._log = log
        self._name = f"{name}: ".encode()
        self._holding = False
        self._dropped = False
        self._held: list[bytes] = []

    def line(self, text: bytes) -> None:
        if self._dropped:
            return
        if not self._holding:
            self._write(text)
            return
        if not self._held:
            self._loop.after(HOLD_S, self.flush)
        self._held.append(text)

    def hold(self) -> None:
        """The ranks run: from now on what is said may be about an end that main will tell better."""
        self._holding = True

    def drop(self) -> None:
        """Main ends them: leave out what was not written yet, and all that follows."""
        if self._held and not self._dropped:
            self._log.says(f"{self._name.decode()}its own words on this end are left out")
        self._held.clear()
        self._dropped = True

    def flush(self) -> None:
        """Write what is held back."""
        for text in self._held:
            self._write(text)
        self._held.clear()

    def _write(self, text: bytes) -> None:
        self._log.line(None, self._name + text)
