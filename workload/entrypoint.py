"""What a node's container runs, as PID 1: `tutti-node -- ARGV...`.

In two steps, so that the gang's secret is nowhere that a rank can read it: the first puts it into a file that has no
name and executes itself with a clean environment; the second reads the file, closes it, and makes itself unreadable.
"""

from __future__ import annotations

import os
import sys

# Not from `typing`, whose import takes as long as all the rest of the first step; so does `signal`'s.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final, NoReturn

# `contract.Variable.SECRET`; here too, because the first step needs nothing else of the contract. A test holds the two
# together.
SECRET: Final = "TUTTI_SECRET"  # noqa: S105  the name of the variable, not a secret
SECRET_FD: Final = f"{SECRET}_FD"


def main(argv: Sequence[str] | None = None) -> int:
    """Be one node of a gang, and end with its exit code; returns one only where the command line is wrong."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["--"] and SECRET in os.environ:
        _again(os.environ)
    # After the first step, which needs none of it: it is paid on every node.
    import gc  # noqa: PLC0415
    import signal  # noqa: PLC0415

    gc.disable()  # what imports make is no garbage
    # Until the loop hears it: a SIGTERM now must not end this node with a code that says something else.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
    from workload.contract import NODE_COMMAND, ExitCode  # noqa: PLC0415

    if words[:1] != ["--"] or len(words) == 1:
        print(f"usage: {NODE_COMMAND} -- COMMAND [ARGUMENT...]\nSettings come as TUTTI_* variables.", file=sys.stderr)
        return ExitCode.SETTINGS
    secret = _handed_on(os.environ)
    from workload.gang import run  # noqa: PLC0415
    from workload.gang.processes import become_sub_reaper, become_unreadable  # noqa: PLC0415

    gc.freeze()
    gc.enable()
    become_unreadable()
    become_sub_reaper()
    code = run.run(words[1:], os.environ, secret)
    # Without Python's own clearing up: it takes as long as a tenth of a node's imports, and whoever waits for the job
    # waits for it. The log is written line by line, and what threads still do is no longer wanted.
    os._exit(code)


def _again(environ: Mapping[str, str]) -> NoReturn:
    """Execute this program again, the secret in a memory file in place of the environment (which /proc shows)."""
    fd = os.memfd_create("tutti", 0)  # inherited by exec
    os.write(fd, environ[SECRET].encode())
    os.lseek(fd, 0, os.SEEK_SET)
    clean = {k: v for k, v in environ.items() if k != SECRET}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**clean, SECRET_FD: str(fd)})  # noqa: S606  no shell is what is wanted


def _handed_on(environ: Mapping[str, str]) -> bytes | None:
    if (fd := environ.get(SECRET_FD)) is None:
        return None
    with os.fdopen(int(fd), "rb") as file:
        return file.read()


if __name__ == "__main__":
    sys.exit(main())
