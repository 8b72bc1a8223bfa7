"""`tutti twin` and `tutti drill` as a user types them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

Desk = Any


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    tutti(tmp_path, "twin", "down")


def tutti(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tutti", *words],
        env={**os.environ, "TUTTI_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_up_status_env_and_down_say_what_they_do(home: Path) -> None:
    assert tutti(home, "twin", "status").returncode == 3
    assert "Start one: tutti twin up" in tutti(home, "twin", "env").stderr
    up = tutti(home, "twin", "up", "--isolation", "process", "--pools", "2")
    assert up.returncode == 0, up.stderr
    assert "the twin answers at http://127.0.0.1:" in up.stdout
    assert "twin-mpi2-low" in up.stdout
    assert "runs already" in tutti(home, "twin", "up").stdout
    shown = json.loads(tutti(home, "twin", "status", "--json").stdout)
    words = tutti(home, "twin", "status").stdout
    assert shown["isolation"] == "process"
    assert ("nothing: no control group" in words) == (shown["contained"] == "none")
    script = (
        tutti(home, "twin", "env").stdout
        + "\nexec "
        + sys.executable
        + ' -c \'import boto3; print(boto3.client("batch").describe_job_queues()["jobQueues"][0]["jobQueueName"])\''
    )
    assert subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout == "twin-mpi-high\n"
    assert "has no capacity now" in tutti(home, "twin", "shortage", "twin-mpi-high", "on").stdout
    assert json.loads(tutti(home, "twin", "status", "--json").stdout)["shortages"] == ["twin-mpi"]
    assert tutti(home, "twin", "down").stdout == "the twin is down\n"
    assert tutti(home, "twin", "down").stdout == "no twin runs here\n"


def test_a_drill_answers_in_words_or_with_its_time(desk: Desk) -> None:
    job = desk.gang("echo up; sleep 1000", nodes=2)
    desk.until_log(f"{job}#1", "up")
    answer = json.loads(tutti(desk.home.root, "drill", "kill", job, "--node", "1", "--json").stdout)
    assert (answer["job"], answer["node"], answer["action"]) == (job, 1, "kill")
    refused = tutti(desk.home.root, "drill", "cut", job, "--node", "0")
    assert refused.returncode == 6
    assert "--isolation netns" in refused.stderr
    said = tutti(desk.home.root, "drill", "term", job, "--node", "0")
    assert said.stdout == f"node 0 of {job} got SIGTERM\n"
    desk.batch.terminate_job(jobId=job, reason="done")


def test_help_of_the_twin_is_quick_to_load() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "tutti", "twin", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not loaded & {"boto3", "botocore", "moto", "werkzeug", "tutti.twin.daemon"}
