"""What a refusal of AWS's means for who asked. Pure."""

from __future__ import annotations

from typing import Final

THROTTLED: Final = frozenset({"TooManyRequestsException", "ThrottlingException", "Throttling", "RequestLimitExceeded"})
# A conditional write that somebody else was quicker than: changed, being changed, or gone.
OVERTAKEN: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"})
_CALLERS_FAULT: Final = range(400, 500)


def final(code: str, status: int) -> bool:
    """Whether the same request would be refused again: it is wrong or not allowed, and AWS was not merely busy."""
    return status in _CALLERS_FAULT and code not in THROTTLED
