"""A node's log: the one place that writes to its stdout.

Every line carries its node, and a rank's its rank too (`contract.LOG_LINE`).
"""

from __future__ import annotations

import json
import os
import time
from typing import Any, Final

from workload.contract import EVENT_MARK, MAX_LINE_BYTES, SAYS, Event

LAST_WORDS_CHARACTERS: Final = 200  # they travel in a heartbeat


def trace() -> str:
    """The exception under way, as Python shows it."""
    import traceback  # noqa: PLC0415  where all is well nobody pays for it

    return traceback.format_exc()


class Log:
    """Lines of the node with `index`, written whole and at once to descriptor `fd`."""

    def __init__(self, index: int, fd: int = 1) -> None:
        self._index = index
        self._fd = fd
        self.last_words = ""  # the last line of a rank

    def says(self, text: str) -> None:
        """Write lines of the runtime's own."""
        for line in text.splitlines():
            self._write(f"[{self._index}] ".encode(), SAYS.encode() + line.encode("utf-8", "replace"))

    def event(self, event: Event, **fields: Any) -> None:
        """Write a line for machines."""
        told = {"event": event.value, "at": round(time.time(), 3), **fields}
        self._write(f"[{self._index}] ".encode(), f"{EVENT_MARK}{json.dumps(told, separators=(',', ':'))}".encode())

    def metric(self, line: str) -> None:
        """Write a metric: a line that is JSON from its first character, else CloudWatch does not see it."""
        self._write(b"", line.encode())

    def line(self, rank: int | None, text: bytes) -> None:
        """Write one line of a rank's, or (`rank` None) of an MPI's daemon."""
        tag = f"[{self._index}] " if rank is None else f"[{self._index}:{rank}] "
        self._write(tag.encode(), text)
        if rank is not None and text.strip():
            self.last_words = text[-LAST_WORDS_CHARACTERS:].decode("utf-8", "replace")

    def _write(self, tag: bytes, text: bytes) -> None:
        line = tag + text[:MAX_LINE_BYTES] + b"\n"
        while line:
            try:
                line = line[os.write(self._fd, line) :]
            except BlockingIOError:
                time.sleep(0.001)  # whoever gave us this descriptor made it non-blocking: a full pipe empties soon
            except OSError:
                return  # nobody reads this log any more: the job goes on without
