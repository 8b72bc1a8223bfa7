"""`python -m tutti` and the command `tutti`: Ctrl-C is one line and 130 from the first moment to the last.

Imports take most of a short command's time. Until the command runs, and after it, there is nothing to tidy up: the
process ends at once, where a KeyboardInterrupt would come out as a traceback of whatever was being imported.
"""

import os
import sys


def main() -> None:
    """Run the command line; what it ends with is the process's exit code."""
    try:
        import signal  # noqa: PLC0415  everything that takes time stands inside the try

        theirs = signal.getsignal(signal.SIGINT)
        ours = theirs is signal.default_int_handler  # not in the background, where a shell has it ignored
        if ours:
            signal.signal(signal.SIGINT, leave)
        _open_what_is_closed()
        from tutti.cli.main import main as run  # noqa: PLC0415  the same

        try:
            signal.signal(signal.SIGINT, theirs)
            run()
        finally:
            if ours:
                signal.signal(signal.SIGINT, leave)
    except KeyboardInterrupt:
        leave()


def _open_what_is_closed() -> None:
    """`tutti status >&-`: what is written goes nowhere, what is read is empty; else the next socket would be that
    stream. In this order, as each takes the lowest number that is free.
    """
    if sys.stdin is None:
        sys.stdin = os.fdopen(os.open(os.devnull, os.O_RDONLY))
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")


def leave(*_: object) -> None:
    """End here: nobody is told more than that."""
    try:
        os.write(2, b"tutti: interrupted\n")
    finally:
        os._exit(130)  # `errors.Exit.INTERRUPTED`, which takes an import


if __name__ == "__main__":
    main()
