"""All that the ranks of a node wrote, in a file: uploaded with the results where the log left lines out."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

MOST_BYTES: Final = 1 << 30
NAME: Final = "ranks.log"


class FullLog:
    """The file grows beside the outputs, and moves among them only by `keep`. A full disk ends it, not the job."""

    def __init__(self, job_folder: Path) -> None:
        self._path = job_folder / NAME
        self._output = job_folder / "output"
        self._file = self._path.open("wb")
        self._bytes = 0
        self._whole = True

    def write(self, rank: int | None, line: bytes) -> None:
        """One line of a rank's."""
        if not self._whole:
            return
        self._bytes += len(line)
        try:
            self._file.write(b"[%s] %s\n" % (b"" if rank is None else b"%d" % rank, line))
            if self._bytes > MOST_BYTES:
                self._whole = False
                self._file.write(f"cut here: more than {MOST_BYTES >> 20} MiB\n".encode())
        except OSError:
            self._whole = False

    def keep(self) -> Path | None:
        """Put the file among the outputs; returns where, or None where that could not be done."""
        kept = self._output / NAME
        with contextlib.suppress(OSError):
            self._file.flush()
            self._output.mkdir(exist_ok=True)
            # A link: what a rank's child still writes is in it too.
            kept.hardlink_to(self._path)
            return kept
        return kept if kept.exists() else None

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        self._path.unlink(missing_ok=True)
