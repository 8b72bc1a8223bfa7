"""What the programs' command lines share."""

import argparse
import contextlib
import io
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from mpi4py import MPI

from workload import contract

MOST_SEED: Final = (1 << 64) - 1
"""Of a seed: what fits in one half of the key of Philox (see `_random`)."""


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


def data_path(text: str, environ: Mapping[str, str]) -> Path:
    """Read the path of a file or folder: `shared:PATH` is below the shared folder, wherever that is here.

    So is a path below `/mnt/efs`, which definitions name: a twin's shared folder is elsewhere.

    Raises
    ------
    ValueError
        A path that leaves the shared folder, or there is none.
    """
    below = text.removeprefix(contract.Path.SHARED)
    if below != text and below[:1] in {"", "/"} and environ.get(contract.Variable.SHARED):
        text = f"{contract.SHARED_SCHEME}{below}"
    return Path(contract.resolve_shared(text, environ))


def count(text: str) -> int:
    """Read a number of things; for argparse's `type`."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value}: at least 1 is needed")
    return value


def duration(text: str) -> float:
    """Read a time in seconds; for argparse's `type`."""
    value = float(text)
    if not 0.0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: seconds are needed, 0 or more")
    return value


def seed(text: str) -> int:
    """Read a seed; for argparse's `type`."""
    value = int(text)
    if not 0 <= value <= MOST_SEED:
        raise argparse.ArgumentTypeError(f"{value}: allowed are 0 to {MOST_SEED}")
    return value
