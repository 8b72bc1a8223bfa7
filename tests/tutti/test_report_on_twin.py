"""The report of real runs: complete, self-contained, and drawn by a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tutti import Cluster, Job
from tutti.core.bill import Bill
from tutti.core.events import Happening, parse_event
from tutti.core.waits import origin
from tutti.logs import LogLine
from tutti.prices import Prices
from tutti.report.gather import gather, seconds_by_name, story
from tutti.run import Run
from workload.contract import EVENT_MARK, Event

Tutti = Callable[..., "subprocess.CompletedProcess[str]"]
PROGRAM = """
import json, os, socket, time
says = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
rank = int(os.environ["TUTTI_RANK"])
for step in range(1, 6):
    if rank == 0:
        fields = {"rank": 0, "step": step, "total": 5, "rate": 2.5, "unit": "steps"}
        says.sendto(json.dumps(fields).encode(), os.environ["TUTTI_PROGRESS"])
    time.sleep(0.1)
"""


@pytest.fixture(scope="module")
def ids(twin_home: Path) -> list[str]:
    """Runs of one program on 1 and 2 nodes."""
    cluster = Cluster.current({"TUTTI_HOME": str(twin_home)})
    runs = [Job(command=["python", "-c", PROGRAM], nodes=n, name=f"steps-{n}").submit(cluster) for n in (1, 2)]
    for run in runs:
        run.result()
    return [run.id for run in runs]


class Page(HTMLParser):
    """What a page refers to, and its headings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [v for k, v in attrs if k in {"src", "href", "xlink:href"} and v and not v.startswith("#")]


def test_a_story_has_phases_progress_cost_and_efficiency(cluster: Cluster, ids: list[str], twin_home: Path) -> None:
    [told] = gather(cluster, ids[1:], Prices(cluster, {"TUTTI_HOME": str(twin_home)}))
    names = [s.name for s in told.spans]
    assert names[0] == "queued"
    assert {"assembled", "launched", "computed"} <= set(names)
    assert all(s.end >= s.start for s in told.spans)
    assert sum(seconds_by_name(told.spans).values()) == pytest.approx(told.spans[-1].end - told.job.created, abs=0.1)
    assert told.steps[-1].step == told.steps[-1].total == 5
    assert told.compute_s == pytest.approx(0.5, abs=0.45)
    assert told.bill is not None
    assert 0 < (told.efficiency or 0) <= 1


def test_every_node_tells_of_its_instance_and_of_a_pull_that_took_no_time(cluster: Cluster) -> None:
    run = Job(command=["sleep", "600"], nodes=2, name="told").submit(cluster)
    deadline, told = time.monotonic() + 60, list[Happening]()
    while len(told) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
        told = [h for h in map(_event, run.logs()) if h and h.event is Event.HOST]
    run.cancel()
    created = run.details().created
    assert {h.node for h in told} == {0, 1}
    for happening in told:
        assert happening.fields["booted"] < created  # the desk was up before
        began, ended = origin(happening.fields).pull or (0.0, 0.0)
        assert created <= began == ended <= happening.at
    run.wait()


def test_a_boot_and_a_pull_count_as_paid_though_batch_bills_neither(cluster: Cluster, ids: list[str]) -> None:
    run = Run(ids[1], cluster)
    job, lines = run.details(), list(run.logs())
    started = job.attempts[0].started or 0.0
    bill = Bill(nodes=2, seconds=60.0, usd=None)
    events = {
        node: {
            "event": "host",
            "at": started,
            "booted": started - 90,
            "pull_began": _iso(started - 30),
            "pull_ended": _iso(started),
        }
        for node in range(2)
    }
    known = [line for line in lines if (h := _event(line)) is None or h.event is not Event.HOST]
    hosts = [lines[0]._replace(node=n, raw=f"[{n}] {EVENT_MARK}{json.dumps(event)}") for n, event in events.items()]
    plain = story(replace(job, created=started - 100), known, bill=bill)
    told = story(replace(job, created=started - 100), known + hosts, bill=bill)
    found = seconds_by_name(told.spans)
    assert (found["queued"], found["booted"], found["pulled"]) == pytest.approx((10, 60, 30), abs=0.01)
    assert "booted" not in seconds_by_name(plain.spans)
    assert told.efficiency == pytest.approx((plain.efficiency or 0) * 60 / 150)


def test_a_report_is_one_file_that_needs_nothing_else(tutti: Tutti, ids: list[str], tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    told = tutti("report", *ids, "-o", str(file))
    assert (told.returncode, told.stdout) == (0, f"{file}\n"), told.stderr
    text = file.read_text()
    page = Page(text)
    assert page.links == []
    assert "script" not in page.tags
    assert page.tags.count("svg") >= 1 + 2 * 2  # how they scale; phases and progress of each
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"|<!DOCTYPE[^>]*>|<(rdf|cc|dc)[^>]*>', "", text)
    assert "of the work is not shared" in text
    assert all(i in text for i in ids)


def test_a_name_cannot_break_the_page(ids: list[str], cluster: Cluster) -> None:
    from tutti.report.page import page

    job = replace(Run(ids[0], cluster).details(), name="<script>alert(1)</script>")
    text = page([story(job, [])], stack="x", now=0)
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_the_report_as_data(tutti: Tutti, ids: list[str]) -> None:
    [told] = json.loads(tutti("report", ids[0], "--json").stdout)
    assert told["job"]["id"] == ids[0]
    assert told["steps"]


def test_a_real_browser_draws_it(tutti: Tutti, ids: list[str], tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no Chromium here: .ci/run installs it as root, with apt-get")
        pytest.skip("no Chromium here: apt-get install chromium")
    file, picture = tmp_path / "report.html", tmp_path / "report.png"
    tutti("report", *ids, "-o", str(file))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1000,1600"]
    subprocess.run(
        [chromium, *flags, f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={picture}", file.as_uri()],
        check=True,
        capture_output=True,
        timeout=60,
    )
    head = picture.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", head[16:24]) == (1000, 1600)
    assert picture.stat().st_size > 30_000  # an empty page takes some 5 kB


RESUMES = """
import json, os, pathlib, socket, time
says = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
here = pathlib.Path(os.environ["TUTTI_SHARED"]) / "work" / os.environ["AWS_BATCH_JOB_ID"].partition("#")[0]
first = os.environ["AWS_BATCH_JOB_ATTEMPT"] == "1"
for step in range(1 if first else 3, 7):
    time.sleep(0.6 if first else 0)  # reports nearer than half a second to the last one are not passed on
    if os.environ["TUTTI_RANK"] == "0":
        fields = {"rank": 0, "step": step, "total": 6, "rate": 2.5, "unit": "steps"}
        says.sendto(json.dumps(fields).encode(), os.environ["TUTTI_PROGRESS"])
    if first and step == 5:
        here.mkdir(parents=True, exist_ok=True)
        time.sleep(1000)
"""


def test_a_drill_is_told_with_its_detection_recovery_and_lost_steps(
    tutti: Tutti, cluster: Cluster, twin_home: Path, tmp_path: Path
) -> None:
    """DESIGN 5: how long detection and recovery took, and how many steps were lost."""
    run = Job(command=["python", "-c", RESUMES], nodes=2, ranks_per_node=1, retries=1, name="drilled").submit(cluster)
    deadline = time.monotonic() + 60
    while not any(h and h.event is Event.PROGRESS and h.fields["step"] == 5 for h in map(_event, run.logs())):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert tutti("drill", "kill", run.id, "--node", "1").returncode == 0
    run.result()
    [told] = gather(cluster, [run.id], Prices(cluster, {"TUTTI_HOME": str(twin_home)}))
    [setback] = told.setbacks
    assert (setback.attempt, setback.node, setback.drill, setback.steps_lost) == (1, 1, "kill", 3.0)
    assert 0 <= (setback.detected_s or -1) < (setback.recovered_s or -1)
    [lost] = [s for s in told.spans if s.name == "lost"]
    assert (lost.attempt, lost.end) == (1, told.job.attempts[0].stopped)
    file = tmp_path / "report.html"
    assert tutti("report", run.id, "-o", str(file)).returncode == 0
    assert all(words in file.read_text() for words in ("detected after", "running again after", "(drill: kill)"))


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


def _event(line: LogLine) -> Happening | None:
    return parse_event(line.line)
