"""What the ECS agent tells a container of itself: its task metadata endpoint, version 4 (Amazon ECS Developer Guide).

It is asked and told nothing: one GET without a secret, an answer of bounded size, a short time.
"""

from __future__ import annotations

import json
import re
import socket
from typing import Final

METADATA_URI: Final = "ECS_CONTAINER_METADATA_URI_V4"
TIMEOUT_S: Final = 5.0
ISO_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")
MOST_BYTES: Final = 1 << 18  # a task of a gang has some 5 kB


class MetadataError(ValueError):
    """The agent does not answer, or not with what was asked for."""


def address(uri: str) -> str:
    """The address of the task's own interface.

    Raises
    ------
    MetadataError
        The agent does not say it.

    """
    try:
        return str(json.loads(get(uri))["Networks"][0]["IPv4Addresses"][0])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise MetadataError(f"the ECS metadata at {uri} does not say this node's address: {error!r}") from error


def pull(uri: str) -> tuple[str, str]:
    """When the agent began to pull the task's images, and when it had the last: ISO 8601, as it says it.

    Raises
    ------
    MetadataError
        The agent does not say it.

    """
    try:
        task = json.loads(get(f"{uri}/task"))
        return _time(task["PullStartedAt"]), _time(task["PullStoppedAt"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise MetadataError(f"the ECS metadata at {uri} does not say when it pulled: {error!r}") from error


def _time(text: str) -> str:
    """Not taken apart: datetime takes longer to import than all else here, and whoever reads the log has it."""
    if not ISO_TIME.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is no time")
    return text


def get(uri: str) -> bytes:
    """The body of an answer with status 200. By hand: urllib's import takes longer than a node's whole start.

    Raises
    ------
    OSError, ValueError
        Nobody answers, or not with 200, or with more than the agent ever says.

    """
    host, _, path = uri.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    answer = b""
    # HTTP/1.0: the answer ends where the connection does, and is never chunked. The agent's address is of IPv4; and
    # create_connection would import what it takes to encode names of all the world.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as asked:
        asked.settimeout(TIMEOUT_S)
        asked.connect((name, int(port or 80)))
        asked.sendall(f"GET /{path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        while data := asked.recv(65536):
            answer += data
            if len(answer) > MOST_BYTES:
                raise ValueError(f"an answer of more than {MOST_BYTES} bytes")
    head, _, body = answer.partition(b"\r\n\r\n")
    if head.split(None, 2)[1:2] != [b"200"]:
        raise ValueError(head.partition(b"\r\n")[0].decode("ascii", "replace"))
    return body
