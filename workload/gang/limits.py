"""Resource limits of the ranks: set on the member, inherited by daemons, shims and ranks."""

from __future__ import annotations

import contextlib
import resource

# Fortran's arrays on the stack die at 8 MiB; EFA registers memory, which must be locked; a rank opens a socket a peer.
RAISED = {"stack": resource.RLIMIT_STACK, "memlock": resource.RLIMIT_MEMLOCK, "nofile": resource.RLIMIT_NOFILE}


def raise_for_ranks() -> None:
    """Raise this process's limits as far as it may, and turn core files off: they would fill the disk."""
    for limit in RAISED.values():
        _, most = resource.getrlimit(limit)
        with contextlib.suppress(ValueError, OSError):  # a container may forbid what the numbers allow
            resource.setrlimit(limit, (most, most))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def hard(name: str) -> int:
    """The hard limit called `name`; -1: none."""
    return resource.getrlimit(RAISED[name])[1]
