"""Talking to S3: the client, what is worth another attempt, what is there."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, cast

from workload.staging.crew import Damaged, Failed, Limits, Meter
from workload.staging.places import S3Place

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

T = TypeVar("T")
CONNECT_S: Final = 10
READ_S: Final = 60  # of silence on one socket
POOL: Final = 32  # connections: more than any crew has threads
TRANSIENT_CODES: Final = frozenset(
    {"RequestTimeout", "SlowDown", "Throttling", "ThrottlingException", "InternalError", "BadDigest", "IncompleteBody"}
)


def connect(*, read_s: float = READ_S) -> "S3Client":
    """Make an S3 client from the environment. Imports boto3: called only when there is something to move.

    The client never tries again by itself: attempts are counted, and waited for, in one place, `persist`.
    """
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    config = Config(
        connect_timeout=CONNECT_S,
        read_timeout=read_s,
        retries={"total_max_attempts": 1},
        max_pool_connections=POOL,
        tcp_keepalive=True,
        # Every part goes with its Content-MD5, and what arrives is checked by us.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.client("s3", config=config)


class Lazy:
    """An S3 client that is made when it is first asked for, and closed at the end of a `with`."""

    def __init__(self, make: "Callable[[], S3Client]") -> None:
        self._make = make
        self._client: S3Client | None = None

    def __call__(self) -> "S3Client":
        if self._client is None:
            self._client = self._make()
        return self._client

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._client is not None:
            self._client.close()


def is_transient(error: Exception) -> bool:
    """Whether the same request may succeed a moment later."""
    from botocore import exceptions  # noqa: PLC0415
    from botocore.parsers import ResponseParserError  # noqa: PLC0415

    if isinstance(error, exceptions.ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = error.response.get("Error", {}).get("Code", "")
        slow = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
        return status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in slow or code in TRANSIENT_CODES
    return isinstance(
        error,
        exceptions.HTTPClientError  # connection refused, cut or silent; name not found; TLS
        | exceptions.IncompleteReadError
        | exceptions.CredentialRetrievalError  # the node's credential endpoint was busy
        | exceptions.MetadataRetrievalError
        | ResponseParserError
        | Damaged
        | TimeoutError
        | ConnectionError,
    )


def status_of(error: Exception) -> int:
    """The HTTP status of an answer that botocore turned into `error`; 0 where there was none."""
    # Errors of the connection have the attribute too, as None.
    response: dict[str, Any] = getattr(error, "response", None) or {}
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def reason(error: Exception, what: str) -> str:
    """What to tell a user of a request that failed for good."""
    if "InvalidObjectState" in str(error):  # S3's code, in every ClientError's text
        return f"{what}: the object is archived (Glacier); restore it first: aws s3api restore-object"
    match status_of(error):
        case HTTPStatus.FORBIDDEN:
            return f"{what}: access denied; the job role may not do this, or the bucket's policy forbids it"
        case HTTPStatus.NOT_FOUND:
            return f"{what}: there is no such object or bucket"
        case HTTPStatus.PRECONDITION_FAILED:
            return f"{what}: the object changed while it was being read; submit the job again when it is complete"
        case _:
            return f"{what}: {type(error).__name__}: {error}"


def persist(call: Callable[[], T], what: str, limits: Limits, meter: Meter) -> T:
    """`call` until it succeeds, with exponential back-off and jitter between attempts.

    Raises
    ------
    Failed
        With `what` and the reason: S3's answer will not change, `limits.attempts` are used up, or nothing has moved
        for `limits.stall_s`.
    Stopped
        If the transfer ended meanwhile.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  see `connect`

    for attempt in range(1, limits.attempts):
        try:
            return call()
        except Exception as error:
            if not is_transient(error):
                if isinstance(error, BotoCoreError | ClientError):
                    raise Failed(reason(error, what)) from error
                raise
            if time.monotonic() - meter.last_moved > limits.stall_s:
                raise Failed(f"{reason(error, what)} (nothing moved for {limits.stall_s:g} s)") from error
        longest = min(limits.backoff_cap_s, limits.backoff_s * 2 ** (attempt - 1))
        meter.nap(longest * random.uniform(0.5, 1))  # noqa: S311  jitter, no secret
    try:
        return call()
    except (BotoCoreError, ClientError, Damaged, TimeoutError, ConnectionError) as error:
        raise Failed(f"{reason(error, what)} ({limits.attempts} attempts)") from error


def whole(answer: T, *keys: str) -> T:
    """`answer`, if it has these keys. botocore takes a body that was cut at its start for an empty document.

    Raises
    ------
    Damaged
        If a key is missing.
    """
    if missing := [key for key in keys if key not in cast("dict[str, Any]", answer)]:
        raise Damaged(f"S3's answer is not whole: it has no {', '.join(missing)}")
    return answer


@dataclass(frozen=True, kw_only=True)
class S3Object:
    """An object as S3 describes it. `etag` without its quotes."""

    bucket: str
    key: str
    size: int
    etag: str
    modified: datetime

    @property
    def modified_ns(self) -> int:
        """`modified` in nanoseconds since 1970, to the second: a listing and a HEAD differ in what follows."""
        return int(self.modified.timestamp()) * 1_000_000_000

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def find_objects(client: "S3Client", place: S3Place, limits: Limits, meter: Meter) -> list[S3Object]:
    """What `place` names: one object, or all below a prefix. A name without a slash may be either; the object wins.

    Raises
    ------
    Failed
        If there is nothing, or it may not be read.
    """
    found = [] if place.is_prefix else _head(client, place, limits, meter)
    prefix = place.key if place.is_prefix else f"{place.key}/"
    found = found or _below(client, place.bucket, prefix, limits, meter)
    if not found:
        raise Failed(f"{place}: nothing is there: no such object, and none whose key starts with {prefix!r}")
    return found


def _head(client: "S3Client", place: S3Place, limits: Limits, meter: Meter) -> list[S3Object]:
    def call() -> list[S3Object]:
        try:
            head = client.head_object(Bucket=place.bucket, Key=place.key)
        except client.exceptions.ClientError as error:
            if status_of(error) == HTTPStatus.NOT_FOUND:
                return []
            raise
        return [
            S3Object(
                bucket=place.bucket,
                key=place.key,
                size=head["ContentLength"],
                etag=head["ETag"].strip('"'),
                modified=head["LastModified"],
            )
        ]

    return persist(call, str(place), limits, meter)


def _below(client: "S3Client", bucket: str, prefix: str, limits: Limits, meter: Meter) -> list[S3Object]:
    found: list[S3Object] = []
    token: dict[str, Any] = {}
    while True:
        page = persist(
            lambda token=token: whole(client.list_objects_v2(Bucket=bucket, Prefix=prefix, **token), "IsTruncated"),  # type: ignore[misc]  # a default of a lambda
            f"s3://{bucket}/{prefix}",
            limits,
            meter,
        )
        found += [
            S3Object(
                bucket=bucket,
                key=one["Key"],
                size=one["Size"],
                etag=one["ETag"].strip('"'),
                modified=one["LastModified"],
            )
            for one in page.get("Contents", [])
        ]
        if not page["IsTruncated"]:
            return found
        token = {"ContinuationToken": page["NextContinuationToken"]}
