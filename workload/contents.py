"""What an input of a run held: how much, a digest of it all, its first names. The desk looks at S3, the node at both.

Standard library only. A run capsule keeps it, so that a rerun can say what has changed since.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

RUNS: Final = "runs/"  # below the group's prefix: run capsules, and what runs say of their start
MOST_LISTED: Final = 10_000  # files of an input that are looked at: ten calls of S3
MOST_KEPT: Final = 1000  # of them are kept by name; of the others a digest, the count and the bytes
UNKNOWN: Final = {"known": False}

File = tuple[str, int, str]  # name, bytes, and what changes with the content: an ETag, or size and time


def start_record(job_id: str) -> str:
    """The name below RUNS of what a run says of its start."""
    return f"{job_id}.start.json"


def contents(found: Sequence[File], *, names: bool = True) -> dict[str, Any]:
    """What of an input is kept. `found`: its files in order of name, of which the first MOST_LISTED count.

    `names`: False where `found` is cut and not in order: then no file of it can be said to be the first.
    """
    listed = found[:MOST_LISTED]
    marks = {name: mark for name, _, mark in listed}
    return {
        "known": True,
        "all": len(found) <= MOST_LISTED,
        "count": len(listed),
        "bytes": sum(size for _, size, _ in listed),
        "digest": hashlib.sha256(json.dumps(marks, sort_keys=True).encode()).hexdigest(),
        "objects": dict(islice(marks.items(), MOST_KEPT)) if names else {},
    }
