"""The main job at your desk, as `make demo` runs it: a 4-node MPI job through the Batch API of the twin, on a real
input; then the same job once more, with a node killed in mid-run.

Everything happens in a folder of its own that goes away at the end, as does every process, also after Ctrl-C.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tutti import Cluster
from tutti.cli.live import print_lines, state_line
from tutti.core.events import Happening, parse_event, phases
from tutti.run import Run, StateChange
from workload.contract import Event

HERE = Path(__file__).resolve().parent
INPUT = HERE / "digits.npy"
NODES = 4
VICTIM = 2
SECONDS = 6  # computing again and again, so that there is a mid-run to kill a node in
PROGRAM = (
    f"python -m mpi4py -m workload run matmul --input input/{INPUT.name} --output output/gram.npy --seconds {SECONDS}"
)


@dataclass(kw_only=True)
class Story:
    """What happened to one job: when it was killed, and every event of its log, by attempt."""

    killed_at: float = 0.0
    created_at: float = 0.0
    events: dict[int, list[Happening]] = field(default_factory=dict)

    def first(self, event: Event, attempt: int) -> float | None:
        return next((h.at for h in self.events.get(attempt, []) if h.event is event), None)


def main() -> int:
    """Run the demo; 0 where every result was right."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tutti-demo-") as home, twin(Path(home)) as cluster:
        put_input(cluster)
        title("A 4-node MPI job, from the input in S3 to the result in S3")
        calm = Story()
        calm_right = watch(submit(cluster, "calm"), calm, kill=False) and check(cluster, "calm")
        title(f"The same job, and node {VICTIM} is killed in mid-run")
        storm = Story()
        storm_right = watch(submit(cluster, "storm"), storm, kill=True) and check(cluster, "storm")
        print_table(calm, storm)
    print(f"\nAll of it took {time.monotonic() - began:.0f} s.")
    return 0 if calm_right and storm_right else 1


@contextlib.contextmanager
def twin(home: Path) -> Iterator[Cluster]:
    """A twin of our own, for as long as the demo runs."""
    os.environ["TUTTI_HOME"] = str(home)
    os.environ.pop("TUTTI_CLUSTER", None)
    try:
        tutti("twin", "up")
        yield Cluster.current(os.environ)
    finally:
        # The terminal has sent Ctrl-C to everybody; a second one must not stop the cleaning up.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        tutti("twin", "down")


def tutti(*words: str) -> None:
    """Run a command of `tutti` as a user would, and show it."""
    print(f"\n$ tutti {shlex.join(words)}", flush=True)
    subprocess.run([sys.executable, "-m", "tutti", *words], check=True)


def drill(run: Run) -> float:
    """Kill the victim; when that was (Unix seconds)."""
    words = ["drill", "kill", run.id, "--node", str(VICTIM)]
    print(f"\n$ tutti {shlex.join(words)}", flush=True)
    command = [sys.executable, "-m", "tutti", *words, "--json"]
    done = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    print(f"node {VICTIM} was killed\n", flush=True)
    return float(done["at"])


def put_input(cluster: Cluster) -> None:
    """The digits into the cluster's bucket."""
    card = cluster.card
    cluster.s3.upload_file(str(INPUT), card.bucket, f"{card.prefix}demo/{INPUT.name}")
    print(
        f"\n{INPUT.name} (1,797 handwritten digits, {INPUT.stat().st_size:,} bytes) is in s3://{card.bucket}/{card.prefix}demo/"
    )


def submit(cluster: Cluster, name: str) -> Run:
    """Submit the job, as a user would."""
    here = f"s3://{cluster.card.bucket}/{cluster.card.prefix}demo"
    lines = (
        ("submit", "--name", name, "--nodes", str(NODES), "--ranks-per-node", "1", "--timeout", "10m", "--json"),
        ("--input", f"{here}/{INPUT.name}"),
        ("--output", f"{here}/{name}", "--"),
        tuple(PROGRAM.split()),
    )
    shown = " \\\n    ".join(shlex.join(line) for line in lines)
    print(f"\n$ tutti {shown}", flush=True)
    command = [sys.executable, "-m", "tutti", *(word for line in lines for word in line)]
    told = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    print(f"submitted {told['id']} ({name})\n", flush=True)
    return Run(told["id"], cluster)


def watch(run: Run, story: Story, *, kill: bool) -> bool:
    """Show the job until it ends, as `tutti submit --wait` does; kill a node once the ranks make progress."""
    code: int | None = None
    for item in run.follow():
        if isinstance(item, StateChange):
            story.created_at = item.job.created or story.created_at
            code = item.job.code if item.job.ended else None
            print(state_line(item), flush=True)
            continue
        print_lines([item], sys.stdout)
        happening = parse_event(item.line)
        if happening is None:
            continue
        story.events.setdefault(item.attempt, []).append(happening)
        if kill and not story.killed_at and happening.event is Event.PROGRESS:
            story.killed_at = drill(run)
    return code == 0


def check(cluster: Cluster, name: str) -> bool:
    """Bring the result back and hold it against NumPy's: whole numbers, so to the bit."""
    digits: NDArray[np.float32] = np.load(INPUT)
    with io.BytesIO() as copy:
        cluster.s3.download_fileobj(cluster.card.bucket, f"{cluster.card.prefix}demo/{name}/node-0/gram.npy", copy)
        copy.seek(0)
        gram = np.load(copy)
    right = bool(gram.dtype == digits.dtype and np.array_equal(gram, digits @ digits.T))
    verdict = "equals NumPy's A @ A.T to the bit" if right else "DIFFERS from NumPy's A @ A.T"
    print(f"\nresult: {gram.shape[0]} x {gram.shape[1]} {gram.dtype}, {verdict}", flush=True)
    return right


def print_table(calm: Story, storm: Story) -> None:
    """Seconds of each phase of both jobs, and how the lost node was dealt with."""
    last = max(storm.events, default=1)
    detected = storm.first(Event.LOST, 1)
    recovered = storm.first(Event.LAUNCHED, last) if last > 1 else None
    columns = {
        "calm": [*row(calm, 1), None, None],
        "storm, 1st": [*row(storm, 1), since(storm.killed_at, detected), None],
        "storm, 2nd": [*row(storm, last), None, since(storm.killed_at, recovered)],
    }
    title("Seconds")
    print(f"{'':12}" + "".join(f"{name:>12}" for name in columns))
    names = ("queued", "assembled", "preflight", "staged", "launched", "compute", "detected", "recovered")
    for position, name in enumerate(names):
        print(
            f"{name:12}"
            + "".join(f"{'-' if (v := column[position]) is None else f'{v:.2f}':>12}" for column in columns.values())
        )
    print("\ndetected: from the kill to the line that names the node; recovered: until all ranks run again")


def row(story: Story, attempt: int) -> list[float | None]:
    """queued, assembled, preflight, staged, launched, compute of one attempt."""
    took = phases(story.events.get(attempt, []))
    queued = since(story.created_at, story.first(Event.STARTED, attempt)) if attempt == 1 else None
    return [
        queued,
        *(took.get(e) for e in (Event.ASSEMBLED, Event.PREFLIGHT, Event.STAGED, Event.LAUNCHED, Event.COMPUTED)),
    ]


def since(start: float, end: float | None) -> float | None:
    return end - start if start and end else None


def title(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
