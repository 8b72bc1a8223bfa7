"""A node tells since when its instance is up and when its image was pulled, and waits for nobody to do so."""

from __future__ import annotations

import json
import os
import queue
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from workload import ecs
from workload.contract import EVENT_MARK
from workload.gang import origin
from workload.gang.log import Log


def test_the_boot_time_is_the_kernel_s_own() -> None:
    [btime] = [line.split()[1] for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime")]
    assert origin.origin({})["booted"] == pytest.approx(float(btime), abs=2)


def test_without_an_agent_the_boot_alone_is_told() -> None:
    assert set(origin.origin({})) == {"booted"}
    assert set(origin.origin({ecs.METADATA_URI: "http://127.0.0.1:1/v4/x"})) == {"booted"}


def test_where_the_kernel_hides_it_nothing_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for text in (None, "", "up for long"):
        monkeypatch.setattr(origin, "UPTIME", tmp_path / f"uptime-{text}")
        if text is not None:
            origin.UPTIME.write_text(text)
        assert origin.origin({}) == {}


def test_an_agent_that_is_slow_holds_nobody_up() -> None:
    """It answers only when the node has gone on: were it waited for, this test would not come to an end."""
    out, into = os.pipe()
    calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    with socket.create_server(("127.0.0.1", 0)) as server:
        uri = f"http://127.0.0.1:{server.getsockname()[1]}/v4/x"
        origin.tell(calls.put, Log(3, into), {ecs.METADATA_URI: uri})
        asked, _ = server.accept()
        with asked:
            assert asked.recv(4096).startswith(b"GET /v4/x/task HTTP/1.0\r\n")
            task = {"PullStartedAt": "2026-01-01T00:00:00Z", "PullStoppedAt": "2026-01-01T00:00:02.5Z"}
            asked.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + json.dumps(task).encode())
    calls.get(timeout=60)()
    with os.fdopen(out) as reader:
        line = reader.readline()
    os.close(into)
    tag, told = line.split(EVENT_MARK)
    fields = json.loads(told)
    assert (tag, fields["event"]) == ("[3] ", "host")
    assert (fields["pull_began"], fields["pull_ended"]) == (task["PullStartedAt"], task["PullStoppedAt"])
    assert fields["booted"] < time.time()
