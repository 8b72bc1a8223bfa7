"""Whether Batch starts another attempt after one that failed (B6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CONDITIONS = ("onExitCode", "onReason", "onStatusReason")


def matches(pattern: str, text: str) -> bool:
    """Batch's glob: equal, or, where it ends in `*`, the same start. No other character is special."""
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern


def is_retried(
    retry: Mapping[str, Any], *, attempt: int, exit_code: int | None, reason: str, status_reason: str
) -> bool:
    """Whether attempt number `attempt` (from 1), which failed like this, is followed by another.

    The conditions of `evaluateOnExit` are read in order, and the first of which all parts match decides; what matches
    none is retried.
    """
    if attempt >= int(retry.get("attempts", 1)):
        return False
    texts = {
        "onExitCode": "" if exit_code is None else str(exit_code),
        "onReason": reason,
        "onStatusReason": status_reason,
    }
    for condition in retry.get("evaluateOnExit", ()):
        if all(matches(condition[name], texts[name]) for name in CONDITIONS if name in condition):
            return str(condition["action"]).upper() == "RETRY"
    return True
