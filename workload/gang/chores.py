"""Slow work that must not hold the heartbeat up: staging and secrets, one thread at a time."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from workload.contract import ExitCode
from workload.gang import preflight
from workload.gang.log import Log, trace
from workload.gang.loop import Loop
from workload.settings import InputTo

if TYPE_CHECKING:
    from workload import staging
    from workload.gang.member import Job

SAY_EVERY_S: Final = 10.0
MIB: Final = 1 << 20

Reply = dict[str, Any]  # bytes, files, problem, code


class Chores:
    """A node's folder, its inputs, outputs and secrets."""

    def __init__(self, loop: Loop, job: Job, log: Log) -> None:
        self._loop = loop
        self._job = job
        self._log = log
        self._cancelled = threading.Event()
        self._said = 0.0
        self.secrets: Mapping[str, str] = {}

    @property
    def folder(self) -> Path:
        return self._job.node.job_folder

    def cancel(self) -> None:
        """The gang ends: what moves stops at its next step."""
        self._cancelled.set()

    def clean_up(self) -> None:
        """Remove the job's folder: the next job on this instance needs the room."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def read_mark(self, shared: Path, mark: Mapping[str, str], reply: Callable[[Reply], None]) -> None:
        """See whether this node's shared folder is the one that main has marked. A file system may hang."""

        def look() -> Reply:
            return {"problem": preflight.read_mark(shared, mark["name"], mark["token"])}

        self._in_thread(look, reply)

    def stage(self, reply: Callable[[Reply], None]) -> None:
        """Make the job's folder, fetch secrets and inputs."""
        settings = self._job.settings
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            (self.folder / "output").mkdir(exist_ok=True)
            if not settings.inputs:
                (self.folder / "input").mkdir(exist_ok=True)
        except OSError as error:
            reply({"bytes": 0, "problem": f"cannot make the job's folder: {error}", "code": ExitCode.STAGING})
            return
        if not settings.inputs and not settings.secrets and not self._record_to:
            reply({"bytes": 0})
        else:
            self._in_thread(partial(_staging, self._fetch), reply)

    def upload(self, reply: Callable[[Reply], None]) -> None:
        """Move this node's outputs to where the job wants them."""
        if self._job.settings.outputs:
            self._in_thread(partial(_staging, self._store), reply)
        else:
            reply({"bytes": 0})

    def _fetch(self) -> Reply:
        from workload import job_secrets, staging  # noqa: PLC0415  see _staging

        settings, node = self._job.settings, self._job.node
        if settings.secrets:
            try:
                self.secrets = job_secrets.fetch(settings.secrets)
            except job_secrets.SecretError as error:
                return {"bytes": 0, "problem": str(error), "code": ExitCode.SETTINGS}
        seen = self._record if self._record_to else None
        if not settings.inputs:
            (self.folder / "input").mkdir(exist_ok=True)
            if seen:
                seen({})
            return {"bytes": 0}
        if settings.input_to is InputTo.NODE:
            moved = staging.stage_to_node(
                settings.inputs, into=self.folder / "input", shared=node.shared, progress=self._moving, seen=seen
            )
            return self._moved(moved)
        if node.shared is None:
            raise staging.StagingError(["input_to: shared, and this pool has no shared folder"])
        view = node.shared / "work" / node.job_name / "input"
        reply: Reply = {"bytes": 0}
        if node.is_main:
            reply = self._moved(
                staging.stage_to_shared(
                    settings.inputs, view=view, shared=node.shared, progress=self._moving, seen=seen
                )
            )
        (self.folder / "input").symlink_to(view, target_is_directory=True)
        return reply

    @property
    def _record_to(self) -> str:
        """The object that is to say what this run's inputs held; empty where this node has none to write.

        The elements of an array have the same inputs: the first one writes for all.
        """
        node, folder = self._job.node, self._job.settings.record
        job, _, element = node.job_id.partition(":")
        if not folder or not node.is_main or element not in {"", "0"}:
            return ""
        from workload.contents import start_record  # noqa: PLC0415  most jobs have no record

        return f"{folder}{start_record(job)}"

    def _record(self, contents: Mapping[str, Any]) -> None:
        """Write what the inputs hold. A run goes on without: its rerun will know less."""
        from workload import staging  # noqa: PLC0415  see _staging

        node = self._job.node
        schedule = self._job.settings.schedule
        document = {"attempt": node.attempt, "at": time.time(), "schedule": schedule, "inputs": dict(contents)}
        if problem := staging.write_record(self._record_to, document):
            self._loop.soon(lambda: self._log.says(f"what the inputs hold was not kept for a rerun: {problem}"))

    def _store(self) -> Reply:
        from workload import staging  # noqa: PLC0415  see _staging

        node = self._job.node
        rescue = node.shared / "output" / node.job_name / f"node-{node.index}" if node.shared else None
        moved = staging.upload_outputs(
            self._job.settings.outputs,
            folder=self.folder / "output",
            node=node.index,
            shared=node.shared,
            rescue=rescue,
            progress=self._moving,
        )
        return self._moved(moved)

    def _moved(self, moved: staging.Moved) -> Reply:
        for note in moved.notes:
            self._log.says(note)
        return {"bytes": moved.bytes, "files": moved.files}

    def _moving(self, moved: staging.Moved) -> None:
        if self._cancelled.is_set():
            raise InterruptedError("the gang ends")
        now = time.monotonic()
        if now - self._said >= SAY_EVERY_S and moved.bytes < moved.of_bytes:
            self._said = now
            size = f"{moved.bytes / MIB:.0f} of {moved.of_bytes / MIB:.0f} MiB"
            text = f"moved {size}, {moved.files} of {moved.of_files} files"
            self._loop.soon(lambda: self._log.says(text))

    def _in_thread(self, work: Callable[[], Reply], reply: Callable[[Reply], None]) -> None:
        def run() -> None:
            try:
                done = work()
            except InterruptedError:
                return
            except Exception as error:  # noqa: BLE001  whatever it is, the job must hear of it
                text = trace()
                self._loop.soon(lambda: self._log.says(text))
                done = {"bytes": 0, "problem": f"{type(error).__name__}: {error}", "code": ExitCode.STAGING}
            self._loop.soon(lambda: reply(done))

        self._said = time.monotonic()
        threading.Thread(target=run, name="chores", daemon=True).start()


def _staging(work: Callable[[], Reply]) -> Reply:
    from workload import staging  # noqa: PLC0415  a job that moves nothing must not pay for it

    try:
        return work()
    except staging.StagingError as error:
        return {"bytes": 0, "problem": str(error), "code": ExitCode.STAGING}
