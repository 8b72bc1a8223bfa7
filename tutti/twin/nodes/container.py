"""What a node does between fork and exec: its namespaces, its files, its limits, then its command."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import tempfile
from pathlib import Path
from typing import NoReturn

from tutti.twin.nodes import linux
from tutti.twin.nodes.cgroups import Cgroup
from tutti.twin.nodes.linux import Namespace
from tutti.twin.nodes.network import Bridge
from tutti.twin.nodes.spec import NodeSpec


def become_node(
    spec: NodeSpec, *, serial: int, output: int, failed: int, bridge: Bridge | None, cgroup: Cgroup | None, pid_1: bool
) -> NoReturn:
    """Turn the calling process, which has just been forked, into the node's main process.

    What goes wrong is written to the descriptor `failed`, which closes by itself where all went well.
    """
    try:
        os.setsid()
        linux.die_with_parent(signal.SIGKILL)
        _wire(output)
        if cgroup:
            cgroup.join()
        if bridge:
            linux.unshare(Namespace.NETWORK | Namespace.MOUNT | Namespace.UTS | Namespace.IPC)
            _own_files(spec, pid_1=pid_1)
            linux.set_host_name(spec.host_name or "node")
            bridge.connect(serial, spec.address)
        _limit(spec)
        os.chdir(spec.folder)
        _default_signals()
        os.execvpe(spec.argv[0], list(spec.argv), dict(spec.environment))  # noqa: S606  the node's command, as it is written
    except BaseException as error:  # noqa: BLE001  a forked child must never return into its parent's code
        with contextlib.suppress(OSError):
            os.write(failed, f"{spec.argv[0]}: {error}".encode())
        os._exit(127)


def _wire(output: int) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (output, 1), (output, 2)):
        os.dup2(source, target, inheritable=True)


def _own_files(spec: NodeSpec, *, pid_1: bool) -> None:
    """Own /proc, /dev/shm, hosts file, host name file; an empty resolv.conf: a lookup must fail at once (traps 30)."""
    linux.mount("none", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
    if pid_1:
        linux.mount("proc", "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
    options = f"size={spec.shm_mib}m,mode=1777"
    linux.mount("shm", "/dev/shm", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, options)  # noqa: S108  the node's own
    names = {"localhost": "127.0.0.1", **spec.hosts}
    if spec.host_name:
        names.setdefault(spec.host_name, spec.address)
    hosts = "".join(f"{address}\t{name}\n" for name, address in names.items())
    with tempfile.TemporaryDirectory(prefix="tutti-node-") as folder:
        for target, text in (("hosts", hosts), ("hostname", f"{spec.host_name}\n"), ("resolv.conf", "")):
            if not Path("/etc", target).exists():
                continue
            source = Path(folder, target)
            source.write_text(text, encoding="utf-8")
            source.chmod(0o644)
            linux.mount(str(source), str(Path("/etc", target).resolve()), flags=linux.MS_BIND)


def _limit(spec: NodeSpec) -> None:
    if spec.cpus:
        os.sched_setaffinity(0, spec.cpus)
    for what, wanted in ((resource.RLIMIT_NOFILE, spec.open_files), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(what)[1]
        resource.setrlimit(what, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
    for what in (resource.RLIMIT_STACK, resource.RLIMIT_MEMLOCK):
        hard = resource.getrlimit(what)[1]
        resource.setrlimit(what, (hard, hard))


def _default_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
