"""Tutti at the desk: `from tutti import Cluster, Job`. Names load when they are first used."""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers know it: `typing` takes longer to import than anything else here
if TYPE_CHECKING:
    from tutti.cluster import Cluster
    from tutti.errors import TuttiError
    from tutti.job import Job
    from tutti.run import Run

__all__ = ["Cluster", "Job", "Run", "TuttiError"]

_HOMES = {"Cluster": "tutti.cluster", "Job": "tutti.job", "Run": "tutti.run", "TuttiError": "tutti.errors"}


def __getattr__(name: str) -> object:
    """Load a public name's module on first use: `tutti --help` must not pay for boto3 and pydantic."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tutti' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415  the same

    return getattr(import_module(_HOMES[name]), name)
