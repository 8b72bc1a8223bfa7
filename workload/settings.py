"""What a job tells its nodes: one table of settings, written as TUTTI_* variables and read back.

The client writes them into the submission, the node reads them once. Standard library only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final, Self

from workload.contract import Mpi
from workload.record import Record

AUTO: Final = "auto"  # of `mpi`: the one whose mpiexec the image has, by the program's own linkage where it has several
NONE: Final = "none"  # of `mpi`: no mpiexec; the program runs once on each node
JOB_ID_MARK: Final = "%j"  # in `workdir`: the job's id
CORES: Final = "cores"  # what a user writes for `ranks_per_node=None`


class InputTo(StrEnum):
    NODE = "node"  # each node its own copy, in its scratch
    SHARED = "shared"  # once for the gang, on the shared folder, kept between jobs


class SettingsError(ValueError):
    """Settings that no job can run with: every problem at once."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Settings(Record):
    """One job's settings. Times are in seconds."""

    mpi: str = AUTO  # auto, none, or a name of contract.Mpi
    ranks_per_node: int | None = None  # None: one a physical core
    threads: int | None = None  # None: cores / ranks_per_node
    oversubscribe: bool = False  # more ranks x threads than cores, by word alone
    inputs: tuple[str, ...] = ()  # S3 objects or prefixes (s3://...), or shared:PATH
    input_to: InputTo = InputTo.NODE
    outputs: tuple[str, ...] = ()  # S3 prefixes, or shared:PATH; each gets the whole of output/
    secrets: Mapping[str, str] | None = None  # variable -> ARN, fetched by the node with the job role
    timeout: int = 3600  # the job's, as Batch counts it
    join_timeout: int = 1200  # never more than 0.3 x timeout
    grace: int = 25  # from SIGTERM to SIGKILL
    signal_before: int = 0  # SIGTERM to the ranks this long before the timeout; 0: not
    hang_after: int = 0  # no progress for this long ends the job; 0: off until the program reports progress
    preflight: bool = True
    metrics: bool = True  # progress as CloudWatch embedded metrics
    checkpoint: str = ""  # where the program keeps its checkpoints: s3://... or shared:...
    record: str = ""  # s3://BUCKET/PREFIX/: main says there what the inputs held, where the desk could not know
    schedule: str = ""  # that submitted this job
    workdir: str = ""  # where the ranks run: from the job's own folder, absolute, or shared:PATH; JOB_ID_MARK: its id

    @property
    def join_deadline(self) -> float:
        """Seconds for all nodes to join: `join_timeout`, at most 0.3 of the job's timeout (DESIGN section 4)."""
        return min(self.join_timeout, 0.3 * self.timeout)

    def problems(self) -> list[str]:
        """What is wrong with these settings, in plain words; empty where nothing is."""
        found = []
        known = [AUTO, NONE, *Mpi]
        if self.mpi not in known:
            found.append(f"mpi: got {self.mpi!r}; allowed: {', '.join(known)}")
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and not least <= value < math.inf:
                found.append(f"{name}: got {value}; allowed: {least} or more")
        found += [
            f"{name}: got {uri!r}; allowed: s3://BUCKET/KEY or shared:PATH"
            for name in ("inputs", "outputs")
            for uri in getattr(self, name)
            if not uri.startswith(("s3://", "shared:"))
        ]
        if self.record and not (self.record.startswith("s3://") and self.record.endswith("/")):
            found.append(f"record: got {self.record!r}; allowed: s3://BUCKET/PREFIX/")
        if self.signal_before >= self.timeout:
            found.append(f"signal_before: got {self.signal_before} s; allowed: less than the timeout, {self.timeout} s")
        return found

    def to_environment(self) -> dict[str, str]:
        """The variables that say these settings: those alone that differ from the defaults."""
        return {
            variable(name): _written(value)
            for name, value in vars(self).items()
            if value != getattr(type(self), name)  # the default
        }

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings from a node's environment.

        Raises
        ------
        SettingsError
            Values that cannot be read or are not allowed, all of them.
        """
        values: dict[str, Any] = {}
        unread = []
        for name in cls.FIELDS:
            text = environ.get(variable(name))
            if text is None:
                continue
            try:
                values[name] = _READ[name](text)
            except ValueError:
                unread.append(f"{variable(name)}: cannot read {text!r}")
        settings = cls(**values)
        if problems := unread + settings.problems():
            raise SettingsError(problems)
        return settings


def variable(name: str) -> str:
    """The variable of a setting: `join_timeout` -> `TUTTI_JOIN_TIMEOUT`; what holds lists or maps is JSON."""
    return f"TUTTI_{name.upper()}"


def _written(value: object) -> str:
    match value:
        case bool():
            return "1" if value else "0"
        case tuple() | Mapping():
            return json.dumps(value if isinstance(value, Mapping) else list(value), separators=(",", ":"))
        case None:
            return ""
        case _:
            return str(value)


def _optional_int(text: str) -> int | None:
    return int(text) if text else None


def _boolean(text: str) -> bool:
    if text not in {"0", "1"}:
        raise ValueError(text)
    return text == "1"


def _strings(text: str) -> tuple[str, ...]:
    value = json.loads(text)
    if not isinstance(value, list) or not all(isinstance(x, str) for x in value):
        raise ValueError(text)
    return tuple(value)


def _string_map(text: str) -> dict[str, str]:
    value = json.loads(text)
    if not isinstance(value, dict) or not all(isinstance(x, str) for x in value.values()):
        raise ValueError(text)
    return value


_READ: Final[Mapping[str, Callable[[str], Any]]] = {
    "mpi": str,
    "ranks_per_node": _optional_int,
    "threads": _optional_int,
    "oversubscribe": _boolean,
    "inputs": _strings,
    "input_to": InputTo,
    "outputs": _strings,
    "secrets": _string_map,
    "timeout": int,
    "join_timeout": int,
    "grace": int,
    "signal_before": int,
    "hang_after": int,
    "preflight": _boolean,
    "metrics": _boolean,
    "checkpoint": str,
    "workdir": str,
    "record": str,
    "schedule": str,
}
_LEAST: Final[Mapping[str, int]] = {
    "ranks_per_node": 1,
    "threads": 1,
    "timeout": 60,
    "join_timeout": 1,
    "grace": 0,
    "signal_before": 0,
    "hang_after": 0,
}
