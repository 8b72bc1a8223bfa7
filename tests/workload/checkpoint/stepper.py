"""A program with state that can be killed anywhere: mpiexec -n N python -m mpi4py stepper.py TARGET STEPS [OPTION...]

Each cell goes its own way, so the result is bitwise the same on any number of ranks. At the end rank 0 prints one line
of JSON: where the run began, what it was given back, and the digest of the whole state.
"""

import argparse
import hashlib
import json
import os
import resource
import signal
import sys
import time

import numpy as np
from mpi4py import MPI

from workload.checkpoint import Block, CheckpointError, Checkpoints

ROWS, COLUMNS, MOST_STEPS = 37, 11, 100


def share(total: int, comm: MPI.Intracomm) -> tuple[int, int]:
    return comm.rank * total // comm.size, (comm.rank + 1) * total // comm.size


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("steps", type=int)
    parser.add_argument("--every", default="4")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds a step")
    parser.add_argument("--die-at", default="", help="RANK:SAVE:STAGE or RANK:STEP: SIGKILL there")
    parser.add_argument("--most-bytes", type=int, default=0, help="no file of this process may grow beyond")
    parser.add_argument("--most-from-step", type=int, default=0, help="from this step on")
    parser.add_argument("--or-die", action="store_true", help="a write beyond --most-bytes kills the process")
    parser.add_argument("--finish", action="store_true", help="save the end, too")
    parser.add_argument("--cells", type=int, default=1001)
    parser.add_argument("--case", type=int, default=1)
    parser.add_argument("--say-pids", action="store_true", help="when the first step is done, to stderr")
    return parser.parse_args()


def main(comm: MPI.Intracomm) -> int:
    given = arguments()
    who, _, where = given.die_at.partition(":")
    mortal = bool(who) and comm.rank == int(who)
    saves = 0

    def at_stage(stage: str) -> None:
        nonlocal saves
        saves += stage == "begin"
        if mortal and where == f"{saves}:{stage}":
            os.kill(os.getpid(), signal.SIGKILL)

    first, last = share(ROWS, comm)
    low, high = share(given.cells, comm)
    field = np.zeros((last - first + 2, COLUMNS + 3))  # a part of it is saved: not contiguous
    field[1:-1, 1:-2] = np.arange(ROWS * COLUMNS, dtype=float).reshape(ROWS, COLUMNS)[first:last]
    cells = np.arange(given.cells, dtype=np.int32)[low:high].copy()
    history = np.zeros(MOST_STEPS, dtype=np.float32)
    blocks = {
        "field": Block(data=field[1:-1, 1:-2], shape=(ROWS, COLUMNS), offset=(first, 0)),
        "cells": Block(data=cells, shape=(given.cells,), offset=(low,)),
        "history": Block.whole(history, mine=comm.rank == 0),
    }
    try:
        with Checkpoints.open(
            given.target, comm, every=given.every, case={"case": given.case}, at_stage=at_stage
        ) as checkpoints:
            start = checkpoints.restore(blocks)
            for step in range(start.step + 1, given.steps + 1):
                if mortal and where == str(step):
                    os.kill(os.getpid(), signal.SIGKILL)
                if given.most_bytes and step == given.most_from_step:
                    # Else write() says EFBIG, as it says ENOSPC on a full disk: Python ignores this signal.
                    if given.or_die:
                        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
                    resource.setrlimit(resource.RLIMIT_FSIZE, (given.most_bytes, given.most_bytes))
                field[1:-1, 1:-2] += np.sin(field[1:-1, 1:-2] + step)
                cells[:] = cells * 1664525 + step
                history[step] = step / 3
                if given.say_pids and step == start.step + 1:
                    pids = comm.gather(os.getpid())
                    if comm.rank == 0:
                        print("pids", *(pids or []), file=sys.stderr, flush=True)
                checkpoints.after(step, blocks, {"half": step / 2})
                time.sleep(given.pause)
            if given.finish:
                checkpoints.finish(given.steps, blocks)
    except CheckpointError as error:
        if comm.rank == 0:
            print(f"CheckpointError: {error}", file=sys.stderr, flush=True)
        comm.Barrier()  # the first rank that leaves with 3 ends the others: not before this is said
        return 3
    everything = comm.gather((field[1:-1, 1:-2].copy(), cells))
    if comm.rank == 0:
        digest = hashlib.sha256(history.tobytes())
        for part in (0, 1):
            for rank in everything or []:
                digest.update(rank[part].tobytes())
        result = {"start": start.step, "notes": dict(start.notes), "digest": digest.hexdigest()}
        print(json.dumps(result), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(MPI.COMM_WORLD))
