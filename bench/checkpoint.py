"""What a checkpoint of 1 GiB costs, against a plain write+fsync and read of the same bytes on the same disk.

    make bench-checkpoint        or: python bench/checkpoint.py [--gib 1] [--ranks 2] [--rounds 5] [--folder PLACE]

All in one run, interleaved, by the same ranks: each round writes plain files, saves a checkpoint and writes with
tensorstore, and reads all of it back, in this order and the other way round in turn. Every read is cold: the pages are
dropped (POSIX_FADV_DONTNEED), and that none is left is checked (mincore). Figures are medians. The last line is JSON;
save_fraction and restore_fraction are speeds as a share of the plain ones. It exits with 1 where one of them is below
0.8.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import mmap
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

AT_LEAST: Final = 0.8  # issue "Flow": save and restore against plain
COLUMNS: Final = 1 << 17  # a row of float64 is 1 MiB
PLAIN_BYTES: Final = 8 << 20  # a write call's: large enough that its size does not matter
TENSORSTORE_ROWS: Final = 64  # a chunk of 64 MiB, as our pieces
CALLS: Final = 1_000_000


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--gib", type=float, default=1.0)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path(".cache/bench-checkpoint"), help="on the disk to measure")
    parser.add_argument("--rank", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    given = parsed()
    if given.rank:
        return run_rank(given)
    mpiexec = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
    if mpiexec is None:
        sys.exit("no mpiexec: `make setup` installs the mpich wheel")
    given.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        options = ["--gib", str(given.gib), "--rounds", str(given.rounds), "--folder", folder, "--rank"]
        program = [sys.executable, "-m", "mpi4py", __file__, *options]
        return subprocess.run([mpiexec, "-n", str(given.ranks), *program], check=False).returncode


def run_rank(given: argparse.Namespace) -> int:
    """One rank's part; rank 0 prints. The imports are here: the parent must not start MPI."""
    import numpy as np
    from mpi4py import MPI

    from workload.checkpoint import Block, Checkpoints

    comm = MPI.COMM_WORLD
    rows = int(given.gib * 1024) // comm.size
    data = np.random.default_rng(comm.rank).random((rows, COLUMNS))
    back = np.zeros_like(data)
    whole = (rows * comm.size, COLUMNS)
    block = {"u": Block(data=data, shape=whole, offset=(rows * comm.rank, 0))}
    into = {"u": Block(data=back, shape=whole, offset=(rows * comm.rank, 0))}
    plain, place, library = (given.folder / name for name in (f"plain-{comm.rank}", "ours", f"library-{comm.rank}"))
    library_write, library_read = tensorstore_pair(library, data, back)
    seconds: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], object]) -> None:
        """All ranks start together, with no write left over from before; the slowest one's time counts."""
        if comm.rank == 0:
            os.sync()
        comm.Barrier()
        began = time.perf_counter()
        work()
        seconds.setdefault(name, []).append(comm.allreduce(time.perf_counter() - began, MPI.MAX))

    def timed_cold(name: str, path: Path, work: Callable[[], object]) -> None:
        back[:] = 0
        files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
        for one in files[comm.rank :: comm.size] if path == place else files:
            make_cold(one)
        timed(name, work)
        assert np.array_equal(data, back), "what was read is not what was written"

    def write_plain() -> None:
        old = plain.with_suffix(".old")  # as a checkpoint: the one before goes when the new one is whole
        if plain.exists():
            plain.rename(old)
        timed("plain write", lambda: plain_write(plain, data.data.cast("B")))
        old.unlink(missing_ok=True)

    def save(step: int) -> None:
        timed("save", lambda: checkpoints.save(step, block))
        while len(list(place.glob("step-*"))) > 1:  # the one before goes in the background: not while others write
            time.sleep(0.01)
        comm.Barrier()

    # The first round is not counted: memory that nobody has used yet is slow in a virtual machine.
    with Checkpoints.open(str(place), comm, every="1h", keep=1, say=lambda _: None) as checkpoints:
        for number in range(given.rounds + 1):
            turn = 1 if number % 2 else -1
            for write in (
                write_plain,
                partial(save, number),
                lambda: timed("tensorstore write", library_write),
            )[::turn]:
                write()
            for name, path, read in (
                ("plain read", plain, lambda: plain_read(plain, back.data.cast("B"))),
                ("restore", place, lambda: checkpoints.restore(into)),
                ("tensorstore read", library, library_read),
            )[::turn]:
                timed_cold(name, path, read)
            if not number:
                seconds.clear()
        after_ns = per_call(lambda step: checkpoints.after(step, block), given.rounds + 1)
    if comm.rank:
        return 0
    return report(seconds, rows * comm.size * COLUMNS * 8, comm.size, {"after_ns": after_ns})


def report(seconds: dict[str, list[float]], size: int, ranks: int, calls: dict[str, float]) -> int:
    from workload.interval import FailureRate, automatic

    middle = {name: statistics.median(values) for name, values in seconds.items()}
    for name, value in middle.items():
        spread = f"{min(seconds[name]):.3f} to {max(seconds[name]):.3f} s"
        print(f"{name:18} {value:7.3f} s  {size / value / 1e9:6.2f} GB/s  ({spread})")
    result: dict[str, Any] = {
        "gib": size / (1 << 30),
        "ranks": ranks,
        "save_fraction": round(middle["plain write"] / middle["save"], 3),
        "restore_fraction": round(middle["plain read"] / middle["restore"], 3),
        "tensorstore_save_fraction": round(middle["plain write"] / middle["tensorstore write"], 3),
        "tensorstore_restore_fraction": round(middle["plain read"] / middle["tensorstore read"], 3),
        "save_gbs": round(size / middle["save"] / 1e9, 2),
        "restore_gbs": round(size / middle["restore"] / 1e9, 2),
        **{name: round(value) for name, value in {**calls, "progress_ns": progress_cost()}.items()},
    }
    for nodes in (1, 16, 256):
        interval = automatic(seconds["save"], nodes, FailureRate.find(None, {}))
        print(f"auto, {nodes} nodes: {interval}")
        result[f"auto_overhead_{nodes}_nodes"] = float(f"{interval.overhead:.3g}")
    print(json.dumps(result))
    return 0 if min(result["save_fraction"], result["restore_fraction"]) >= AT_LEAST else 1


def plain_write(path: Path, data: memoryview) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for start in range(0, data.nbytes, PLAIN_BYTES):
        part = data[start : start + PLAIN_BYTES]
        while part.nbytes:
            part = part[os.write(descriptor, part) :]
    os.fsync(descriptor)
    os.close(descriptor)


def plain_read(path: Path, into: memoryview) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    start = 0
    while start < into.nbytes:
        start += os.readv(descriptor, [into[start : start + PLAIN_BYTES]])
    os.close(descriptor)


def make_cold(path: Path) -> None:
    """Drop a file's pages from memory, and see that they are gone."""
    descriptor = os.open(path, os.O_RDWR)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    warm = pages_in_memory(descriptor)
    os.close(descriptor)
    assert not warm, f"{path}: {warm} of its pages are still in memory: this file system cannot be measured cold"


def pages_in_memory(descriptor: int) -> int:
    """By mincore(2), which brings none in: even a read with RWF_NOWAIT starts a read-ahead."""
    size = os.fstat(descriptor).st_size
    pages = -(-size // mmap.PAGESIZE)
    with mmap.mmap(descriptor, size) as mapped:
        first = ctypes.c_char.from_buffer(mapped)
        resident = (ctypes.c_ubyte * pages)()
        failed = ctypes.CDLL(None).mincore(ctypes.byref(first), ctypes.c_size_t(size), resident)
        del first
    assert not failed, "mincore failed"
    return sum(one & 1 for one in resident)


def tensorstore_pair(folder: Path, data: Any, back: Any) -> tuple[Callable[[], object], Callable[[], object]]:
    """Write `data` and read into `back` with tensorstore: a Zarr array a chunk, CRC-32 by us as in a manifest."""
    import tensorstore

    parts = [(start, min(start + TENSORSTORE_ROWS, len(data))) for start in range(0, len(data), TENSORSTORE_ROWS)]
    sums: list[int] = []

    def chunk(low: int, high: int) -> Any:
        shape = [high - low, COLUMNS]
        grid = {"name": "regular", "configuration": {"chunk_shape": shape}}
        codecs = [{"name": "bytes", "configuration": {"endian": "little"}}]
        metadata = {"shape": shape, "data_type": "float64", "chunk_grid": grid, "codecs": codecs}
        kvstore = {"driver": "file", "path": f"{folder}/{low}/"}
        spec = {"driver": "zarr3", "kvstore": kvstore, "metadata": metadata, "open": True, "assume_metadata": True}
        return tensorstore.open(spec).result()

    def crc(part: tuple[int, int], array: Any) -> int:
        return zlib.crc32(array[part[0] : part[1]].data.cast("B"))

    def write() -> None:
        under_way = [
            chunk(*part).write(data[part[0] : part[1]], can_reference_source_data_indefinitely=True) for part in parts
        ]
        with ThreadPoolExecutor(2) as pool:
            sums[:] = pool.map(lambda part: crc(part, data), parts)
        for one in under_way:
            one.result()

    def read() -> None:
        target = tensorstore.array(back)
        under_way = [target[low:high].write(chunk(low, high).translate_to[low, 0]) for low, high in parts]

        def finish(number: int) -> int:
            under_way[number].result()
            return crc(parts[number], back)

        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(finish, range(len(parts)))) == sums

    return write, read


def per_call(call: Callable[[int], None], first: int) -> float:
    """Nanoseconds a call takes, over many steps of a program that does nothing else."""
    began = time.perf_counter_ns()
    for step in range(first, first + CALLS):
        call(step)
    return (time.perf_counter_ns() - began) / CALLS


def progress_cost() -> float:
    from workload.progress import Progress

    return per_call(Progress(10 * CALLS, environ={}).step, 1)


if __name__ == "__main__":
    sys.exit(main())
