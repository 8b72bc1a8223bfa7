"""What survives the twin: jobs, resources and a few facts, in one SQLite file."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from tutti.twin.jobs import Job, JobSpec

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS spec (id TEXT PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS job (id TEXT PRIMARY KEY, spec TEXT NOT NULL, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS resource (arn TEXT PRIMARY KEY, kind TEXT NOT NULL, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class Store:
    """Every method is one transaction and may be called from any thread."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False)
        path.chmod(0o600)
        self._db.execute("PRAGMA journal_mode=WAL")
        # A killed twin loses nothing so; a killed machine may lose the last moments, and then all nodes are gone too.
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def save_jobs(self, jobs: Iterable[Job]) -> None:
        """Keep jobs as they are now; the children of an array share their parent's spec."""
        jobs = list(jobs)
        specs = {spec_id(job): job.spec for job in jobs}
        with self._lock, self._db:
            self._db.executemany(
                "INSERT OR IGNORE INTO spec VALUES (?, ?)",
                [(key, json.dumps(spec.to_json())) for key, spec in specs.items() if not self._has_spec(key)],
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO job VALUES (?, ?, ?)",
                [(job.id, spec_id(job), json.dumps(job.to_json())) for job in jobs],
            )

    def replace_spec(self, job: Job) -> None:
        """Keep a spec that changed after all: its tags did."""
        with self._lock, self._db:
            text = json.dumps(job.spec.to_json())
            self._db.execute("INSERT OR REPLACE INTO spec VALUES (?, ?)", (spec_id(job), text))

    def jobs(self) -> list[Job]:
        with self._lock:
            specs = {key: JobSpec.from_json(json.loads(text)) for key, text in self._db.execute("SELECT * FROM spec")}
            rows = self._db.execute("SELECT spec, document FROM job").fetchall()
        return [Job.from_json(json.loads(text), specs[spec]) for spec, text in rows]

    def save_resource(self, kind: str, arn: str, document: Mapping[str, Any]) -> None:
        with self._lock, self._db:
            self._db.execute("INSERT OR REPLACE INTO resource VALUES (?, ?, ?)", (arn, kind, json.dumps(document)))

    def remove_resource(self, arn: str) -> None:
        with self._lock, self._db:
            self._db.execute("DELETE FROM resource WHERE arn = ?", (arn,))

    def resources(self, kind: str) -> list[dict[str, Any]]:
        """In the order in which they were made."""
        with self._lock:
            rows = self._db.execute("SELECT document FROM resource WHERE kind = ? ORDER BY rowid", (kind,))
            return [json.loads(text) for (text,) in rows]

    def fact(self, name: str) -> str | None:
        with self._lock:
            row = self._db.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def save_fact(self, name: str, value: str) -> None:
        with self._lock, self._db:
            self._db.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (name, value))

    def _has_spec(self, key: str) -> bool:
        return self._db.execute("SELECT 1 FROM spec WHERE id = ?", (key,)).fetchone() is not None


def spec_id(job: Job) -> str:
    return job.parent or job.id
