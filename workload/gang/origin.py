"""Since when the instance below a node is up, and when the node's image was pulled: what Batch does not tell."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from workload import ecs
from workload.contract import Event
from workload.gang.log import Log

UPTIME: Final = Path("/proc/uptime")  # the instance's: a container shares its kernel


def tell(soon: Callable[[Callable[[], None]], None], log: Log, environ: Mapping[str, str]) -> None:
    """Write the event `host` once it is known. A thread asks, for the agent may be slow; `soon` (the loop's) writes."""

    def ask() -> None:
        if found := origin(environ):
            soon(lambda: log.event(Event.HOST, **found))

    threading.Thread(target=ask, name="origin", daemon=True).start()


def origin(environ: Mapping[str, str]) -> dict[str, float | str]:
    """Fields of the event `host`, without what cannot be known here."""
    found: dict[str, float | str] = {}
    with contextlib.suppress(OSError, ValueError, IndexError):
        found["booted"] = round(booted(UPTIME.read_text(encoding="ascii"), time.time()), 3)
    if uri := environ.get(ecs.METADATA_URI):
        with contextlib.suppress(ecs.MetadataError):
            found["pull_began"], found["pull_ended"] = ecs.pull(uri)
    return found


def booted(uptime: str, now: float) -> float:
    """When the kernel started, Unix seconds, from what /proc/uptime holds (proc(5)): seconds up, seconds idle."""
    return now - float(uptime.split(maxsplit=1)[0])
