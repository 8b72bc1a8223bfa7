"""What the tests of MPI programs and of whatever talks to S3 share: mpiexec, a real S3 API over HTTP (moto's server, in
a process of its own), and a proxy in front of it that fails on demand.
"""

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

REPOSITORY = Path(__file__).parents[2]
MpiRun = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def mpirun() -> MpiRun:
    """`mpirun(n, *command, env={}, cwd=...)`: run a command under this environment's mpiexec, and wait for it."""
    mpiexec = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
    if mpiexec is None:
        message = "no mpiexec: `make setup` installs the mpich wheel"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)

    def run(
        ranks: int, *command: str | Path, env: Mapping[str, str] | None = None, cwd: Path = REPOSITORY
    ) -> subprocess.CompletedProcess[str]:
        # Numeric libraries would start a thread for each core in each rank.
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        return subprocess.run(
            [mpiexec, "-n", str(ranks), *map(str, command)],
            env={**os.environ, **threads, "PYTHONPATH": str(REPOSITORY), **(env or {})},
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def workload_run(mpirun: MpiRun) -> MpiRun:
    """`workload_run(n, NAME, *options)`: one of our MPI programs on `n` ranks."""

    def run(
        ranks: int, *arguments: str | Path, env: Mapping[str, str] | None = None, cwd: Path = REPOSITORY
    ) -> subprocess.CompletedProcess[str]:
        return mpirun(ranks, sys.executable, "-m", "mpi4py", "-m", "workload", "run", *arguments, env=env, cwd=cwd)

    return run


@pytest.fixture(scope="session")
def compile_c(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """`compile_c(source)`: the program, made by this environment's mpicc; the ziglang wheel where no compiler is."""
    mpicc = shutil.which("mpicc", path=str(Path(sys.executable).parent)) or shutil.which("mpicc")
    assert mpicc is not None, "no mpicc: `make setup` installs the mpich wheel"
    compiler = {} if shutil.which("cc") else {"MPICH_CC": f"{sys.executable} -m ziglang cc"}

    def compile_one(source: Path) -> Path:
        program = tmp_path_factory.mktemp("bin") / source.stem
        subprocess.run(
            [mpicc, "-std=c99", "-Wall", "-Wextra", "-Werror", "-O2", "-o", program, source],
            env={**os.environ, **compiler},
            check=True,
            timeout=120,
        )
        return program

    return compile_one


KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="session")
def moto_port() -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env={**os.environ, **KEYS},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            assert server.poll() is None, "moto's server ended"
            assert time.monotonic() < deadline, "moto's server did not come up in 60 s"
            time.sleep(0.05)
    yield port
    server.send_signal(signal.SIGTERM)
    server.wait(30)


@dataclass
class Request:
    """What a fault may look at: the request, and how many like it (method and path) came before."""

    method: str
    path: str
    range: str | None
    body: int
    before: int


@dataclass(frozen=True)
class Fault:
    """What the proxy does with an answer: another status, cut or damaged after so many bytes, a pause first."""

    status: int = 0
    cut_after: int = -1
    damage_at: int = -1
    pause: threading.Event | None = None  # hold the answer back until this is set
    bytes_a_second: int = 0
    damage_request_at: int = -1
    cut_request: bool = False  # close without an answer, the request not passed on
    lose_answer: bool = False  # pass the request on, and close without an answer


@dataclass
class Gate:
    """Stops the first PUT whose path matches when half of its body has come, until the gate is opened."""

    path: str  # a regular expression
    reached: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    length: int = 0
    came: int = 0  # bytes of the body, once it has ended


@dataclass
class Proxy:
    """`fault(request)` is asked for each request; None lets it through. `seen` has all of them."""

    port: int
    upstream: int
    fault: Callable[[Request], Fault | None] = lambda _: None
    seen: list[Request] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    gate: Gate | None = None

    def times(self, count: int, fault: Fault, *, method: str = "GET", holds: str = "") -> None:
        """The first `count` of each request with that method and `holds` in its path get the fault."""
        self.fault = lambda request: (
            fault if request.method == method and holds in request.path and request.before < count else None
        )

    def count(self, method: str, holds: str = "") -> int:
        return sum(one.method == method and holds in one.path for one in self.seen)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def log_message(self, *_: object) -> None: ...

    def _pass(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self._body(length)
        if len(body) < length:  # as S3 does: what did not come whole is no object
            self.close_connection = True
            return
        with self.proxy.lock:
            before = sum(
                one.method == self.command and one.path == self.path and one.range == self.headers.get("Range")
                for one in self.proxy.seen
            )
            request = Request(self.command, self.path, self.headers.get("Range"), length, before)
            self.proxy.seen.append(request)
        fault = self.proxy.fault(request) or Fault()
        if fault.cut_request:
            self.close_connection = True
            return
        if fault.status:
            code = {403: "AccessDenied", 500: "InternalError"}.get(fault.status, "SlowDown")
            text = f"<Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
            self.send_response(fault.status)
            self.send_header("Content-Length", "0" if self.command == "HEAD" else str(len(text)))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else text)
            return
        if 0 <= fault.damage_request_at < len(body):
            damaged = bytearray(body)
            damaged[fault.damage_request_at] ^= 0xFF
            body = bytes(damaged)
        upstream = http.client.HTTPConnection("127.0.0.1", self.proxy.upstream, timeout=60)
        try:
            upstream.request(self.command, self.path, body, dict(self.headers.items()))
            answer = upstream.getresponse()
            content = bytearray(answer.read())
        finally:
            upstream.close()
        if fault.lose_answer:
            self.close_connection = True
            return
        if fault.pause is not None:
            fault.pause.wait(30)
        if 0 <= fault.damage_at < len(content):
            content[fault.damage_at] ^= 0xFF
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"transfer-encoding", "connection", "content-length", "date", "server"}:
                self.send_header(name, value)
        said = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", said or "0")
        self.end_headers()
        if fault.cut_after >= 0:
            content = content[: fault.cut_after]
            self.close_connection = True
        step = max(1, fault.bytes_a_second // 10) if fault.bytes_a_second else len(content) or 1
        for start in range(0, len(content), step):
            self.wfile.write(content[start : start + step])
            if fault.bytes_a_second:
                self.wfile.flush()
                time.sleep(0.1)  # the fault itself is to be slow

    def _body(self, length: int) -> bytes:
        gate = self.proxy.gate
        if gate is None or self.command != "PUT" or not re.search(gate.path, self.path) or gate.reached.is_set():
            return self.rfile.read(length)
        gate.length, body = length, self.rfile.read(length // 2)
        gate.reached.set()
        gate.opened.wait(60)
        with suppress(ConnectionError):
            body += self.rfile.read(length - len(body))
        gate.came = len(body)
        gate.ended.set()
        return body

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass  # noqa: N815  names that http.server demands

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            self.close_connection = True


@pytest.fixture
def proxy(moto_port: int) -> Iterator[Proxy]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.socket.setsockopt(
        socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20
    )  # else it grows until a whole body fits in it
    proxy = Proxy(port=server.server_port, upstream=moto_port)
    server.RequestHandlerClass = type("Handler", (_Handler,), {"proxy": proxy})
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield proxy
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def s3(keys: None, moto_port: int, monkeypatch: pytest.MonkeyPatch) -> "Iterator[S3Client]":
    """A client of the test's own, past the proxy; its bucket is `bucket`, empty at the start."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{moto_port}")
    client = boto3.client("s3")
    client.create_bucket(Bucket="bucket")
    yield client
    for page in client.get_paginator("list_objects_v2").paginate(Bucket="bucket"):
        for one in page.get("Contents", []):
            client.delete_object(Bucket="bucket", Key=one["Key"])
    client.delete_bucket(Bucket="bucket")
    client.close()


@pytest.fixture
def gate() -> type[Gate]:
    return Gate


@pytest.fixture
def fault() -> type[Fault]:
    return Fault
