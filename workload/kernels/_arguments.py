"""What the programs' command lines share."""

import argparse
import contextlib
import io
import sys
from collections.abc import Sequence

from mpi4py import MPI


def parse_on_all(parser: argparse.ArgumentParser, argv: Sequence[str], comm: MPI.Comm) -> argparse.Namespace:
    """Parse `argv`, the same on every rank, and let rank 0 alone speak. Collective over `comm`.

    Raises
    ------
    SystemExit
        On every rank, with 2 where `argv` is wrong and 0 after `--help`; the text comes once, from rank 0.
    """
    quiet = io.StringIO()
    try:
        if comm.rank == 0:
            return parser.parse_args(argv)
        with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            return parser.parse_args(argv)
    except SystemExit:
        sys.stdout.flush()
        # The first rank that leaves takes the others with it: rank 0 must have spoken by then.
        comm.Barrier()
        raise
