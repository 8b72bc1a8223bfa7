"""Signing the desk's own calls to the twin, without the third of a second that botocore takes to load."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Final

from tutti.twin.credentials import Keys
from tutti.twin.signature import ALGORITHM, canonical_request, signature

SERVICE: Final = "tutti"
REGION: Final = "us-east-1"


def sign(keys: Keys, host: str, path: str, body: bytes, now: datetime) -> dict[str, str]:
    """Headers of a signed POST of `body` to `path`."""
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    headers = {"host": host, "x-amz-date": stamp}
    names = tuple(sorted(headers))
    canonical = canonical_request(
        method="POST",
        path=path,
        pairs=[],
        headers=headers,
        names=names,
        payload=hashlib.sha256(body).hexdigest(),
        service=SERVICE,
    )
    scope = f"{stamp[:8]}/{REGION}/{SERVICE}/aws4_request"
    signed = signature(keys.secret_access_key, stamp, scope, canonical)
    authorization = (
        f"{ALGORITHM} Credential={keys.access_key_id}/{scope}, SignedHeaders={';'.join(names)}, Signature={signed}"
    )
    return {**headers, "authorization": authorization}
