"""Keys of a gang: derived from the stack's secret, never stored (DESIGN section 4, "Who may join")."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

import zmq
from zmq.utils import z85

from workload.record import Record

PURPOSE: Final = "tutti/1"
ROSTER: Final = "roster"
MEMBER: Final = "member"


class KeyPair(Record):
    """A CURVE key pair, both halves in Z85 (40 bytes), as ZeroMQ takes them."""

    public: bytes
    secret: bytes

    def __repr__(self) -> str:
        return f"KeyPair(public={self.public!r})"


class GangKeys(Record):
    """The keys of one attempt of one job. `secret` is the stack's."""

    secret: bytes
    job_id: str
    attempt: int

    def __repr__(self) -> str:
        return f"GangKeys(job_id={self.job_id!r}, attempt={self.attempt})"

    def roster(self) -> KeyPair:
        return self._derived(ROSTER, 0)

    def member(self, index: int) -> KeyPair:
        return self._derived(MEMBER, index)

    def _derived(self, role: str, index: int) -> KeyPair:
        # NUL cannot stand in a job id: no two different tuples give the same text. X25519 clamps any 32 bytes.
        told = "\0".join((PURPOSE, role, self.job_id, str(self.attempt), str(index))).encode()
        secret = z85.encode(hmac.digest(self.secret, told, hashlib.sha256))
        return KeyPair(public=zmq.curve_public(secret), secret=secret)
