"""Errors as AWS's JSON services answer them."""

from __future__ import annotations


class ApiError(Exception):
    """`code` is the exception's name in the service's API, `status` the HTTP status."""

    def __init__(self, message: str, *, code: str = "ClientException", status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
