"""Many files at once: what becomes of each, with a stop that is quick."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Final, TypeVar

from tutti.aws import MISSING, in_words, is_aws_error

T = TypeVar("T")
THREADS: Final = 8
CHANGED: Final = "PreconditionFailed"  # S3's code: the object is another by now
Moved = Callable[[int], None]


class ChangedError(OSError):
    """A file is another than when it was looked at: what was read of it may be half of each."""


class _StoppedError(Exception):
    """Raised where bytes move, once the others are to end."""


def each(call: Callable[[T, Moved], None], items: Iterable[T], moved: Moved) -> list[tuple[T, str]]:
    """`call(item, moved)` for all of them; those that failed for a reason of their own, and the reason.

    What would fail for all (credentials, network) is raised, and so is Ctrl-C; what is under way ends at once.
    """
    over = threading.Event()

    def tell(count: int) -> None:
        if over.is_set():
            raise _StoppedError
        moved(count)

    def one(item: T) -> str:
        if over.is_set():
            raise _StoppedError
        try:
            call(item, tell)
        except OSError as error:
            return error.strerror or str(error)
        except Exception as error:
            if _code_of(error) == CHANGED:
                return "it changed while it was read; sync again when it is complete"
            if _code_of(error) in MISSING:
                return str(in_words(error))
            raise
        return ""

    pool = ThreadPoolExecutor(max_workers=THREADS)
    waiting = {pool.submit(one, item): item for item in items}
    try:
        pending = set(waiting)
        while pending:
            done, pending = wait(pending, timeout=1, return_when="FIRST_EXCEPTION")
            for future in done:
                future.result()
        return [(item, why) for future, item in waiting.items() if (why := future.result())]
    finally:
        over.set()
        pool.shutdown(cancel_futures=True)


def _code_of(error: Exception) -> str:
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", "")) if is_aws_error(error) else ""
