"""The report of real runs: complete, self-contained, and drawn by a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tutti import Cluster, Job
from tutti.prices import Prices
from tutti.report.gather import gather, story

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
    assert told.steps[-1].step == told.steps[-1].total == 5
    assert told.compute_s == pytest.approx(0.5, abs=0.45)
    assert told.bill is not None
    assert 0 < (told.efficiency or 0) <= 1


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
    from dataclasses import replace

    from tutti.report.page import page
    from tutti.run import Run

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
