"""moto's services in this process, loaded in a thread while the twin's own parts answer already (it takes a second)."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final

from tutti.twin.api.errors import ApiError
from tutti.twin.front import RAW_HEADERS, Call, StartResponse

_SETTINGS: Final = {
    "MOTO_DISABLE_GLOBAL_CORS": "true",  # any page in a browser could call us else (traps 17)
    "MOTO_CALL_RESET_API": "false",
    "MOTO_IAM_LOAD_MANAGED_POLICIES": "false",
}


class Moto:
    """A WSGI application that is there from the start and answers once moto is loaded."""

    def __init__(self, prepare: Callable[[], None], after: Callable[[Call, int], None]) -> None:
        """`prepare` is called when moto is loaded, before any request; `after` after each request, with its status."""
        self._prepare = prepare
        self._after = after
        self._loaded = threading.Event()
        self._error: BaseException | None = None
        self._application: Any = None
        # Conditional writes check and write in two steps inside moto: two writers at once would both win (traps 27).
        self._conditional = threading.Lock()

    def load(self) -> None:
        """Start loading, in a thread of its own."""
        threading.Thread(target=self._load, name="moto", daemon=True).start()

    def ready(self) -> None:
        """Wait until it is loaded.

        Raises
        ------
        RuntimeError
            It cannot be loaded; the cause is chained.

        """
        self._loaded.wait()
        if self._error is not None:
            raise RuntimeError(f"moto could not be loaded: {self._error}") from self._error

    @property
    def is_ready(self) -> bool:
        return self._loaded.is_set() and self._error is None

    def __call__(self, call: Call, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        self.ready()
        environ["wsgi.input"] = io.BytesIO(call.body)
        environ["CONTENT_LENGTH"] = str(len(call.body))
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        _keep_underscores(environ)
        conditional = "if-none-match" in call.headers or "if-match" in call.headers
        if conditional and call.method in {"PUT", "POST", "DELETE"}:
            with self._conditional:
                return self._forward(call, environ, start_response)
        return self._forward(call, environ, start_response)

    def _forward(self, call: Call, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        status = 500

        def note_status(line: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            nonlocal status
            status = int(line.split(" ", 1)[0])
            return start_response(line, headers, *rest)

        try:
            application = self._application.get_application(environ)
        except AttributeError:
            # moto's way of saying that it has no such service.
            message = f"the twin does not have the service {call.signed.service}"
            raise ApiError(message, code="NotImplementedException", status=501) from None
        body = b"".join(application(environ, note_status))
        self._after(call, status)
        return [body]

    def _load(self) -> None:
        try:
            os.environ.update(_SETTINGS)
            from moto.moto_server.werkzeug_app import (  # noqa: PLC0415  a second of imports, here on purpose
                DomainDispatcherApplication,
                create_backend_app,
            )

            self._application = DomainDispatcherApplication(create_backend_app)
            self._prepare()
        except BaseException as error:  # noqa: BLE001  kept for whoever waits
            self._error = error
        finally:
            self._loaded.set()


def _keep_underscores(environ: dict[str, Any]) -> None:
    """Headers with underscores (S3 metadata), which werkzeug drops, in the way of moto's own server."""
    from moto.core.request import PRESERVED_HEADER_NAMES_ENVIRON_KEY, environ_key_for_header  # noqa: PLC0415  with moto

    names = {}
    for name, value in environ[RAW_HEADERS].items():
        if "_" in name:
            key = environ_key_for_header(name)
            environ.setdefault(key, value)
            names[key] = name
    environ[PRESERVED_HEADER_NAMES_ENVIRON_KEY] = names
