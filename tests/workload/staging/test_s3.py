"""What is tried again, and what a user is told."""

import threading
import time
from dataclasses import replace

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, CredentialRetrievalError, NoCredentialsError

from workload import staging
from workload.staging.crew import Damaged, Failed, Meter, Stopped
from workload.staging.s3 import is_transient, persist, reason


def answer(status: int, code: str) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "injected"}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]  # the rest is not looked at
        "GetObject",
    )


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (answer(500, "InternalError"), True),
        (answer(503, "SlowDown"), True),
        (answer(429, "TooManyRequests"), True),
        (answer(400, "RequestTimeout"), True),
        (answer(400, "BadDigest"), True),
        (answer(200, "InternalError"), True),
        (answer(403, "AccessDenied"), False),
        (answer(404, "NoSuchKey"), False),
        (answer(412, "PreconditionFailed"), False),
        (ConnectionClosedError(endpoint_url="x"), True),
        (CredentialRetrievalError(provider="container-role", error_msg="busy"), True),
        (NoCredentialsError(), False),
        (Damaged("x"), True),
        (ConnectionResetError(), True),
        (OSError(28, "No space left on device"), False),
        (Stopped(), False),
    ],
    ids=str,
)
def test_only_what_may_pass_is_tried_again(error: Exception, transient: bool) -> None:
    assert is_transient(error) is transient


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (answer(403, "AccessDenied"), "access denied"),
        (answer(403, "InvalidObjectState"), "archived"),
        (answer(404, "NoSuchKey"), "no such object or bucket"),
        (answer(412, "PreconditionFailed"), "changed while it was being read"),
        (NoCredentialsError(), "Unable to locate credentials"),
        (ConnectionClosedError(endpoint_url="x"), "ConnectionClosedError"),
    ],
    ids=str,
)
def test_a_user_is_told_what_and_why(error: Exception, said: str) -> None:
    assert reason(error, "s3://bucket/x").startswith("s3://bucket/x: ")
    assert said in reason(error, "s3://bucket/x")


def test_attempts_end_with_the_last_reason_and_their_number(hasty: staging.Limits) -> None:
    calls = []

    def call() -> None:
        calls.append(1)
        raise answer(503, "SlowDown")

    with pytest.raises(Failed, match=r"^x: .*SlowDown.* \(4 attempts\)$"):
        persist(call, "x", hasty, Meter())
    assert len(calls) == hasty.attempts


def test_waiting_for_another_attempt_ends_when_staging_does(hasty: staging.Limits) -> None:
    meter = Meter()
    tried = threading.Event()

    def call() -> None:
        tried.set()
        raise answer(503, "SlowDown")

    def stop() -> None:
        tried.wait(10)
        meter.stop()

    threading.Thread(target=stop).start()
    started = time.monotonic()
    with pytest.raises(Stopped):
        persist(call, "x", replace(hasty, backoff_s=60, backoff_cap_s=60), meter)
    assert time.monotonic() - started < 20
