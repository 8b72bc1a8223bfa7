"""What ranks take of a node, of real processes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from workload.gang.load import LoadMeter, cpu_ticks, resident_bytes

BUSY = "import sys\nx = bytearray(64 << 20)\nprint(1, flush=True)\nwhile True: pass"


@pytest.fixture
def busy() -> Iterator[subprocess.Popen[str]]:
    """A process that keeps a core busy and 64 MiB."""
    child = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    child.stdout.readline()
    yield child
    child.kill()
    child.communicate()


def test_a_busy_rank_and_a_sleeping_one_are_told_apart(busy: subprocess.Popen[str]) -> None:
    with subprocess.Popen(["sleep", "60"]) as idle:
        meter, pids = LoadMeter(), {0: busy.pid, 1: idle.pid}
        assert meter.measure(pids, time.monotonic()) is None  # the first look knows no difference
        start = cpu_ticks(busy.pid) or 0
        while (cpu_ticks(busy.pid) or 0) < start + 20:
            time.sleep(0.01)
        found = meter.measure(pids, time.monotonic())
        idle.kill()
    assert found is not None
    assert found["ranks"][0][0] > 0.05 > found["ranks"][1][0]
    assert found["memory"] > 64 << 20
    assert found["cores"] == pytest.approx(found["ranks"][0][0] + found["ranks"][1][0], abs=0.02)


def test_a_rank_that_has_gone_is_left_out(busy: subprocess.Popen[str]) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert cpu_ticks(gone.pid) is None
    assert resident_bytes(gone.pid) == 0
    meter = LoadMeter()
    meter.measure({0: busy.pid, 1: gone.pid}, 0.0)
    found = meter.measure({0: busy.pid, 1: gone.pid}, 1.0)
    assert found is not None
    assert list(found["ranks"]) == [0]
