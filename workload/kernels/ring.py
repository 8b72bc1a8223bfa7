"""Pass a number round all ranks, and measure what lies between neighbours.

    mpiexec -n 4 python -m mpi4py -m workload run ring --laps 3
    mpiexec -n 4 python -m mpi4py -m workload run ring --sweep --json ring.json

`examples/hello/ring.c` is the same program in C. NumPy is not imported: a one-lap ring is what the start of a gang is
measured with, and the import costs more than the ring.
"""

import argparse
import json
import os
import sys
import time
from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median

from mpi4py import MPI

from workload.kernels._arguments import count, data_path, parse_on_all
from workload.progress import Progress

SIZES = (8, 64, 512, 4096, 32_768, 262_144, 1_048_576, 4_194_304)
"""Message sizes of the sweep, in bytes: 8 B to 4 MiB."""

TAG_TOKEN, TAG_PING, TAG_PLAN = 1, 2, 3
SECONDS_EACH = 0.02
"""How long one pair is measured at one size, once it is warm."""
FEWEST, MOST = 5, 1000
"""Round trips at one size: never fewer, never more."""
PAIRS_SHOWN = 16
"""Up to here the table has a row for every pair; above, one for every size."""


@dataclass(frozen=True, kw_only=True)
class Lap:
    """What the passing of the number found."""

    ranks: int
    hosts: int
    laps: int
    token: int
    sum_of_ranks: int
    seconds: float

    @property
    def hop_us(self) -> float:
        """The mean time from one rank to the next, in microseconds."""
        return self.seconds / (self.laps * self.ranks) * 1e6


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One pair at one size: half the median round trip, and what that is in bytes a second."""

    left: int
    right: int
    bytes: int
    latency_us: float
    gb_per_s: float


def neighbour_pairs(size: int) -> list[tuple[int, int]]:
    """Every pair of neighbours in a ring of `size` ranks, once: two ranks have one pair, one rank has none."""
    if size <= 2:
        return [(0, 1)] if size == 2 else []
    return [(rank, (rank + 1) % size) for rank in range(size)]


def trips_for(seconds_a_trip: float) -> int:
    """How many round trips fit into `SECONDS_EACH`, within the bounds."""
    return int(min(MOST, max(FEWEST, SECONDS_EACH / max(seconds_a_trip, 1e-9))))


def pass_round(comm: MPI.Comm, laps: int) -> Lap:
    """Pass a number `laps` times round the ring, each rank adding 1, and all-reduce the ranks.

    Collective over `comm`. Rank 0 prints the lap about once a second.

    Raises
    ------
    RuntimeError
        If the number or the sum is not what it must be.
    """
    rank, size = comm.rank, comm.size
    hosts = len(set(comm.allgather(MPI.Get_processor_name())))
    token = array("q", [0])
    progress = Progress(laps, rank=rank, unit="laps")
    comm.Barrier()
    start = said = time.perf_counter()
    for lap in range(1, laps + 1):
        if size == 1:
            token[0] += 1
        elif rank == 0:
            token[0] += 1
            comm.Send([token, MPI.INT64_T], dest=1, tag=TAG_TOKEN)
            comm.Recv([token, MPI.INT64_T], source=size - 1, tag=TAG_TOKEN)
        else:
            comm.Recv([token, MPI.INT64_T], source=rank - 1, tag=TAG_TOKEN)
            token[0] += 1
            comm.Send([token, MPI.INT64_T], dest=(rank + 1) % size, tag=TAG_TOKEN)
        progress.step(lap)
        if rank == 0 and time.perf_counter() - said >= 1:
            said = time.perf_counter()
            print(f"ring: lap {lap} of {laps}", flush=True)
    seconds = time.perf_counter() - start
    total = array("q", [0])
    comm.Allreduce([array("q", [rank]), MPI.INT64_T], [total, MPI.INT64_T], op=MPI.SUM)
    if total[0] != size * (size - 1) // 2:
        raise RuntimeError(f"all-reduce gave {total[0]} as the sum of the ranks, not {size * (size - 1) // 2}")
    if rank == 0 and token[0] != laps * size:
        raise RuntimeError(f"the number came back as {token[0]}, not {laps * size}: {laps} laps of {size} ranks")
    return Lap(ranks=size, hosts=hosts, laps=laps, token=laps * size, sum_of_ranks=total[0], seconds=seconds)


def _ping(comm: MPI.Comm, buffer: bytearray, peer: int, trips: int) -> list[float]:
    """Seconds of each of `trips` round trips to `peer`, which runs `_pong`."""
    seconds = []
    for _ in range(trips):
        start = time.perf_counter()
        comm.Send([buffer, MPI.BYTE], dest=peer, tag=TAG_PING)
        comm.Recv([buffer, MPI.BYTE], source=peer, tag=TAG_PING)
        seconds.append(time.perf_counter() - start)
    return seconds


def _pong(comm: MPI.Comm, buffer: bytearray, peer: int, trips: int) -> None:
    for _ in range(trips):
        comm.Recv([buffer, MPI.BYTE], source=peer, tag=TAG_PING)
        comm.Send([buffer, MPI.BYTE], dest=peer, tag=TAG_PING)


def _measure_pair(comm: MPI.Comm, left: int, right: int) -> list[Measurement]:
    """Measure one pair at all sizes; called by its two ranks, and `left` gets the result."""
    found = []
    for size in SIZES:
        buffer = bytearray(size)
        if comm.rank == right:
            _pong(comm, buffer, left, FEWEST)
            plan = array("q", [0])
            comm.Recv([plan, MPI.INT64_T], source=left, tag=TAG_PLAN)
            _pong(comm, buffer, left, plan[0])
            continue
        warm = _ping(comm, buffer, right, FEWEST)
        plan = array("q", [trips_for(median(warm))])
        comm.Send([plan, MPI.INT64_T], dest=right, tag=TAG_PLAN)
        one_way = median(_ping(comm, buffer, right, plan[0])) / 2
        found.append(
            Measurement(
                left=left, right=right, bytes=size, latency_us=one_way * 1e6, gb_per_s=size / max(one_way, 1e-9) / 1e9
            )
        )
    return found


def sweep(comm: MPI.Comm) -> list[Measurement]:
    """Latency and bandwidth of every neighbour pair, one pair after the other. Collective over `comm`.

    Returns
    -------
    list of Measurement
        On rank 0 one for every pair and size; elsewhere an empty list.
    """
    mine: list[Measurement] = []
    for left, right in neighbour_pairs(comm.size):
        if comm.rank in (left, right):
            mine += _measure_pair(comm, left, right)
        # Those that wait sleep: a rank that spins in a barrier would share a core with the pair that is measured.
        everyone = comm.Ibarrier()
        while not everyone.Test():
            time.sleep(0.0005)
    gathered = comm.gather(mine, root=0)
    return sorted((one for some in gathered or [] for one in some), key=lambda one: (one.left, one.right, one.bytes))


def table(found: Sequence[Measurement]) -> str:
    """The sweep for people: a row for every pair, or for every size where the pairs are many."""
    if not found:
        return "one rank has no neighbour: nothing to measure"
    pairs = sorted({(one.left, one.right) for one in found})
    by_key = {(one.left, one.right, one.bytes): one for one in found}
    rows = []
    if len(pairs) <= PAIRS_SHOWN:
        rows.append(f"{'pair':>11}  {'latency at 8 B':>16}  {'bandwidth at 4 MiB':>18}")
        for left, right in pairs:
            small, large = by_key[left, right, SIZES[0]], by_key[left, right, SIZES[-1]]
            rows.append(f"{left:>4} - {right:>4}  {small.latency_us:>13.2f} us  {large.gb_per_s:>13.3f} GB/s")
    rows.append(f"{'bytes':>11}  {'median':>13}     {'slowest':>13}     {'at pair':>9}  {'median':>8}")
    for size in SIZES:
        at_size = [by_key[left, right, size] for left, right in pairs]
        slowest = max(at_size, key=lambda one: one.latency_us)
        middle = median(one.latency_us for one in at_size)
        rate = median(one.gb_per_s for one in at_size)
        rows.append(
            f"{size:>11}  {middle:>13.2f} us  {slowest.latency_us:>13.2f} us  "
            f"{slowest.left:>3} - {slowest.right:>3}  {rate:>8.3f} GB/s"
        )
    return "\n".join(rows)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ring", description="Pass a number round all ranks; measure the neighbours.")
    parser.add_argument("--laps", type=count, default=1, metavar="N", help="how often the number goes round (1)")
    parser.add_argument(
        "--sweep",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="latency and bandwidth of every neighbour pair, 8 B to 4 MiB",
    )
    parser.add_argument("--json", metavar="FILE", help="write all that was found as JSON; - is standard output")
    return parser


def main(argv: Sequence[str], comm: MPI.Comm) -> int:
    """Run the ring as `argv` says. Collective over `comm`."""
    arguments = parse_on_all(build_parser(), argv, comm)
    lap = pass_round(comm, arguments.laps)
    found = sweep(comm) if arguments.sweep else []
    if comm.rank != 0:
        return 0
    print(
        f"ring: {lap.ranks} ranks on {lap.hosts} host{'s' * (lap.hosts > 1)}, {lap.laps} laps: number {lap.token}, "
        f"sum of ranks {lap.sum_of_ranks}, {lap.hop_us:.2f} us a hop",
        flush=True,
    )
    if arguments.sweep:
        print(table(found), flush=True)
    if arguments.json:
        document = json.dumps({**asdict(lap), "hop_us": lap.hop_us, "pairs": [asdict(one) for one in found]})
        if arguments.json == "-":
            sys.stdout.write(document + "\n")
        else:
            data_path(arguments.json, os.environ).write_text(document + "\n", encoding="utf-8")
    return 0
