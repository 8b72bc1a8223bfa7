"""The few system calls that Python 3.11 has no name for. Linux alone; each raises OSError and says what was tried."""

from __future__ import annotations

import ctypes
import os
from enum import IntFlag
from functools import cache
from typing import Any, Final

PR_SET_PDEATHSIG: Final = 1
PR_SET_CHILD_SUBREAPER: Final = 36
MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_BIND: Final = 4096
MS_REC: Final = 16384
MS_PRIVATE: Final = 1 << 18


class Namespace(IntFlag):
    """CLONE_NEW* of <linux/sched.h>."""

    MOUNT = 0x00020000
    UTS = 0x04000000
    IPC = 0x08000000
    USER = 0x10000000
    PID = 0x20000000
    NETWORK = 0x40000000


@cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(namespaces: Namespace) -> None:
    _check(_libc().unshare(ctypes.c_int(namespaces)), f"unshare({namespaces!r})")


def set_host_name(name: str) -> None:
    data = name.encode()
    _check(_libc().sethostname(data, ctypes.c_size_t(len(data))), f"sethostname({name})")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    arguments = (source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode())
    _check(_libc().mount(*arguments), f"mount {source} on {target}")


def become_subreaper() -> None:
    """From now on every orphan below this process becomes its child."""
    _check(_libc().prctl(PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), 0, 0, 0), "prctl(PR_SET_CHILD_SUBREAPER)")


def die_with_parent(signal_number: int) -> None:
    """Get `signal_number` when the parent *thread* ends: only for children of processes with one thread."""
    _check(_libc().prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal_number), 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")
