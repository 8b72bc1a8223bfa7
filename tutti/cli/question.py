"""Yes or no, asked on the terminal."""

from __future__ import annotations

import os
import select
import signal
import sys
from typing import Final

YES: Final = frozenset({"y", "yes"})


def confirmed(question: str) -> bool:
    """Whether the user says yes; anything else is no.

    Python sees a Ctrl-C that comes just before it reads only when the next key is pressed; what it writes into a pipe
    for every signal wakes us at any moment.

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C, or the end of the input.
    """
    print(f"{question} [y/N]: ", end="", file=sys.stderr, flush=True)
    woken, wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before = signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    try:
        while sys.stdin not in select.select([sys.stdin, woken], [], [])[0]:
            os.read(woken, 4096)
        answer = sys.stdin.readline()
    except KeyboardInterrupt:
        print(file=sys.stderr)
        raise
    finally:
        signal.set_wakeup_fd(before)
        os.close(woken)
        os.close(wakes)
    if not answer:
        print(file=sys.stderr)
        raise KeyboardInterrupt
    return answer.strip().lower() in YES
