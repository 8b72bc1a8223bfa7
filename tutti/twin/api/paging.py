"""Pages and their tokens: an opaque token stands for the place where the next page starts."""

from __future__ import annotations

import base64
from typing import Any

from tutti.twin.api.errors import ApiError


def token(start: int) -> str:
    return base64.urlsafe_b64encode(str(start).encode()).decode()


def start_of(given: str | None, *, code: str = "ClientException") -> int:
    """Where the page of a token starts; 0 without one.

    Raises
    ------
    ApiError
        It is none that was given out.

    """
    try:
        return int(base64.urlsafe_b64decode(given)) if given else 0
    except ValueError:
        raise ApiError("The specified nextToken is invalid.", code=code) from None


def paged(name: str, rows: list[Any], start: int, page: int) -> dict[str, Any]:
    """The rows of one page under `name`, with a token where more follow."""
    result: dict[str, Any] = {name: rows[start : start + page]}
    if start + page < len(rows):
        result["nextToken"] = token(start + page)
    return result
