"""The twin's one door: who may come in, and which part answers. A WSGI application.

Nobody's remote shell: a request needs a signature by the twin's keys or a running node's, its Host must be loopback (or
the address that nodes call), no CORS header is ever sent, and moto's own controls are closed.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs, unquote

from tutti.twin.api.errors import ApiError
from tutti.twin.credentials import CREDENTIALS_PATH, METADATA_PATH, KeyRing, Keys
from tutti.twin.signature import Request, SignatureError, Signed, verify

ADMIN_SERVICE: Final = "tutti"
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
NODE_HOSTS: Final = frozenset({"10.77.0.1", "10.78.0.1", "169.254.170.2"})
RAW_HEADERS: Final = "tutti.headers"  # names in lower case, as they came
FROM_NODES: Final = "tutti.from_nodes"  # the request came in on a listener in the nodes' network
_CLOSED: Final = ("/moto-api", "/latest/meta-data", "/latest/api", "/favicon.ico")

StartResponse = Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_json(cls, value: Any, status: int = 200, **headers: str) -> Answer:
        return cls(
            status=status, body=json.dumps(value).encode(), headers={"Content-Type": "application/json", **headers}
        )


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request that was let in."""

    method: str
    path: str  # decoded
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes
    signed: Signed


# What answers the calls of one service; None hands them on to moto.
Part = Callable[[Call], Answer | None]


class Front:
    def __init__(
        self,
        keys: KeyRing,
        parts: Mapping[str, Part],
        rest: Callable[[Call, dict[str, Any], StartResponse], Iterable[bytes]],
        metadata: Callable[[str], dict[str, Any] | None],
    ) -> None:
        """`parts`: service, as it is signed for -> what answers; `rest` answers all others, in WSGI.

        `metadata` gives what ECS tells a container of itself below a path, None for a task that does not run.
        """
        self._metadata = metadata
        self._keys = keys
        self._parts = parts
        self._rest = rest

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        try:
            let_in = self._let_in(environ)
            if isinstance(let_in, Answer):
                return _send(let_in, start_response)
            call = let_in
            part = self._parts.get(call.signed.service)
            if answer := part(call) if part else None:
                return _send(answer, start_response)
            return self._rest(call, environ, start_response)
        except SignatureError as error:
            answer = _refused_as(environ, error.code, str(error))
        except ApiError as error:
            body = {"message": error.message, "__type": error.code}
            answer = Answer.of_json(body, error.status, **{"x-amzn-ErrorType": error.code})
        return _send(answer, start_response)

    def _let_in(self, environ: dict[str, Any]) -> Call | Answer:
        headers: Mapping[str, str] = environ[RAW_HEADERS]
        path, _, query = environ["RAW_URI"].partition("?")
        if not _host_allowed(headers.get("host", ""), from_nodes=bool(environ.get(FROM_NODES))):
            return _refused("AccessDenied", "the Host of a request to the twin must be 127.0.0.1 or localhost")
        if path.startswith(CREDENTIALS_PATH):
            return self._credentials(unquote(path.removeprefix(CREDENTIALS_PATH)), headers)
        if path.startswith(METADATA_PATH):
            known = self._metadata(path.removeprefix(METADATA_PATH))
            return Answer.of_json(known) if known else _refused("NotFound", "no such task runs", status=404)
        if path.startswith(_CLOSED):
            return _refused("AccessDenied", f"{path} is closed")
        body = _body(environ)
        request = Request(method=environ["REQUEST_METHOD"], path=path, query=query, headers=headers, body=body)
        signed = verify(request, self._keys.find, datetime.now(UTC))
        if not signed.keys.may_use(signed.service):
            message = f"a node may not call {signed.service}: its job role is for data, secrets and metrics"
            return _refused_as(environ, "AccessDeniedException", message)
        parameters = parse_qs(query, keep_blank_values=True)
        return Call(
            method=request.method, path=unquote(path), query=parameters, headers=headers, body=body, signed=signed
        )

    def _credentials(self, node: str, headers: Mapping[str, str]) -> Answer:
        """A node's keys, as ECS's agent hands them out: only to who shows the node's token."""
        found = self._keys.for_node(node, headers.get("authorization", ""))
        if found is None:
            return _refused("AccessDenied", "no such node runs, or the token is not its own")
        return Answer.of_json(found)


def _host_allowed(host: str, *, from_nodes: bool) -> bool:
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    name = name.strip("[]")
    return name in LOOPBACK or (from_nodes and name in NODE_HOSTS)


def _body(environ: dict[str, Any]) -> bytes:
    length = environ.get("CONTENT_LENGTH")
    stream = environ["wsgi.input"]
    if length:
        data: bytes = stream.read(int(length))
        return data
    return bytes(stream.read()) if environ.get("wsgi.input_terminated") else b""


def _refused(code: str, message: str, *, status: int = 403) -> Answer:
    return Answer.of_json({"message": message, "__type": code}, status, **{"x-amzn-ErrorType": code})


def _refused_as(environ: Mapping[str, Any], code: str, message: str) -> Answer:
    """A refusal in the form that the service's clients read: JSON, or XML for the older services."""
    headers: Mapping[str, str] = environ[RAW_HEADERS]
    if "x-amz-target" in headers or "json" in headers.get("content-type", "") or environ["RAW_URI"].startswith("/v1/"):
        return _refused(code, message)
    error = f"<Error><Code>{code}</Code><Message>{html.escape(message)}</Message></Error>"
    of_s3 = "/s3/aws4_request" in headers.get("authorization", "") or "authorization" not in headers
    text = error if of_s3 else f"<ErrorResponse>{error}<RequestId>tutti</RequestId></ErrorResponse>"
    return Answer(status=403, body=text.encode(), headers={"Content-Type": "text/xml"})


def _send(answer: Answer, start_response: StartResponse) -> Iterable[bytes]:
    headers = [("Content-Length", str(len(answer.body))), *answer.headers.items()]
    start_response(f"{answer.status} {'OK' if answer.status < 400 else 'Refused'}", headers)
    return [answer.body]


def identity(keys: Keys, account: str, user: str) -> Answer:
    """STS GetCallerIdentity, which the client asks at every submission: moto would take a second to load for it."""
    who = f"AIDATUTTITWIN:{keys.node or user}"
    arn = f"arn:aws:iam::{account}:user/{user}" if not keys.node else f"arn:aws:sts::{account}:assumed-role/node/{user}"
    namespace = "https://sts.amazonaws.com/doc/2011-06-15/"
    text = (
        f'<GetCallerIdentityResponse xmlns="{namespace}"><GetCallerIdentityResult><Arn>{arn}</Arn>'
        f"<UserId>{who}</UserId><Account>{account}</Account></GetCallerIdentityResult>"
        "<ResponseMetadata><RequestId>tutti</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
    )
    return Answer(status=200, body=text.encode(), headers={"Content-Type": "text/xml"})
