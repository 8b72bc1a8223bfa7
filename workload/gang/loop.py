"""One thread, one poll loop, every child reaped: what a node's runtime runs on.

epoll and not asyncio, because a node starts in the time that asyncio alone takes to import. ZeroMQ's sockets announce
themselves edge-triggered, so they are asked for their state before each wait.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import itertools
import os
import select
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import FrameType, TracebackType
from typing import IO, Final, Self

import zmq

READABLE: Final = select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR
LONGEST_WAIT_S: Final = 60.0
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


class Timer:
    """A call that is due; `cancel()` takes it back."""

    def __init__(self, due: float, call: Callable[[], None]) -> None:
        self.due = due
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self.call = None


class Loop:
    """Calls back when a descriptor can be read, a socket has a message, a time has come, a child has ended.

    A callback does a bounded piece of work and returns: the heartbeat waits for it. A context manager: leaving it
    closes what the loop itself has opened and gives the signals back.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._readers: dict[int, Callable[[], None]] = {}
        self._sockets: dict[zmq.Socket[bytes], Callable[[], None]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._children: dict[int, Callable[[int], None]] = {}
        self._signals: dict[int, Callable[[], None]] = {}
        self._soon: deque[Callable[[], None]] = deque()
        self._wake_out, self._wake_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # A child's write end of a pipe stays open in its own children: grown pipes spare them waiting for us.
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._wake_in, fcntl.F_SETPIPE_SZ, 1 << 20)
        self.add(self._wake_out, self._woken)
        self._previous_fd = signal.set_wakeup_fd(self._wake_in, warn_on_full_buffer=False)
        self._previous = {number: signal.signal(number, _ignore) for number in SIGNALS}
        self.on_signal(signal.SIGCHLD, self._reap)
        # The entrypoint blocked them until somebody listens; children must not start with them blocked.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        self._running = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        signal.set_wakeup_fd(self._previous_fd)
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._epoll.close()
        os.close(self._wake_out)
        wake_in, self._wake_in = self._wake_in, -1  # a thread that is late must not write into what gets its number
        os.close(wake_in)

    def add(self, fd: int, callback: Callable[[], None]) -> None:
        """Call back whenever `fd` can be read or has ended. Level-triggered: read once in each call."""
        self._epoll.register(fd, READABLE)
        self._readers[fd] = callback

    def remove(self, fd: int) -> None:
        """No more calls for `fd`. Before it is closed."""
        if self._readers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def add_socket(self, socket: zmq.Socket[bytes], callback: Callable[[], None]) -> None:
        """Call back while `socket` has messages: the callback takes one or more of them."""
        self._sockets[socket] = callback
        self._epoll.register(int(socket.get(zmq.FD)), READABLE)

    def remove_socket(self, socket: zmq.Socket[bytes]) -> None:
        if self._sockets.pop(socket, None) is not None:
            self._epoll.unregister(int(socket.get(zmq.FD)))

    def after(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call once, `seconds` from now."""
        timer = Timer(time.monotonic() + seconds, call)
        heapq.heappush(self._timers, (timer.due, next(self._order), timer))
        return timer

    def every(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call each `seconds` until the timer is cancelled, without catching up on what was missed."""

        def again() -> None:
            timer.due = time.monotonic() + seconds
            heapq.heappush(self._timers, (timer.due, next(self._order), timer))
            call()

        timer = self.after(seconds, again)
        return timer

    def soon(self, call: Callable[[], None]) -> None:
        """Call in the loop's next round. The one method that other threads may use."""
        self._soon.append(call)
        with contextlib.suppress(OSError):  # full: it wakes anyway; closed: nobody calls any more
            os.write(self._wake_in, b"\0")

    def on_signal(self, number: int, call: Callable[[], None]) -> None:
        """Call in the loop when this process gets signal `number`."""
        self._signals[number] = call

    def spawn(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        on_exit: Callable[[int], None],
        cwd: str | os.PathLike[str] | None = None,
        stdin: int | IO[bytes] | None = subprocess.DEVNULL,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> int:
        """Start a child in a session of its own; `on_exit` gets its exit code, 128+n for a signal. Returns its pid.

        Raises
        ------
        OSError
            The program cannot be started.

        """
        child = subprocess.Popen(
            argv,
            env=dict(env),
            cwd=cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=pass_fds,
            start_new_session=True,
        )
        # The loop alone waits for children, orphans among them; Popen must not, nor warn that it did not.
        child.returncode = 0
        self._children[child.pid] = on_exit
        return child.pid

    def stop(self) -> None:
        """Make `run` return after this round."""
        self._running = False

    def run(self) -> None:
        """Call back until `stop`."""
        self._running = True
        while self._running:
            self.turn()

    def turn(self, longest_s: float = LONGEST_WAIT_S) -> None:
        """One round: wait until something is due, for `longest_s` at most, and do it."""
        busy = self._serve_sockets()
        wait = 0.0 if busy or self._soon else max(0.0, min(longest_s, self._until_next_timer()))
        for fd, _ in self._epoll.poll(wait):
            if callback := self._readers.get(fd):
                callback()
        self._serve_sockets()
        for _ in range(len(self._soon)):
            self._soon.popleft()()
        self._serve_timers()

    def _serve_sockets(self) -> bool:
        served = False
        for socket, callback in tuple(self._sockets.items()):
            if socket in self._sockets and int(socket.get(zmq.EVENTS)) & zmq.POLLIN:
                served = True
                callback()
        return served

    def _until_next_timer(self) -> float:
        while self._timers and (self._timers[0][2].call is None):
            heapq.heappop(self._timers)
        return self._timers[0][0] - time.monotonic() if self._timers else LONGEST_WAIT_S

    def _serve_timers(self) -> None:
        now = time.monotonic()
        due = []
        while self._timers and self._timers[0][0] <= now:
            due.append(heapq.heappop(self._timers)[2])
        for timer in due:
            if timer.call is not None:
                timer.call()

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            # A signal's number is the byte that Python writes; a zero is `soon`.
            for number in dict.fromkeys(os.read(self._wake_out, 65536)):
                if number in self._signals:
                    self._signals[number]()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if on_exit := self._children.pop(pid, None):
                code = os.waitstatus_to_exitcode(status)
                on_exit(code if code >= 0 else 128 - code)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Nothing here: the signal's number comes through the wake-up pipe, into the loop."""
