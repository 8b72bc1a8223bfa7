"""Key pairs: the twin's own, and one for each node, handed out as ECS does and good while the node runs."""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from dataclasses import dataclass
from typing import Any, Final

NODE_SERVICES: Final = frozenset({"s3", "secretsmanager", "monitoring", "sts", "ssm", "logs"})
LIFETIME_S: Final = 6 * 3600
# Paths that need no signature: a node shows its token to the first, and the second tells no secret.
CREDENTIALS_PATH: Final = "/tutti/credentials/"
METADATA_PATH: Final = "/v4/"


@dataclass(frozen=True, kw_only=True)
class Keys:
    """A key pair. `node` is empty for the twin's own, which may do anything."""

    access_key_id: str
    secret_access_key: str
    session_token: str = ""
    node: str = ""

    def may_use(self, service: str) -> bool:
        """A node does what a job role may: data, secrets, metrics; it neither submits nor stops jobs."""
        return not self.node or service in NODE_SERVICES


def new_keys(node: str = "") -> Keys:
    """A random pair. It is made to look like no real one: AWS's own start with AKIA or ASIA and have 20 characters."""
    return Keys(
        access_key_id=f"TUTTI{secrets.token_hex(8).upper()}",
        secret_access_key=secrets.token_urlsafe(30),
        session_token=secrets.token_urlsafe(24) if node else "",
        node=node,
    )


class KeyRing:
    """All pairs that are good now."""

    def __init__(self, own: Keys) -> None:
        self.own = own
        self._lock = threading.Lock()
        self._keys = {own.access_key_id: own}
        self._tokens: dict[str, str] = {}  # node -> what it must show to be given its keys
        self._nodes: dict[str, Keys] = {}

    def find(self, access_key_id: str) -> Keys | None:
        with self._lock:
            return self._keys.get(access_key_id)

    def admit(self, node: str) -> str:
        """Make a pair for `node`; returns the token that it must show to be given them."""
        keys, token = new_keys(node), secrets.token_urlsafe(24)
        with self._lock:
            self._keys[keys.access_key_id] = keys
            self._nodes[node] = keys
            self._tokens[node] = token
        return token

    def dismiss(self, node: str) -> None:
        """The node is gone: so are its keys."""
        with self._lock:
            if keys := self._nodes.pop(node, None):
                del self._keys[keys.access_key_id]
            self._tokens.pop(node, None)

    def for_node(self, node: str, token: str) -> dict[str, Any] | None:
        """What ECS's credentials endpoint answers; None for a wrong token."""
        with self._lock:
            keys, wanted = self._nodes.get(node), self._tokens.get(node)
        if keys is None or wanted is None or not hmac.compare_digest(wanted.encode(), token.encode()):
            return None
        return {
            "AccessKeyId": keys.access_key_id,
            "SecretAccessKey": keys.secret_access_key,
            "Token": keys.session_token,
            "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + LIFETIME_S)),
            "RoleArn": "TUTTI_TWIN_JOB_ROLE",
        }
