"""MPI's daemons on one node: started for mpiexec, which thinks that it calls ssh."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from typing import Final

from workload.gang import keepalive
from workload.gang.lines import LineReader
from workload.gang.log import Log
from workload.gang.loop import Loop
from workload.gang.noise import Noise

SSH_FAILED: Final = 255  # what ssh ends with where it could start nothing


class Daemons:
    """The daemons by main's number for each. `on_end` gets a number and its exit code; `noise` is what they say."""

    def __init__(self, loop: Loop, log: Log, address: str, *, on_end: Callable[[int, int], None]) -> None:
        self._loop = loop
        self._log = log
        self._address = address
        self._on_end = on_end
        self._pids: dict[int, int] = {}
        self.noise = Noise(loop, log, "mpi")

    def start(self, number: int, command: str, environment: Mapping[str, str]) -> None:
        """Run `command` as sshd would: by a shell; and attached to this process, whose end ends it."""
        reading, writing = os.pipe2(os.O_CLOEXEC)

        def ended(code: int) -> None:
            self._pids.pop(number, None)
            self._on_end(number, code)

        try:
            self._pids[number] = self._loop.spawn(
                ["/bin/sh", "-c", keepalive.guard(command, self._address)],
                env=environment,
                on_exit=ended,
                cwd="/",
                stdout=writing,
                stderr=subprocess.STDOUT,
            )
        except OSError as error:
            os.close(reading)
            self._log.says(f"cannot start MPI's daemon: {error}")
            ended(SSH_FAILED)
        else:
            LineReader(self._loop, reading, self.noise.line)
        finally:
            os.close(writing)

    def end(self, number: int) -> None:
        """Stop a daemon that mpiexec has given up."""
        if pid := self._pids.get(number):
            os.killpg(pid, signal.SIGTERM)
