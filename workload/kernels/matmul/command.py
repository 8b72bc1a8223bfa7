"""The Gram matrix A Aᵀ of a matrix in a file, or of a random one.

    mpiexec -n 4 python -m mpi4py -m workload run matmul --input a.npy --output gram.npy
    mpiexec -n 4 python -m mpi4py -m workload run matmul --intensity medium

Each rank reads its rows alone. Paths may be `shared:PATH`.
"""

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
from mpi4py import MPI

from workload.kernels._arguments import count, data_path, duration, parse_on_all, seed
from workload.kernels._random import block_generator
from workload.kernels.matmul.check import Entry, check_sample
from workload.kernels.matmul.gram import Matrix, Span, flops, gram, rows_of
from workload.kernels.matmul.npy import open_matrix, together, write_rows
from workload.progress import Progress

INTENSITIES: Final = {"low": 512, "medium": 2048, "high": 8192}
"""Rows and columns of a random matrix."""
SEEDED_ROWS: Final = 64
"""Rows of a random matrix that share a generator: so it is the same matrix for any number of ranks."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What one run found; seconds are the slowest rank's."""

    source: str  # a file, or the seed
    rows: int
    columns: int
    dtype: str
    ranks: int
    products: int  # so often it was computed; the speed is the median's
    sum: float
    gflop_per_s: float
    compute_s: float
    read_s: float
    write_s: float
    checked: int
    worst: float  # of the checked entries: difference as a part of what rounding allows


def random_rows(seed: int, span: Span, shape: tuple[int, int], dtype: "np.dtype[Any]") -> Matrix:
    """Rows `span` of a standard normal matrix of that shape: the same numbers whoever makes them."""
    rows, columns = shape
    block = np.empty((len(span), columns), dtype=dtype)
    for group in range(span.start // SEEDED_ROWS, math.ceil(span.stop / SEEDED_ROWS)):
        first = group * SEEDED_ROWS
        numbers = block_generator(seed, group).standard_normal((min(SEEDED_ROWS, rows - first), columns), dtype=dtype)
        start, stop = max(first, span.start), min(first + SEEDED_ROWS, span.stop)
        block[start - span.start : stop - span.start] = numbers[start - first : stop - first]
    return block


def read_rows(path: Path, comm: MPI.Comm) -> tuple[Matrix, int]:
    """Read this rank's rows of the matrix in `path`, in native byte order; returns them and the number of all rows.

    Collective over `comm`.

    Raises
    ------
    RuntimeError
        On every rank, if one cannot read it, or if ranks see different files under that name.
    """
    mapped: list[Matrix] = []
    together(lambda: mapped.append(open_matrix(path)), comm)
    (matrix,) = mapped
    seen = comm.allgather((matrix.shape, matrix.dtype.str))
    if len(set(seen)) > 1:
        raise RuntimeError(
            f"{path} is not the same for all ranks: {sorted({f'{shape} {kind}' for shape, kind in seen})}"
        )
    span = rows_of(comm.rank, comm.size, matrix.shape[0])
    native = matrix.dtype.newbyteorder("=")
    return np.ascontiguousarray(matrix[span.start : span.stop], dtype=native), int(matrix.shape[0])


def find_matrix(text: str, comm: MPI.Comm) -> Path | None:
    """The file that `--input` names: itself, or the one `.npy` file of a folder; None where that has none.

    Collective over `comm`: rank 0 looks.

    Raises
    ------
    RuntimeError
        A folder with several.
    """
    path = data_path(text, os.environ)
    names: list[str] | None = sorted(one.name for one in path.glob("*.npy")) if path.is_dir() else None
    names = comm.bcast(names)
    if names is None:
        return path
    if len(names) > 1:
        raise RuntimeError(f"{path}: {len(names)} .npy files are there ({', '.join(names[:5])} ...): name one of them")
    return path / names[0] if names else None


def find_output(text: str) -> Path:
    """Where `--output` is to be: in a folder, which ends in a slash or exists, as gram.npy."""
    path = data_path(text, os.environ)
    return path / "gram.npy" if text.endswith("/") or path.is_dir() else path


def worst_of(entries: Sequence[Entry]) -> float:
    """The largest difference as a part of what rounding allows.

    Raises
    ------
    ValueError
        If it is more than all of it: G is wrong.
    """
    for entry in entries:
        if not entry.is_right:
            raise ValueError(
                f"wrong result: G[{entry.row}, {entry.column}] is {entry.got!r}, the direct dot product "
                f"{entry.direct!r}; rounding allows a difference of {entry.bound:.3g}"
            )
    return max((abs(one.got - one.direct) / one.bound for one in entries if 0 < one.bound < math.inf), default=0.0)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="matmul", description="The Gram matrix A Aᵀ, rows spread over all ranks.")
    parser.add_argument(
        "--input",
        metavar="PATH",
        help="A as .npy: 2 dimensions, float32 or float64. In a folder: its .npy file, if it has one",
    )
    sizes = ", ".join(f"{name} {size} x {size}" for name, size in INTENSITIES.items())
    parser.add_argument("--intensity", choices=INTENSITIES, default="low", help=f"else A is random: {sizes} (low)")
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="of a random A, and of the check (0)")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float64", help="of a random A (float64)")
    parser.add_argument("--output", metavar="FILE", help="write A Aᵀ as .npy, all ranks at once; in a folder: gram.npy")
    parser.add_argument("--samples", type=count, default=64, metavar="N", help="entries to check (64)")
    parser.add_argument("--repeat", type=count, default=1, metavar="N", help="compute so often, report the median")
    parser.add_argument(
        "--seconds", type=duration, default=0.0, metavar="S", help="compute again until so much time went into it (0)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the report as JSON; - is standard output")
    return parser


def _timed(start: float, comm: MPI.Comm) -> float:
    return float(comm.allreduce(time.perf_counter() - start, op=MPI.MAX))


def run(arguments: argparse.Namespace, comm: MPI.Comm) -> Report:
    """Read or make A, compute, check, write. Collective over `comm`; the report is whole on rank 0.

    Raises
    ------
    RuntimeError
        A file that cannot be read or written, or a wrong result.
    """
    start = time.perf_counter()
    source = find_matrix(arguments.input, comm) if arguments.input else None
    if source is not None:
        block, rows = read_rows(source, comm)
    else:
        rows = INTENSITIES[arguments.intensity]
        span = rows_of(comm.rank, comm.size, rows)
        block = random_rows(arguments.seed, span, (rows, rows), np.dtype(arguments.dtype))
    read_s = _timed(start, comm)
    seconds: list[float] = []
    progress = Progress(None if arguments.seconds else arguments.repeat, rank=comm.rank, unit="products")
    # Every rank has the same times (the slowest rank's), so all of them end after the same product.
    while len(seconds) < arguments.repeat or math.fsum(seconds) < arguments.seconds:
        comm.Barrier()
        start = time.perf_counter()
        result = gram(block, rows, comm)
        seconds.append(_timed(start, comm))
        progress.step(len(seconds))
    entries = check_sample(block, result, rows, comm, samples=arguments.samples, seed=arguments.seed)
    worst: list[float] = []
    together(lambda: worst.append(worst_of(entries)), comm)  # before anything is written
    start = time.perf_counter()
    if arguments.output:
        write_rows(find_output(arguments.output), result, rows_of(comm.rank, comm.size, rows), rows, comm)
    write_s = _timed(start, comm)
    total = math.fsum(comm.allgather(float(result.sum(dtype=np.float64))))
    compute_s = median(seconds)
    return Report(
        source=str(source or f"random, seed {arguments.seed}"),
        rows=rows,
        columns=block.shape[1],
        dtype=str(block.dtype),
        ranks=comm.size,
        products=len(seconds),
        sum=total,
        gflop_per_s=flops(rows, block.shape[1]) / compute_s / 1e9,
        compute_s=compute_s,
        read_s=read_s,
        write_s=write_s,
        checked=len(entries),
        worst=worst[0],
    )


def main(argv: Sequence[str], comm: MPI.Comm) -> int:
    """Compute a Gram matrix as `argv` says. Collective over `comm`."""
    arguments = parse_on_all(build_parser(), argv, comm)
    report = run(arguments, comm)
    if comm.rank != 0:
        return 0
    print(
        f"matmul: A is {report.rows} x {report.columns} {report.dtype} ({report.source}), {report.ranks} ranks\n"
        f"  sum of A A^T    {report.sum!r}\n"
        f"  compute         {report.compute_s:.3f} s, {report.gflop_per_s:.2f} GFLOP/s\n"
        f"  read, write     {report.read_s:.3f} s, {report.write_s:.3f} s\n"
        f"  checked         {report.checked} entries; the worst is off by {report.worst:.1%} of what rounding allows",
        flush=True,
    )
    if arguments.json:
        document = json.dumps(asdict(report)) + "\n"
        if arguments.json == "-":
            sys.stdout.write(document)
        else:
            data_path(arguments.json, os.environ).write_text(document, encoding="utf-8")
    return 0
