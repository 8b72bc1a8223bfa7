"""`python -m workload`: our MPI programs, and what a node of a gang runs.

    mpiexec -n 4 python -m mpi4py -m workload run NAME [OPTION...]
    python -m workload node -- COMMAND [ARGUMENT...]

A program is found by its name: `workload/kernels/NAME.py`, or `workload/kernels/NAME/command.py` where it takes more
than one file. Either has `main(argv, comm) -> int`. Nothing here catches what a program raises: `python -m mpi4py`
answers an exception with MPI_Abort, so that no rank waits for one that is gone.
"""

import argparse
import difflib
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from mpi4py import MPI

KERNELS = Path(__file__).with_name("kernels")


def kernel_modules(folder: Path = KERNELS) -> dict[str, str]:
    """The programs in `folder`: name -> dotted name of the module that has its `main`.

    Found by file name alone: nothing is imported. A leading underscore keeps a file out.
    """
    single = {path.stem: f"workload.kernels.{path.stem}" for path in folder.glob("*.py")}
    package = {path.parent.name: f"workload.kernels.{path.parent.name}.command" for path in folder.glob("*/command.py")}
    return {name: module for name, module in sorted((single | package).items()) if not name.startswith("_")}


def unknown_kernel(name: str, known: Sequence[str]) -> str:
    """What to say of a program that does not exist."""
    close = difflib.get_close_matches(name, known, n=1)
    meant = f" Did you mean {close[0]!r}?" if close else ""
    return f"there is no program {name!r}.{meant} Programs: {', '.join(known)}"


def build_parser(known: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m workload",
        description="Tutti's MPI programs, and what a node of a gang runs.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="run|node")
    run = commands.add_parser(
        "run",
        help="run one of the MPI programs",
        description="Run one of the MPI programs. What follows its name is the program's own.",
        usage="mpiexec -n N python -m mpi4py -m workload run NAME [OPTION...]",
        epilog=f"Programs: {', '.join(known)}. `run NAME --help` shows a program's options.",
    )
    run.add_argument("name", metavar="NAME", help="the program")
    run.add_argument("argv", metavar="OPTION", nargs=argparse.REMAINDER, help="the program's own options")
    node = commands.add_parser(
        "node",
        help="be one node of a gang (what `tutti-node` does)",
        description="Be one node of a gang: join, stage, run the ranks, end. Settings come as TUTTI_* variables.",
        usage="python -m workload node -- COMMAND [ARGUMENT...]",
    )
    node.add_argument("argv", metavar="COMMAND", nargs=argparse.REMAINDER, help="the MPI program and its arguments")
    return parser


def _run(module: str, argv: Sequence[str]) -> int:
    # Here and no earlier: this import starts MPI.
    from mpi4py import MPI  # noqa: PLC0415

    main = cast("Callable[[Sequence[str], MPI.Intracomm], int]", importlib.import_module(module).main)
    return main(argv, MPI.COMM_WORLD)


def _node(argv: Sequence[str]) -> int:
    # Not at the top: a program needs none of what the runtime imports.
    main = cast("Callable[[Sequence[str]], int]", importlib.import_module("workload.entrypoint").main)
    return main(argv)


def main(argv: Sequence[str]) -> int:
    """Run what `argv` asks for and return its exit code.

    Raises
    ------
    SystemExit
        With 2 and a message on stderr where `argv` is wrong; with 0 after `--help`.
    """
    known = kernel_modules()
    parser = build_parser(tuple(known))
    arguments = parser.parse_args(argv)
    if arguments.command == "node":
        # Python's releases differ in whether argparse leaves this first `--` in.
        command = arguments.argv[1:] if arguments.argv[:1] == ["--"] else arguments.argv
        return _node(["--", *command])
    if arguments.name not in known:
        parser.error(unknown_kernel(arguments.name, tuple(known)))
    return _run(known[arguments.name], arguments.argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
