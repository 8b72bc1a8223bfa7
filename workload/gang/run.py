"""One node from its environment to its exit code: puts the parts together."""

from __future__ import annotations

import contextlib
import functools
import os
import pwd
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from workload import contract
from workload.contract import ExitCode, Variable
from workload.gang.installed import LaunchError, find_mpi
from workload.gang.keys import GangKeys
from workload.gang.log import Log, trace
from workload.gang.loop import Loop
from workload.gang.member import LEAVE_S, Job, Member, started
from workload.gang.processes import kill_descendants
from workload.gang.roster import PROTOCOL, Roster
from workload.gang.watch import Watch
from workload.gang.wire import RosterWire, WireError
from workload.node import Node, NodeError
from workload.settings import Settings, SettingsError

# Of the path of a scratch folder that pipes and sockets may lie below: a socket's name has 107 bytes at most (unix(7)).
LONGEST_SCRATCH: Final = 60

if TYPE_CHECKING:
    from workload.gang.main import Main


def run(argv: Sequence[str], environ: Mapping[str, str], secret: bytes | None) -> int:
    """Be the node that `environ` describes, and run `argv` on the gang. Returns this node's exit code."""
    # Open MPI 5 does nothing at all without one. Container engines give one to every user that they know; else as here.
    if not environ.get("HOME"):
        environ = {**environ, "HOME": _home()}
    index = environ.get(contract.BatchVariable.NODE_INDEX, "0")
    log = Log(int(index) if index.isdigit() else 0)
    try:
        job = _job(argv, environ, secret)
    except (NodeError, SettingsError, LaunchError) as error:
        for problem in getattr(error, "problems", [str(error)]):
            log.says(problem)
        return ExitCode.SETTINGS
    started(job.node, log, job.versions)
    try:
        return _live(job, log)
    except Exception:
        log.says(f"Tutti itself failed; please report this:\n{trace()}")
        raise
    finally:
        kill_descendants(os.getpid(), within_s=LEAVE_S)
        shutil.rmtree(job.run_folder, ignore_errors=True)


def _home() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return "/"


def _job(argv: Sequence[str], environ: Mapping[str, str], secret: bytes | None) -> Job:
    node = Node.from_environment(environ)
    settings = Settings.from_environment(environ)
    if not secret:
        if node.count > 1:
            raise NodeError([f"{Variable.SECRET} is not set: a gang of {node.count} nodes needs the stack's secret"])
        secret = os.urandom(32)  # a gang of one: nobody else may join
    installation = find_mpi(settings.mpi, environ, argv)
    versions = {"tutti": contract.VERSION, "protocol": str(PROTOCOL)}
    if installation:
        versions[installation.mpi.value] = installation.version
    return Job(
        node=node,
        settings=settings,
        argv=tuple(argv),
        environ=environ,
        keys=GangKeys(secret=secret, job_id=node.job_id, attempt=node.attempt),
        installation=installation,
        versions=versions,
        run_folder=_run_folder(environ.get("TMPDIR", "")),
        port=node.port,
    )


def _run_folder(scratch: str) -> Path:
    """Below the scratch folder, which goes with the job however it ends; where that is full or its path long, /tmp."""
    if scratch and len(scratch) <= LONGEST_SCRATCH:
        with contextlib.suppress(OSError):
            return _new_folder(scratch)
    return _new_folder("/tmp")  # noqa: S108  its name is new and nobody else may enter it


def _new_folder(where: str) -> Path:
    """A folder of this user's alone. By hand: `tempfile` costs every node another 3 ms."""
    folder = Path(where) / f"tutti-{os.urandom(8).hex()}"
    folder.mkdir(mode=0o700)
    return folder


def _live(job: Job, log: Log) -> int:
    codes: list[int] = []
    with Loop() as loop:

        def ended(code: int) -> None:
            # Batch stops what is left when main has gone: that must not take the code of one that is leaving.
            signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
            codes.append(code)
            loop.stop()

        if not job.node.is_main:
            member = Member(loop, job, log, on_end=ended)
            loop.run()
            member.close()
            return codes[0]
        # What main alone needs: most nodes are children, and a node waits for its imports.
        from workload.gang.main import Main  # noqa: PLC0415
        from workload.gang.reception import Reception  # noqa: PLC0415

        roster = Roster(count=job.node.count, main_index=job.node.index, versions=job.versions)
        watch = Watch(silence_s=job.node.silence_s, hang_after_s=job.settings.hang_after)
        try:
            reception = Reception(loop, log, roster, watch, _wire(loop, job))
        except WireError as error:
            log.says(str(error))
            return ExitCode.SETTINGS
        lead: list[Main] = []
        # Made before main: its first message needs a round of the loop.
        member = Member(loop, job.but(port=reception.port), log, on_end=lambda code: _left(lead, code))
        lead.append(Main(loop, job, log, member, reception, on_end=ended))
        loop.run()
        member.close()
        reception.close()
    return codes[0]


def _left(lead: Sequence[Main], code: int) -> None:
    lead[0].member_left(code)


def _wire(loop: Loop, job: Job) -> functools.partial[RosterWire]:
    node = job.node
    return functools.partial(
        RosterWire,
        loop,
        address=node.address,
        port=node.port,
        keys=job.keys.roster(),
        members={job.keys.member(index).public: index for index in range(node.count)},
    )
