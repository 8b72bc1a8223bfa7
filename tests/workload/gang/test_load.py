"""What ranks take of a node, of real processes."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from workload.gang.load import EVERY_S, SOON_S, LoadMeter, cpu_ticks, resident_bytes

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
        found = meter.measure(pids, time.monotonic() + SOON_S)
        idle.kill()
    assert found is not None
    assert found["ranks"][0][0] > 0.02 > found["ranks"][1][0]
    assert found["memory"] > 64 << 20
    assert found["cores"] == pytest.approx(found["ranks"][0][0] + found["ranks"][1][0], abs=0.02)


def test_a_rank_that_has_gone_is_left_out(busy: subprocess.Popen[str]) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert cpu_ticks(gone.pid) is None
    assert resident_bytes(gone.pid) == 0
    meter = LoadMeter()
    meter.measure({0: busy.pid, 1: gone.pid}, 0.0)
    found = meter.measure({0: busy.pid, 1: gone.pid}, SOON_S)
    assert found is not None
    assert list(found["ranks"]) == [0]


def test_a_load_is_said_soon_after_the_start_and_then_every_ten_seconds(busy: subprocess.Popen[str]) -> None:
    meter, looks = LoadMeter(), [5.0 + look * SOON_S + jitter for look, jitter in enumerate([0, 0.1, -0.1] * 6)]
    said = [now for now in looks if meter.measure({0: busy.pid}, now)]
    assert said[0] == pytest.approx(looks[0] + SOON_S, abs=0.2)
    assert [b - a for a, b in itertools.pairwise(said)] == pytest.approx([EVERY_S] * (len(said) - 1), abs=0.3)
    assert len(said) == 4
