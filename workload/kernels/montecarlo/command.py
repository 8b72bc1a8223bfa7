"""Mean, standard deviation, least and greatest of a seeded normal sample: the same bits for any number of ranks.

    mpiexec -n 4 python -m mpi4py -m workload run montecarlo --iterations 1000000 --output s3://bucket/mc/
    python -m mpi4py -m workload run montecarlo --merge s3://bucket/mc/results/ --output all.json

In an array job each child takes its share; `--merge` makes of the shares what one job would have found.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence

from mpi4py import MPI

from workload.kernels._arguments import count, parse_on_all, seed
from workload.kernels.montecarlo.moments import Moments, Sample, part
from workload.kernels.montecarlo.results import Result, Share, merge, read, write


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="montecarlo",
        description="Mean, std, min and max of a seeded normal sample, the same bits for any number of ranks.",
        epilog="Under a folder (a path that ends in /) or an S3 prefix the result is results/<job id>[-<index>].json.",
    )
    parser.add_argument("--iterations", type=count, default=1_000_000, metavar="N", help="rows in all (1,000,000)")
    parser.add_argument("--columns", type=count, default=10, metavar="N", help="columns (10)")
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="of the sample (0)")
    parser.add_argument(
        "--output", metavar="PLACE", help="a file, FOLDER/, shared:PATH or s3://BUCKET/PREFIX/; else standard output"
    )
    parser.add_argument(
        "--merge", nargs="+", metavar="PLACE", help="make one result of the shares in these files, folders, prefixes"
    )
    return parser


def sample_moments(sample: Sample, share: Share, comm: MPI.Comm) -> Moments:
    """Moments of one share of a sample. Collective over `comm`; every rank gets them."""
    own = part(share.blocks(sample), comm.rank, comm.size)
    found: Moments = comm.allreduce(sample.moments(own), op=Moments.__add__)
    return found


def main(argv: Sequence[str], comm: MPI.Comm) -> int:
    """Sample, or merge, as `argv` says. Collective over `comm`.

    Raises
    ------
    ValueError
        Shares that cannot be merged, or variables of AWS Batch that contradict each other.
    """
    arguments = parse_on_all(build_parser(), argv, comm)
    if arguments.merge:
        if comm.rank == 0:
            _say(merge([one for source in arguments.merge for one in read(source)]), arguments.output)
        return 0
    sample = Sample(iterations=arguments.iterations, columns=arguments.columns, seed=arguments.seed)
    share = Share.from_environment(os.environ)
    moments = sample_moments(sample, share, comm)
    if comm.rank == 0:
        _say(Result(sample=sample, share=share, moments=moments), arguments.output)
    return 0


def _say(result: Result, output: str | None) -> None:
    if output is None:
        sys.stdout.write(json.dumps(result.to_json(), indent=1) + "\n")
        return
    where = write(result, output)
    print(f"montecarlo: {result.moments.count} of {result.sample.iterations} iterations, {where}", flush=True)
