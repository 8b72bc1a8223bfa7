"""`python -m mpi4py -m workload run flow ...`: a flow from the command line."""

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from mpi4py import MPI

from workload import settings
from workload.checkpoint import CheckpointError
from workload.contract import SAYS, resolve_shared
from workload.grid import GridError
from workload.kernels._arguments import parse_on_all
from workload.kernels.flow import startup
from workload.kernels.flow.case import WALLS_HALF_WAY, Case
from workload.kernels.flow.casefile import CaseError, load, parse_grid
from workload.kernels.flow.cases import CASES, Asked, description
from workload.kernels.flow.checks import refusals, warnings

USAGE: Final = 2
FAILED: Final = 1


def build_parser() -> argparse.ArgumentParser:
    """The options of `run flow`."""
    cases = "; ".join(f"{name}: {description(name)}" for name in CASES)
    parser = argparse.ArgumentParser(
        prog="run flow",
        description="Three-dimensional flow by the lattice Boltzmann method (D3Q19), on any number of ranks.",
        epilog=f"Cases: {cases} docs/flow.md has more.",
    )
    parser.add_argument("--case", default="cavity", help=f"{', '.join(CASES)}, or a case file (YAML); default cavity")
    parser.add_argument("--grid", type=_grid, metavar="NXxNYxNZ", help="cells; default the case's own")
    parser.add_argument("--reynolds", type=float, help="Reynolds number; default the case's own")
    parser.add_argument("--velocity", type=float, help="scale of velocity, cells a step; default the case's own")
    parser.add_argument("--steps", type=int, default=20_000, help="default 20000")
    parser.add_argument("--collision", choices=("trt", "bgk"), default="trt", help="default trt: two relaxation times")
    parser.add_argument(
        "--magic", type=float, default=WALLS_HALF_WAY, help="of trt; default 3/16: walls exactly half-way"
    )
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64", help="default float64")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help="default cpu; gpu: one for each rank")
    parser.add_argument("--output", default="out", help="folder, or shared:PATH; default out")
    parser.add_argument("--animate", type=int, default=0, metavar="FRAMES", help="also an animation of the speed")
    parser.add_argument(
        "--checkpoint",
        metavar="TARGET",
        default=os.environ.get(settings.variable("checkpoint")) or None,
        help="folder, shared:PATH or s3://BUCKET/PREFIX; goes on from it; default the job's own",
    )
    parser.add_argument("--every", default="auto", metavar="N|TIME|auto", help="between checkpoints; default auto")
    parser.add_argument("--compile", metavar="TARGET", help=f"only compile for: {', '.join(startup.FEATURES)}")
    return parser


def _grid(text: str) -> tuple[int, int, int]:
    try:
        return parse_grid(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def case_of(arguments: argparse.Namespace) -> Case:
    """The case that the options name.

    Raises
    ------
    CaseError
        With all that is wrong.
    """
    asked = Asked(
        grid=arguments.grid,
        reynolds=arguments.reynolds,
        velocity=arguments.velocity,
        magic=None if arguments.collision == "bgk" else arguments.magic,
    )
    problems = [
        f"--{name}: got {value:g}; allowed: above 0"
        for name, value in (("reynolds", asked.reynolds), ("velocity", asked.velocity), ("magic", asked.magic))
        if value is not None and not value > 0
    ]
    if arguments.steps < 1:
        problems.append(f"--steps: got {arguments.steps}; allowed: a number from 1")
    if arguments.case not in CASES and not arguments.case.endswith((".yaml", ".yml")):
        problems.append(f"--case: got {arguments.case!r}; allowed: {', '.join(CASES)}, or a file that ends in .yaml")
    if problems:
        raise CaseError("flow", problems)
    if arguments.case in CASES:
        case = CASES[arguments.case](asked)
    else:
        given = [name for name in ("grid", "reynolds", "velocity") if getattr(arguments, name) is not None]
        if given:
            raise CaseError("flow", [f"--{name}: a case file has its own; write it there" for name in given])
        case = load(Path(arguments.case))
    if problems := list(refusals(case)):
        raise CaseError(case.name, problems)
    return case


def _read_on_rank_0(arguments: argparse.Namespace, environ: Mapping[str, str]) -> tuple[Case, Path] | str:
    try:
        return case_of(arguments), Path(resolve_shared(arguments.output, environ))
    except ValueError as error:
        return str(error)


def main(argv: Sequence[str], comm: MPI.Intracomm) -> int:
    """Run a flow. Collective over `comm`; returns the exit code."""
    began = time.perf_counter()
    arguments = parse_on_all(build_parser(), argv, comm)
    read = comm.bcast(_read_on_rank_0(arguments, os.environ) if comm.rank == 0 else None)
    if isinstance(read, str):
        return _refuse(comm, read, USAGE)
    case, output = read
    for text in warnings(case) if comm.rank == 0 else ():
        print(f"{SAYS}warning: {text}", file=sys.stderr, flush=True)
    try:
        target = startup.prepare(os.environ, arguments.compile)
    except ValueError as error:
        return _refuse(comm, f"--compile: {error}", USAGE)
    from workload.kernels.flow.run import GpuMissingError, Options, run  # noqa: PLC0415 - after numba's variables are set

    options = Options(
        steps=arguments.steps,
        dtype=arguments.dtype,
        device=arguments.device,
        output=output,
        frames=arguments.animate,
        checkpoint=arguments.checkpoint,
        every=arguments.every,
        target=target,
        compile_only=arguments.compile is not None,
    )
    try:
        return run(case, options, comm, began=began)
    except (GridError, GpuMissingError) as error:
        return _refuse(comm, str(error), USAGE)
    except CheckpointError as error:
        return _refuse(comm, f"checkpoint: {error}", FAILED)


def _refuse(comm: MPI.Intracomm, text: str, code: int) -> int:
    if comm.rank == 0:
        print(f"{SAYS}{text}", file=sys.stderr, flush=True)
    comm.Barrier()
    return code
