"""AWS's refusals in words: which permission on what, which credentials, which endpoint; and the exit code of each."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, NoRegionError

from tutti.aws import ExpiredError, in_words, told
from tutti.errors import Exit, ServiceError

DENIED = (
    "User: arn:aws:sts::123456789012:assumed-role/r/ann is not authorized to perform: batch:SubmitJob on resource: "
    "arn:aws:batch:eu-central-1:123456789012:job-queue/lab-high because no identity-based policy allows it"
)


def refused(code: str, message: str = "no", operation: str = "SubmitJob") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


@pytest.mark.parametrize(
    ("error", "words", "code"),
    [
        (refused("AccessDeniedException", DENIED), "batch:SubmitJob on arn:aws:batch:eu-central-1:123456789012:job-queue/lab-high", 4),
        (refused("AccessDenied", "Access Denied", "PutObject"), "not allowed to do PutObject", 4),
        (refused("AccessDenied", 'X is not authorized to perform: s3:PutObject on resource: "arn:aws:s3:::lab/x" because'), "do s3:PutObject on arn:aws:s3:::lab/x.", 4),
        (refused("ExpiredTokenException"), "have expired. Log in again", 4),
        (refused("UnrecognizedClientException"), "does not accept these credentials", 4),
        (refused("403", "Forbidden", "HeadObject"), "not allowed to do HeadObject, and S3 does not say why", 4),
        (refused("SignatureDoesNotMatch", "Signature expired: 1 is now earlier than 2"), "this machine's clock is wrong", 4),
        (refused("ParameterNotFound", "gone", "GetParameter"), "GetParameter: gone", 3),
        (refused("ClientException", "Job queue is DISABLED"), "AWS refused SubmitJob: Job queue is DISABLED", 6),
        (NoCredentialsError(), "no AWS credentials found", 4),
        (NoRegionError(), "no AWS region is set", 4),
        (EndpointConnectionError(endpoint_url="http://127.0.0.1:9"), "tutti twin up", 5),
        (EndpointConnectionError(endpoint_url="https://batch.eu-north-1.amazonaws.com"), "no answer from https://batch.eu-north-1", 5),
    ],
)  # fmt: skip
def test_a_refusal_says_what_to_do(error: Exception, words: str, code: int) -> None:
    found = in_words(error)
    assert words in str(found)
    assert found.exit_code == code


def test_our_functions_raise_our_errors_and_leave_others_alone() -> None:
    @told
    def call(error: Exception) -> None:
        raise error

    with pytest.raises(ServiceError):
        call(refused("InternalError"))
    with pytest.raises(ExpiredError):
        call(refused("ExpiredToken"))
    with pytest.raises(KeyError):
        call(KeyError("x"))


def test_exit_codes_are_apart() -> None:
    assert len({int(code) for code in Exit}) == len(Exit)
