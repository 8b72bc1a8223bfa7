"""The HTTP server: a thread for each connection, several listening sockets, one WSGI application."""

from __future__ import annotations

import socket
import threading
from typing import Any, Final

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from tutti.twin.front import FROM_NODES, RAW_HEADERS

_BACKLOG: Final = 1024


class Handler(WSGIRequestHandler):
    """Quiet, and with the headers as they came: a signature covers those with underscores too."""

    def make_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().make_environ()
        environ["RAW_URI"] = self.path
        environ[RAW_HEADERS] = {name.lower(): value for name, value in self.headers.items()}
        environ[FROM_NODES] = getattr(self.server, "from_nodes", False)
        return environ

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  the name of werkzeug's parameter
        """Say nothing: a log of requests would be a log of everything."""

    def setup(self) -> None:
        super().setup()
        # Small answers must not wait for the acknowledgement of the headers.
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _HttpServer(ThreadedWSGIServer):
    from_nodes = False
    daemon_threads = True
    block_on_close = False


class Server:
    """Serves `application` on each socket that it is given, until closed."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._servers: list[_HttpServer] = []

    def serve(self, listener: socket.socket, *, from_nodes: bool = False) -> None:
        """Answer on `listener`, which becomes the server's own."""
        host, port = listener.getsockname()[:2]
        server = _HttpServer(host, port, self._application, handler=Handler, fd=listener.fileno())
        server.from_nodes = from_nodes
        listener.close()
        self._servers.append(server)
        threading.Thread(target=server.serve_forever, name=f"http-{port}", daemon=True).start()

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()


def listen(address: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any that is free.

    Raises
    ------
    OSError
        The port is taken.

    """
    return socket.create_server((address, port), backlog=_BACKLOG)
