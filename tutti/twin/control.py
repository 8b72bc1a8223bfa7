"""The desk's side of the twin: start it, stop it, ask it. Used by the command line and by tests."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import sys
from datetime import UTC, datetime
from typing import Any, Final

from tutti.errors import NotFoundError, ServiceError, TuttiError, UnreachableError
from tutti.home import Home
from tutti.twin.admin_call import sign
from tutti.twin.credentials import Keys
from tutti.twin.options import TwinOptions
from tutti.twin.place import TwinPlace, end_process
from workload.contract import Card

CARD: Final = "twin"
_STOP_S: Final = 15.0
_CALL_S: Final = 30.0


def up(home: Home, options: TwinOptions) -> dict[str, Any]:
    """Start the twin and return what it says of itself once it answers; one that runs already is left as it is.

    Raises
    ------
    TuttiError
        It cannot start; the reason is its own.

    """
    if running(home):
        return {**call(home, "status"), "already": True}
    place = TwinPlace(home=home.twin)
    place.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    ready, write_ready = os.pipe()
    pid = _spawn(place, [str(home.root), options.to_text(), str(write_ready)], write_ready)
    os.close(write_ready)
    with os.fdopen(ready, "rb") as pipe:
        said = pipe.read()
    if not said:
        _reap(pid)
        raise TuttiError(f"the twin ended while it started; see {place.own_log}")
    answer: dict[str, Any] = json.loads(said)
    if "error" in answer:
        _reap(pid)
        raise TuttiError(f"the twin cannot start: {answer['error']}")
    return answer


def down(home: Home) -> bool:
    """Stop the twin and everything that it started; False where none ran. What a killed one left is removed as well."""
    place = TwinPlace(home=home.twin)
    pid = running(home)
    if pid:
        end_process(pid, _STOP_S)
        _reap(pid)
    if place.home.exists():
        place.sweep()
    return bool(pid)


def _spawn(place: TwinPlace, arguments: list[str], inherited: int) -> int:
    """The daemon, in a session of its own: neither Ctrl-C nor the end of this process reaches it."""
    os.set_inheritable(inherited, True)
    log = os.open(place.own_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    argv = [sys.executable, "-m", "tutti.twin.daemon", *arguments]
    actions = [(os.POSIX_SPAWN_DUP2, source, target) for source, target in ((null, 0), (log, 1), (log, 2))]
    try:
        return os.posix_spawn(sys.executable, argv, os.environ, file_actions=actions, setsid=True)
    finally:
        os.close(log)
        os.close(null)


def _reap(pid: int) -> None:
    """Where the daemon is a child of this process, it must not stay behind as a zombie."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def running(home: Home) -> int:
    """The process of the twin that runs in this home, or 0."""
    import fcntl  # noqa: PLC0415  Linux

    try:
        descriptor = os.open(TwinPlace(home=home.twin).lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(descriptor, 32, 0).decode()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(descriptor)
    return 0


def card(home: Home) -> Card:
    """The twin's card.

    Raises
    ------
    NotFoundError
        No twin was ever started here.

    """
    path = home.card(CARD)
    if not path.is_file():
        raise NotFoundError("no twin was started here. Start one: tutti twin up")
    return Card.from_json(json.loads(path.read_text(encoding="utf-8")))


def call(home: Home, what: str, **request: Any) -> dict[str, Any]:
    """One of the twin's own calls (`tutti.twin.admin`).

    Raises
    ------
    UnreachableError
        It does not run.
    NotFoundError, ServiceError
        It refuses; its words.

    """
    twin = card(home).twin
    if twin is None:
        raise NotFoundError("the card is not a twin's")
    host = twin.endpoint.removeprefix("http://")
    body = json.dumps(request).encode()
    keys = Keys(access_key_id=twin.access_key_id, secret_access_key=twin.secret_access_key)
    path = f"/tutti/admin/{what}"
    connection = http.client.HTTPConnection(host, timeout=_CALL_S)
    try:
        connection.request("POST", path, body, sign(keys, host, path, body, datetime.now(UTC)))
        response = connection.getresponse()
        answer: dict[str, Any] = json.loads(response.read() or b"{}")
    except OSError as error:
        raise UnreachableError(f"no answer from the twin at {host}: {error}. Start it: tutti twin up") from error
    finally:
        connection.close()
    if response.status == 404:
        raise NotFoundError(answer["message"])
    if response.status >= 400:
        raise ServiceError(answer["message"])
    return answer
