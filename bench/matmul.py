"""The Gram matrix on 2 ranks beside `A @ A.T` in one NumPy process with 2 threads: same shape, flops as done.

Both use the symmetry (NumPy calls SYRK), so both do rows x (rows + 1) x columns floating-point operations. Ours ends
when every rank has all of its rows, transposed halves exchanged. Each run is a process of its own, the two in turn;
of the products in a run the median counts, of the runs the median too. Wanted: `fraction` >= 0.9.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
RANKS = THREADS = 2
RUNS = 5
REPEAT = 3
NUMPY = """
import json, statistics, sys, time
import numpy as np
a = np.load(sys.argv[1])
seconds = []
for _ in range(int(sys.argv[2])):
    start = time.perf_counter()
    a @ a.T
    seconds.append(time.perf_counter() - start)
print(json.dumps({"gflop_per_s": a.shape[0] * (a.shape[0] + 1) * a.shape[1] / statistics.median(seconds) / 1e9}))
"""


def rate(command: list[str], threads: int) -> float:
    """GFLOP/s that `command` reports in its last line, with so many threads in each process."""
    limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    run = subprocess.run(
        command, env={**os.environ, **limits}, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, timeout=300
    )
    return float(json.loads(run.stdout.splitlines()[-1])["gflop_per_s"])


def measure(shape: tuple[int, int], dtype: str, folder: Path) -> dict[str, float]:
    """Medians over interleaved runs."""
    path = folder / f"{dtype}.npy"
    np.save(path, np.random.default_rng(0).standard_normal(shape).astype(dtype))
    bin_ = Path(sys.executable).parent
    ours = [str(bin_ / "mpiexec"), "-n", str(RANKS), sys.executable, "-m", "mpi4py", "-m", "workload", "run", "matmul"]
    ours += ["--input", str(path), "--repeat", str(REPEAT), "--json", "-"]
    numpy = [sys.executable, "-c", NUMPY, str(path), str(REPEAT)]
    rates: dict[str, list[float]] = {"ours": [], "numpy": []}
    for _ in range(RUNS):
        rates["ours"].append(rate(ours, 1))
        rates["numpy"].append(rate(numpy, THREADS))
    ours_rate, numpy_rate = statistics.median(rates["ours"]), statistics.median(rates["numpy"])
    return {"ours": ours_rate, "numpy": numpy_rate, "fraction": ours_rate / numpy_rate}


def main() -> None:
    parser = argparse.ArgumentParser(description="The Gram matrix on 2 ranks beside NumPy with 2 threads.")
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--columns", type=int, default=4000)
    arguments = parser.parse_args()
    shape = (arguments.rows, arguments.columns)
    results = {}
    print(f"A A^T of {shape[0]} x {shape[1]}, {RANKS} ranks beside one process with {THREADS} threads, GFLOP/s")
    print(f"{'':10} {'ours':>8} {'NumPy':>8} {'fraction':>9}")
    with tempfile.TemporaryDirectory() as folder:
        for dtype in ("float32", "float64"):
            results[dtype] = found = measure(shape, dtype, Path(folder))
            print(f"{dtype:10} {found['ours']:8.1f} {found['numpy']:8.1f} {found['fraction']:9.3f}", flush=True)
    double, single = results["float64"], results["float32"]
    print(
        json.dumps(
            {
                "fraction": round(double["fraction"], 3),
                "gflop_per_s": round(double["ours"], 1),
                "numpy_gflop_per_s": round(double["numpy"], 1),
                "fraction_float32": round(single["fraction"], 3),
                "rows": shape[0],
                "columns": shape[1],
            }
        )
    )


if __name__ == "__main__":
    main()
