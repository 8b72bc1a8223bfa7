"""`make demo` as a newcomer runs it: right results, the node named and the job retried; and nothing left, also after Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo" / "demo.py"


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The demo in a session of its own, as a terminal starts it, with its temporary folders below `tmp_path`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "TUTTI_"))}
    environ = {**kept, "HOME": str(tmp_path), "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, str(DEMO)], env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )  # fmt: skip
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def left_of(folder: Path) -> list[str]:
    """Processes that were started below `folder`: by their TUTTI_HOME or TMPDIR."""
    found = []
    for process in psutil.process_iter():
        try:
            environ = process.environ()
        except psutil.Error:
            continue
        if str(folder) in environ.get("TUTTI_HOME", "") + environ.get("TMPDIR", ""):
            found.append(f"{process.pid} {process.name()}")
    return found


def test_the_demo_shows_what_it_promises_and_leaves_nothing(demo: subprocess.Popen[str], tmp_path: Path) -> None:
    out, _ = demo.communicate(timeout=150)
    assert demo.returncode == 0, out
    assert out.count("equals NumPy's A @ A.T to the bit") == 2
    assert "node 2 (" in out
    assert "is lost" in out
    assert "SUCCEEDED (attempt 2)" in out
    table = {line.split()[0]: line.split()[1:] for line in out[out.index("Seconds\n") :].splitlines() if line.strip()}
    assert float(table["detected"][1]) < 1.0
    assert float(table["recovered"][2]) > 0.0
    assert left_of(tmp_path) == []
    assert not list(tmp_path.glob("tutti-demo-*"))


def test_ctrl_c_in_the_middle_leaves_nothing(demo: subprocess.Popen[str], tmp_path: Path) -> None:
    assert demo.stdout is not None
    for line in demo.stdout:
        if "launched:" in line:
            break
    os.killpg(demo.pid, signal.SIGINT)
    demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert left_of(tmp_path) == []
    assert not list(tmp_path.glob("tutti-demo-*"))
