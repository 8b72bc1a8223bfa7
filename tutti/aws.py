"""What AWS's errors mean, in words: which permission on what, which credentials, which endpoint."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

from tutti.errors import NotAllowedError, NotFoundError, ServiceError, TuttiError, UnreachableError

P = ParamSpec("P")
R = TypeVar("R")

EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"})
WRONG_KEYS: Final = frozenset(
    {"UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
)
SKEWED: Final = (
    "Signature expired",
    "Signature not yet current",
    "RequestTimeTooSkewed",
)  # in the message, or the code
SPEECHLESS: Final = "403"  # of a HEAD request, whose answer has no body to say why
MISSING: Final = frozenset({"ParameterNotFound", "ResourceNotFoundException", "NoSuchKey", "NoSuchBucket", "404"})


class ExpiredError(NotAllowedError):
    """Credentials that were good and are no longer: worth asking for new ones and going on."""


def is_aws_error(error: BaseException) -> bool:
    """Whether botocore raised it, without importing botocore where nobody has."""
    return any(c.__module__.startswith("botocore.") for c in type(error).__mro__)


def in_words(error: Exception) -> TuttiError:
    """A botocore error as one of ours."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return _refused(error, response)
    name = type(error).__name__
    if name in {"NoCredentialsError", "PartialCredentialsError"}:
        return NotAllowedError(
            "no AWS credentials found. Log in (aws sso login, or aws configure), or use the twin: tutti twin up"
        )
    if name in {"TokenRetrievalError", "SSOTokenLoadError", "UnauthorizedSSOTokenError", "CredentialRetrievalError"}:
        return ExpiredError(f"the AWS login has expired: {error}. Log in again: aws sso login")
    if name == "NoRegionError":
        return NotAllowedError(
            "no AWS region is set. Give one: export AWS_REGION=..., or tutti cluster use NAME --region R"
        )
    if name in {"ProfileNotFound", "ConfigNotFound"}:
        return NotAllowedError(f"{error}. Profiles stand in ~/.aws/config")
    if (
        "Endpoint" in name
        or "Connect" in name
        or "Timeout" in name
        or name in {"HTTPClientError", "ProxyConnectionError"}
    ):
        where = getattr(error, "kwargs", {}).get("endpoint_url", "")
        twin = ". Start the twin: tutti twin up" if "127.0.0.1" in str(where) or "localhost" in str(where) else ""
        return UnreachableError(f"no answer from {where or 'AWS'}: {_first_line(error)}{twin}")
    return ServiceError(_first_line(error))


def told(call: Callable[P, R]) -> Callable[P, R]:
    """Make a function raise our errors where botocore would raise its own."""

    @functools.wraps(call)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return call(*args, **kwargs)
        except Exception as error:
            if is_aws_error(error):
                raise in_words(error) from error
            raise

    return wrapped


def permission(error: BaseException) -> tuple[str, str]:
    """What a refused call wants, as IAM names it, and on what: as AWS says it, else the call alone and ""."""
    message = getattr(error, "response", {}).get("Error", {}).get("Message", "")
    found = re.search(r"perform: ?([\w-]+:\w+)(?: on resource: ?(\S+))?", message)
    return (found[1], (found[2] or "").strip('"')) if found else (getattr(error, "operation_name", ""), "")


def _refused(error: Exception, response: dict[str, dict[str, str]]) -> TuttiError:
    code = response.get("Error", {}).get("Code", "")
    message = response.get("Error", {}).get("Message", "") or _first_line(error)
    operation = getattr(error, "operation_name", "")
    if code in EXPIRED:
        return ExpiredError("the AWS credentials have expired. Log in again: aws sso login, or renew the keys")
    if any(word in f"{code} {message}" for word in SKEWED):
        return NotAllowedError(
            f"AWS refuses {operation}: this machine's clock is wrong ({message}). Set it: timedatectl"
        )
    if code == SPEECHLESS:
        return NotAllowedError(
            f"you are not allowed to do {operation}, and S3 does not say why: the permission is missing (the stack's "
            "`researcher` policy has it for the group's own files), or the keys are wrong (aws sts get-caller-identity)"
        )
    if code in WRONG_KEYS:
        return NotAllowedError(
            f"AWS does not accept these credentials for {operation} ({code}: {message}). "
            "Check aws sts get-caller-identity; for the twin its card may be old: tutti twin up"
        )
    if code in DENIED:
        action, resource = permission(error)
        what = f"{action}{f' on {resource}' if resource else ''}"
        return NotAllowedError(
            f"you are not allowed to do {what}. "
            "The stack's `researcher` policy has it for the group's own jobs and files: ask its operator"
        )
    if code in MISSING:
        return NotFoundError(f"{operation}: {message}")
    return ServiceError(f"AWS refused {operation}: {message} ({code})")


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", maxsplit=1)[0] or type(error).__name__
