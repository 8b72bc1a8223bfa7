"""Where the client keeps its own files: cards of clusters and the twin's home, below TUTTI_HOME (default ~/.tutti).

clusters/NAME.json   a cluster card; mode 0600, for a twin's holds keys
current              the name of the card in use
twin/                the twin's home: database, logs, objects, shared folder
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Home:
    root: Path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Home:
        return cls(root=Path(environ.get("TUTTI_HOME") or Path("~/.tutti").expanduser()))

    @property
    def clusters(self) -> Path:
        return self.root / "clusters"

    @property
    def current(self) -> Path:
        return self.root / "current"

    @property
    def twin(self) -> Path:
        return self.root / "twin"

    def card(self, name: str) -> Path:
        return self.clusters / f"{name}.json"


def write_private(path: Path, text: str) -> None:
    """Write `text` to `path` at once or not at all, readable by its owner alone (mode 0600, folders 0700)."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
