"""Verifying AWS Signature Version 4: in the Authorization header, and in the query of a presigned URL.

Source: "Signature Version 4 signing process", AWS General Reference. Pure: a request in, the key that signed it out.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl, quote, unquote

from tutti.twin.credentials import Keys

ALGORITHM: Final = "AWS4-HMAC-SHA256"
MAX_SKEW_S: Final = 15 * 60
_TIME: Final = "%Y%m%dT%H%M%SZ"
_UNSIGNED: Final = "UNSIGNED-PAYLOAD"


class SignatureError(Exception):
    """The request is not signed by a key that is good here. `code` is AWS's own."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a signature covers. `path` and `query` as they stood in the request line; header names in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Signed:
    keys: Keys
    service: str
    region: str


@dataclass(frozen=True, kw_only=True)
class _Claim:
    key_id: str
    date: str
    region: str
    service: str
    headers: tuple[str, ...]
    signature: str
    time: str
    token: str
    expires_s: int


def verify(request: Request, find: Callable[[str], Keys | None], now: datetime) -> Signed:
    """Who signed `request`.

    Raises
    ------
    SignatureError
        It is not signed, not by a key that is known, not rightly, or not of now.

    """
    pairs = parse_qsl(request.query, keep_blank_values=True)
    claim = _from_query(dict(pairs)) if "X-Amz-Signature" in dict(pairs) else _from_header(request.headers)
    keys = find(claim.key_id)
    if keys is None:
        raise SignatureError("InvalidClientTokenId", "the security token included in the request is invalid")
    if not hmac.compare_digest(keys.session_token.encode(), claim.token.encode()):
        raise SignatureError("InvalidClientTokenId", "the session token does not belong to these keys")
    _check_time(claim, now)
    payload = _payload_hash(request, claim)
    canonical = canonical_request(
        method=request.method,
        path=request.path,
        pairs=pairs,
        headers=request.headers,
        names=claim.headers,
        payload=payload,
        service=claim.service,
    )
    scope = f"{claim.date}/{claim.region}/{claim.service}/aws4_request"
    if not hmac.compare_digest(signature(keys.secret_access_key, claim.time, scope, canonical), claim.signature):
        raise SignatureError(
            "SignatureDoesNotMatch", "the request signature we calculated does not match the one given"
        )
    return Signed(keys=keys, service=claim.service, region=claim.region)


def _from_header(headers: Mapping[str, str]) -> _Claim:
    algorithm, _, rest = headers.get("authorization", "").partition(" ")
    if algorithm != ALGORITHM:
        raise SignatureError("MissingAuthenticationToken", "the request is not signed (AWS Signature Version 4)")
    parts = dict(part.strip().split("=", 1) for part in rest.split(",") if "=" in part)
    names = tuple(parts.get("SignedHeaders", "").split(";"))
    if "host" not in names:
        raise SignatureError("IncompleteSignature", "the signature must cover the header Host")
    return _claim(
        credential=parts.get("Credential", ""),
        headers=names,
        signature=parts.get("Signature", ""),
        time=headers.get("x-amz-date", ""),
        token=headers.get("x-amz-security-token", ""),
    )


def _from_query(query: Mapping[str, str]) -> _Claim:
    if query.get("X-Amz-Algorithm") != ALGORITHM:
        raise SignatureError("MissingAuthenticationToken", "the request is not signed (AWS Signature Version 4)")
    try:
        expires_s = int(query.get("X-Amz-Expires", ""))
    except ValueError:
        raise SignatureError("IncompleteSignature", "X-Amz-Expires is not a number") from None
    return _claim(
        credential=query.get("X-Amz-Credential", ""),
        headers=tuple(query.get("X-Amz-SignedHeaders", "").split(";")),
        signature=query["X-Amz-Signature"],
        time=query.get("X-Amz-Date", ""),
        token=query.get("X-Amz-Security-Token", ""),
        expires_s=expires_s,
    )


def _claim(
    *, credential: str, headers: tuple[str, ...], signature: str, time: str, token: str, expires_s: int = 0
) -> _Claim:
    parts = credential.split("/")
    if len(parts) != 5 or parts[4] != "aws4_request":
        raise SignatureError("IncompleteSignature", "Credential must be KEY/DATE/REGION/SERVICE/aws4_request")
    key_id, date, region, service, _ = parts
    return _Claim(
        key_id=key_id,
        date=date,
        region=region,
        service=service,
        headers=headers,
        signature=signature,
        time=time,
        token=token,
        expires_s=expires_s,
    )


def _check_time(claim: _Claim, now: datetime) -> None:
    try:
        signed_at = datetime.strptime(claim.time, _TIME).replace(tzinfo=UTC)
    except ValueError:
        raise SignatureError("IncompleteSignature", "X-Amz-Date is not a time") from None
    age = (now - signed_at).total_seconds()
    if not -MAX_SKEW_S <= age <= max(MAX_SKEW_S, claim.expires_s) or (claim.expires_s and age > claim.expires_s):
        raise SignatureError("RequestExpired", f"the request was signed {age:.0f} s ago; is the clock right?")
    if claim.date != claim.time[:8]:
        raise SignatureError("SignatureDoesNotMatch", "the date of the credential is not that of the request")


def _payload_hash(request: Request, claim: _Claim) -> str:
    """What stands for the body in the canonical request; a hash that is given must be the body's."""
    if claim.expires_s:
        return _UNSIGNED
    given = request.headers.get("x-amz-content-sha256")
    if given is not None and not (len(given) == 64 and given.isalnum()):
        return given  # UNSIGNED-PAYLOAD, STREAMING-...
    actual = hashlib.sha256(request.body).hexdigest()
    if given is not None and given != actual:
        raise SignatureError("XAmzContentSHA256Mismatch", "the body is not the one that was signed")
    return actual


def canonical_request(
    *,
    method: str,
    path: str,
    pairs: list[tuple[str, str]],
    headers: Mapping[str, str],
    names: tuple[str, ...],
    payload: str,
    service: str,
) -> str:
    """The text that is signed. `pairs`: the query's; `names`: the headers that are covered."""
    # Sorted by name, then by value: sorting the joined text would put "00=" before "0=".
    encoded = sorted((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in pairs if k != "X-Amz-Signature")
    query = "&".join(f"{name}={value}" for name, value in encoded)
    covered = "".join(f"{name}:{' '.join(headers.get(name, '').split())}\n" for name in names)
    # Every service but S3 signs the path encoded once more than it is sent.
    path = quote(unquote(path) if service == "s3" else path, safe="/-_.~") or "/"
    return "\n".join([method, path, query, covered, ";".join(names), payload])


def signature(secret: str, time: str, scope: str, canonical: str) -> str:
    """The signature of a canonical request, in hexadecimal. `scope` is DATE/REGION/SERVICE/aws4_request."""
    text = "\n".join([ALGORITHM, time, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest()
