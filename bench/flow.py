"""The flow beside lbmpy and the memory's bandwidth: make bench-flow.

A lid-driven cavity of 160^3 cells on both cores, float64 and float32: ours with 2 ranks, lbmpy 2.0 with 2 threads,
STREAM's triad with 2 threads; five rounds of all of them in turn, medians. lbmpy is AGPL and needs a C++ compiler: it
gets an environment of its own in .cache/lbmpy, and nothing imports it. The limit is that of one step at a time, in
place: every value read and written once, 304 bytes a cell in float64. Two steps at a time may pass it.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PEERS = Path(__file__).with_name("flow_peers")
LBMPY = ROOT / ".cache" / "lbmpy"
LBMPY_RELEASE = "lbmpy==2.0"
CELLS = 160
ROUNDS = 5
STEPS = {"float64": 30, "float32": 60}
LBMPY_STEPS = {"float64": 15, "float32": 20}
CORES = 2
DTYPES = ("float64", "float32")


def say(text: str) -> None:
    print(text, flush=True)


class Lbmpy:
    """lbmpy's process for one dtype: compiled once, measured in turns."""

    def __init__(self, dtype: str) -> None:
        self._steps = LBMPY_STEPS[dtype]
        python = LBMPY / "bin" / "python"
        if not python.exists():
            say(f"installing {LBMPY_RELEASE} into {LBMPY.relative_to(ROOT)}")
            subprocess.run([sys.executable, "-m", "venv", LBMPY], check=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", LBMPY_RELEASE], check=True)
        environ = {**os.environ, "OMP_NUM_THREADS": str(CORES)}
        environ.pop("PYTHONPATH", None)
        self._process = subprocess.Popen(
            [python, PEERS / "lbmpy_peer.py", str(CELLS), dtype, str(CORES)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environ,
        )
        if self._answer() != "ready":
            raise RuntimeError(f"lbmpy did not start for {dtype}: see above")

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def mlups(self) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{self._steps}\n")
        self._process.stdin.flush()
        return float(self._answer())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)


def ours(ranks: int, grid: str, dtypes: Sequence[str], steps: int) -> dict[str, Any]:
    """One start of our program; what it says."""
    mpiexec = Path(sys.executable).with_name("mpiexec")
    program = [sys.executable, "-m", "mpi4py", str(PEERS / "ours.py"), grid, str(steps), *dtypes]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(mpiexec), "-n", str(ranks), *program], check=True, capture_output=True, text=True, env=environ
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def stream(program: Path, threads: int) -> float:
    return float(subprocess.run([program, str(threads)], check=True, capture_output=True, text=True).stdout)


def first_step(folder: Path) -> float:
    """Seconds from a program's MPI start to its first step, with compiled code at hand, as `run flow` says."""
    mpiexec = Path(sys.executable).with_name("mpiexec")
    flow = [sys.executable, "-m", "mpi4py", "-m", "workload", "run", "flow", "--grid", "64x64x64", "--steps", "2"]
    subprocess.run([mpiexec, "-n", str(CORES), *flow, "--output", folder], check=True, cwd=ROOT, capture_output=True)
    return float(json.loads((folder / "summary.json").read_text())["first_step_seconds"])


def peers() -> dict[str, Lbmpy]:
    """A peer for each dtype; none where lbmpy cannot be had, and why is said."""
    if shutil.which("c++") is None and shutil.which("g++") is None:
        say("no C++ compiler (lbmpy needs one): its numbers are left out")
        return {}
    try:
        return {dtype: Lbmpy(dtype) for dtype in DTYPES}
    except (subprocess.CalledProcessError, RuntimeError) as error:
        say(f"lbmpy cannot be had: {error}: its numbers are left out")
        return {}


def main() -> None:
    began = time.monotonic()
    cube, half = f"{CELLS}x{CELLS}x{CELLS}", f"{CELLS}x{CELLS}x{CELLS // CORES}"
    with TemporaryDirectory() as folder:
        triad = Path(folder) / "stream"
        flags = ("-O3", "-march=native", "-pthread", "-o", str(triad))
        subprocess.run([sys.executable, "-m", "ziglang", "cc", *flags, str(PEERS / "stream.c")], check=True)
        lbmpy = peers()
        for dtype in DTYPES:
            ours(1, "16x16x16", [dtype], 2)  # compiles, the first time
        rows: list[dict[str, float]] = []
        for number in range(ROUNDS):
            row = {"stream_1": stream(triad, 1), "stream_2": stream(triad, CORES)}
            for dtype in DTYPES:
                two, one = ours(CORES, cube, [dtype], STEPS[dtype]), ours(1, half, [dtype], STEPS[dtype])
                row[f"ours_{dtype}"], row[f"one_{dtype}"] = two[dtype]["mlups"], one[dtype]["mlups"]
                row |= {f"{key}_{dtype}": value for key, value in two[dtype].items()}
                if dtype in lbmpy:
                    row[f"lbmpy_{dtype}"] = lbmpy[dtype].mlups()
            rows.append(row)
            shown = {key: round(value, 1) for key, value in row.items() if key.startswith(("ours", "lbmpy", "stream"))}
            say(f"round {number + 1}/{ROUNDS}: {shown}")
        for peer in lbmpy.values():
            peer.close()
        start = median(first_step(Path(folder) / str(k)) for k in range(3))
    say(f"{time.monotonic() - began:.0f} s")
    print(json.dumps(summary(rows, start)))


def summary(rows: Sequence[dict[str, float]], first_step_s: float) -> dict[str, float | None]:
    """Medians, and what follows from them."""
    middle = {key: median(row[key] for row in rows) for key in rows[0]}

    def ratio(key: str) -> float | None:
        return round(middle[f"ours_{key}"] / middle[f"lbmpy_{key}"], 3) if f"lbmpy_{key}" in middle else None

    gain, stream_gain = middle["ours_float64"] / middle["one_float64"], middle["stream_2"] / middle["stream_1"]
    return {
        "mlups_f64": round(middle["ours_float64"], 1),
        "mlups_f32": round(middle["ours_float32"], 1),
        "lbmpy_f64": round(middle["lbmpy_float64"], 1) if "lbmpy_float64" in middle else None,
        "lbmpy_f32": round(middle["lbmpy_float32"], 1) if "lbmpy_float32" in middle else None,
        "speedup_f64": ratio("float64"),
        "speedup_f32": ratio("float32"),
        "stream_gbs": round(middle["stream_2"], 1),
        "roofline_fraction": round(middle["ours_float64"] * 304e-3 / middle["stream_2"], 3),
        "memory_over_19_values_f64": round(middle["values_per_cell_float64"] / 19, 4),
        "memory_over_19_values_f32": round(middle["values_per_cell_float32"] / 19, 4),
        "weak_gain": round(gain, 3),
        "stream_gain": round(stream_gain, 3),
        "weak_over_stream": round(gain / stream_gain, 3),
        "halo_ms_per_step": round(middle["halo_ms_per_step_float64"], 3),
        "halo_share": round(middle["halo_share_float64"], 4),
        "first_step_s": round(first_step_s, 2),
    }


if __name__ == "__main__":
    main()
