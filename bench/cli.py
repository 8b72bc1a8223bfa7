"""How quick the desk is: help, lists of 1,000 and 10,000 jobs, logs of 64 nodes, sweeps. Against a twin of its own.

Prints a table and, as its last line, one JSON object. Times are wall seconds, medians of 5.
"""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tutti.cluster import Cluster
from tutti.listing import list_jobs
from tutti.logs import Stream, no_collector, read_all
from tutti.sweep import Sweeper
from tutti.sweepfile import Sweep

REPEATS = 5
NODES, LINES = 64, 1_000_000
WANTED = {
    "help_s": ("<=", 0.2),
    "status_1000_s": ("<=", 1.5),
    "status_1000_calls": ("<=", 12),
    "status_10000_s": ("<=", 4.0),
    "status_10000_calls": ("<=", 30),
    "sweep_per_s": (">=", 40.0),
    "logs_lines_per_s": (">=", 200_000.0),
    "logs_mb": ("<=", 300.0),
}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="tutti-bench-") as folder:
        home = Path(folder)
        os.environ["TUTTI_HOME"] = str(home)
        found: dict[str, float] = {"help_s": median(lambda: tutti("--help"))}
        tutti("twin", "up", "--isolation", "process", "--max-vcpus", "2")
        try:
            found |= sweep_and_list()
            tutti("twin", "down")
            multiply(home, 10_000)
            tutti("twin", "up", "--isolation", "process", "--max-vcpus", "2")
            found |= listed("status_10000")
            found |= logs()
        finally:
            tutti("twin", "down")
    for key, value in found.items():
        sign, limit = WANTED[key]
        good = value <= limit if sign == "<=" else value >= limit
        print(f"{key:<20}{value:>12,.3f}   wanted {sign} {limit:,}{'' if good else '   MISSED'}")
    print(json.dumps({key: round(value, 3) for key, value in found.items()}))


def tutti(*args: str) -> str:
    """Run the command line as a process, output and all."""
    command = [sys.executable, "-m", "tutti", *args]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def median(call: Callable[[], Any]) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def sweep_and_list() -> dict[str, float]:
    """1,000 points behind a job that holds the only node, so that nothing else runs; then they are listed."""
    tutti("submit", "--nodes", "1", "--name", "done", "--wait", "--", "true")
    blocker = tutti("submit", "--nodes", "1", "--name", "blocker", "--", "sleep", "3600").strip()
    tutti("wait", blocker, "--until", "running")
    sweep = Sweep(
        name="bench", job={"nodes": 1, "command": ["echo", "{n}"]}, points=tuple({"n": n} for n in range(998))
    )
    start = time.perf_counter()
    Sweeper(sweep, Cluster.current()).run()
    rate = len(sweep.points) / (time.perf_counter() - start)
    return {**listed("status_1000"), "sweep_per_s": rate}


def listed(key: str) -> dict[str, float]:
    """The time of `tutti status` as a process, and how many calls to AWS a list takes."""
    calls: list[str] = []
    cluster = Cluster.current()
    cluster.batch.meta.events.register("before-call", lambda model, **_: calls.append(model.name))
    count = len(list_jobs(cluster))
    expected = int(key.rpartition("_")[2])
    if count != expected:
        raise SystemExit(f"{count} jobs are listed, {expected} are there")
    return {f"{key}_s": median(lambda: tutti("status", "-n", "20")), f"{key}_calls": len(calls)}


def multiply(home: Path, count: int) -> None:
    """Copies of one finished job, straight into the twin's store: to run so many would take hours."""
    with sqlite3.connect(home / "twin" / "twin.db") as store:
        rows = store.execute("SELECT id, spec, document FROM job").fetchall()
        job_id, spec, document = next(row for row in rows if '"SUCCEEDED"' in row[2])
        store.execute("DELETE FROM job WHERE id != ?", (job_id,))
        for _ in range(count - 1):
            new = str(uuid.uuid4())
            store.execute("INSERT INTO job VALUES (?, ?, ?)", (new, spec, document.replace(job_id, new)))


def logs() -> dict[str, float]:
    """A million lines of 64 nodes, written through the API, read and merged in a process of its own."""
    cluster = Cluster.current()
    group, now = cluster.card.log_group, int(time.time() * 1000)
    each = LINES // NODES
    for node in range(NODES):
        cluster.logs.create_log_stream(logGroupName=group, logStreamName=f"bench/{node}")
        for start in range(0, each, 5_000):
            events: Any = [
                {"timestamp": now + i, "message": f"[{node}:{node}] step {i} of {each}: residual 1.234567e-08"}
                for i in range(start, min(each, start + 5_000))
            ]
            cluster.logs.put_log_events(logGroupName=group, logStreamName=f"bench/{node}", logEvents=events)
    told = [json.loads(_child()) for _ in range(3)]
    return {
        "logs_lines_per_s": statistics.median(t["lines"] / t["seconds"] for t in told),
        "logs_mb": max(t["mb"] for t in told),
    }


def _child() -> str:
    command = [sys.executable, __file__, "--read-logs"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def read_logs() -> None:
    """Read and merge; lines, seconds and the peak of memory as JSON."""
    cluster = Cluster.current()
    streams = [Stream(name=f"bench/{node}", node=node, attempt=1) for node in range(NODES)]
    start, count, last = time.perf_counter(), 0, 0
    with no_collector():  # as `tutti logs` does
        for line in read_all(cluster.logs, cluster.card.log_group, streams):
            count += 1
            if line.at_ms < last:
                raise SystemExit("the merge is out of order")
            last = line.at_ms
    seconds = time.perf_counter() - start
    mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"lines": count, "seconds": seconds, "mb": mb}))


if __name__ == "__main__":
    if "--read-logs" in sys.argv:
        read_logs()
    else:
        main()
