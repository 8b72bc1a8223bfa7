"""SIGTERM as a flag that a program looks at between two steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, Self


class TermFlag:
    """Whether SIGTERM came since `install`. The handler only notes it: a save in the middle of a step is no state."""

    def __init__(self) -> None:
        self.received = False
        self._before: Any = None
        self._installed = False

    @classmethod
    def install(cls) -> Self:
        """Take SIGTERM over; in a thread that is not the main one, where Python cannot, the flag stays down."""
        flag = cls()
        if threading.current_thread() is threading.main_thread():
            flag._before = signal.signal(signal.SIGTERM, flag._note)
            flag._installed = True
        return flag

    def uninstall(self) -> None:
        """Give SIGTERM back to who had it."""
        if self._installed:
            signal.signal(signal.SIGTERM, self._before if self._before is not None else signal.SIG_DFL)
            self._installed = False

    def _note(self, _signal: int, _frame: FrameType | None) -> None:
        self.received = True
