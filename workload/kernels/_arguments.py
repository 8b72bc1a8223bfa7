"""What the programs' command lines share."""

import argparse
import contextlib
import io
from collections.abc import Sequence

from mpi4py import MPI


def parse_on_all(parser: argparse.ArgumentParser, argv: Sequence[str], comm: MPI.Comm) -> argparse.Namespace:
    """Parse `argv` on every rank, and let rank 0 alone speak. Not collective: all ranks see the same `argv`.

    Raises:
        SystemExit: on every rank, with 2 where `argv` is wrong and 0 after `--help`; the text comes once, from rank 0.
    """
    if comm.rank == 0:
        return parser.parse_args(argv)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return parser.parse_args(argv)
