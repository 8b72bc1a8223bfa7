"""Authenticated messages between the roster and the members: ZeroMQ with CURVE.

A message is a JSON object in one frame of at most 64 KiB. The roster's end says which index speaks (the ZAP handler has
bound each key to its index), which connection it is, and when a connection is gone: a ROUTER does not tell, so the
socket's monitor does (DISCONNECTED names the descriptor; so does each message; traps 14).
"""

from __future__ import annotations

import json
import os
import resource
import socket as sockets
import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

import zmq
from zmq.utils import z85

from workload.gang.keys import KeyPair
from workload.gang.loop import Loop
from workload.record import Record

HANDSHAKE_MS: Final = 5_000
CONNECT_MS: Final = 5_000
MAX_MESSAGE_BYTES: Final = 64 * 1024
RECONNECT_MS: Final = 10  # at first: a child may be up a moment before main; doubled with each try
RECONNECT_MAX_MS: Final = 1_000
LINGER_MS: Final = 1_000
BACKLOG: Final = 1_024
QUEUE: Final = 10_000  # messages kept for a slow peer
ZAP_ADDRESS: Final = "inproc://zeromq.zap.01"
ZAP_VERSION: Final = b"1.0"
ZAP_DOMAIN: Final = b"tutti"
ROUND: Final = 256  # messages handled before the loop looks at its other work

EVENT: Final = struct.Struct("=Hi")

Message = dict[str, Any]


class WireError(RuntimeError):
    """The roster cannot listen here."""


def encoded(message: Mapping[str, Any]) -> bytes:
    """A message as it travels.

    Raises
    ------
    ValueError
        It is longer than `MAX_MESSAGE_BYTES`: the other end would drop the connection.

    """
    data = json.dumps(message, separators=(",", ":")).encode()
    if len(data) > MAX_MESSAGE_BYTES:
        raise ValueError(f"a message of kind {message.get('t')!r} has {len(data)} bytes; allowed: {MAX_MESSAGE_BYTES}")
    return data


def decoded(data: bytes) -> Message | None:
    """The message in `data`, or None where it is none: an object whose `t` says its kind."""
    try:
        message = json.loads(data)
    except ValueError:
        return None
    return message if isinstance(message, dict) and isinstance(message.get("t"), str) else None


def raise_nofile(nodes: int) -> None:
    """Raise the limit of open files to the hard one; a flood of connections must not shut members out (traps 21).

    Raises
    ------
    WireError
        The hard limit is below 4 x nodes + 1,000.

    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 4 * nodes + 1_000
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise WireError(f"the limit of open files (nofile) is {hard}; a gang of {nodes} nodes needs {needed} or more")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Peer(Record):
    """One connection of a member that showed the key of `index`."""

    route: bytes
    fd: int
    index: int
    address: str


class _Connection:
    """An open connection; its peer, once it has spoken."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.peer: Peer | None = None


class RosterWire:
    """Main's end. Every callback runs in the loop.

    Parameters
    ----------
    keys
        The roster's own pair.
    members
        Public key -> index: these are admitted and no others.
    on_message
        A message from an admitted peer.
    on_gone
        A peer that has spoken has closed its connection, or lost it.
    on_refused
        Somebody was kept out: from which address, why.

    Raises
    ------
    WireError
        The port is taken, the address is not ours, or too few files may be open.

    """

    def __init__(
        self,
        loop: Loop,
        *,
        address: str,
        port: int,
        keys: KeyPair,
        members: Mapping[bytes, int],
        on_message: Callable[[Peer, Message], None],
        on_gone: Callable[[Peer], None],
        on_refused: Callable[[str, str], None],
    ) -> None:
        raise_nofile(len(members))
        self._loop = loop
        self._members = {z85.decode(public): index for public, index in members.items()}
        self._on_message = on_message
        self._on_gone = on_gone
        self._on_refused = on_refused
        self._peers: dict[bytes, Peer] = {}
        self._open: dict[int, _Connection] = {}  # by descriptor
        self._leaving: list[Peer] = []  # gone, and their last messages may still have to be read
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._zap = self._context.socket(zmq.ROUTER)
        self._zap.linger = 0
        self._zap.bind(ZAP_ADDRESS)
        self._socket = self._context.socket(zmq.ROUTER)
        options: dict[int, int | bytes] = {
            zmq.CURVE_SERVER: 1,
            zmq.CURVE_SECRETKEY: keys.secret,
            zmq.ZAP_DOMAIN: ZAP_DOMAIN,
            zmq.HANDSHAKE_IVL: HANDSHAKE_MS,
            zmq.MAXMSGSIZE: MAX_MESSAGE_BYTES,
            zmq.BACKLOG: BACKLOG,
            zmq.SNDHWM: QUEUE,
            zmq.RCVHWM: QUEUE,
            zmq.LINGER: LINGER_MS,
        }
        for option, value in options.items():
            self._socket.set(option, value)
        self._monitor = _monitor(self._socket, zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)
        try:
            self._socket.bind(f"tcp://{address}:{port or '*'}")
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise WireError(f"the roster cannot listen on {address}:{port}: {error}") from error
        self.port = int(self._socket.get_string(zmq.LAST_ENDPOINT).rstrip("\0").rpartition(":")[2])
        loop.add_socket(self._zap, self._admit)
        loop.add_socket(self._socket, self._receive)
        loop.add_socket(self._monitor, self._watch)

    def send(self, peer: Peer, message: Mapping[str, Any]) -> None:
        """Queue a message; one for a peer that is gone is dropped (`on_gone` has told or will)."""
        try:
            self._socket.send_multipart((peer.route, encoded(message)), zmq.NOBLOCK)
        except zmq.Again:
            return

    def close(self) -> None:
        """Deliver what is queued, for a second at most, and close."""
        for socket in (self._zap, self._socket, self._monitor):
            self._loop.remove_socket(socket)
        self._socket.monitor(None, 0)
        self._monitor.close(linger=0)
        self._zap.close(linger=0)
        self._socket.close()
        self._context.term()

    def _admit(self) -> None:
        """Answer the ZAP request (RFC 27) of a connection: exactly the gang's keys, each bound to its index."""
        frames = self._zap.recv_multipart()
        start = frames.index(b"") + 1
        version, request, domain, address, _, mechanism, *credentials = frames[start:]
        index = self._members.get(credentials[0]) if credentials else None
        fit = version == ZAP_VERSION and domain == ZAP_DOMAIN and mechanism == b"CURVE" and index is not None
        if not fit:
            self._on_refused(address.decode("ascii", "replace"), "its key is of no member of this job's attempt")
        status = (b"200", b"OK", str(index).encode()) if fit else (b"400", b"unknown key", b"")
        self._zap.send_multipart((*frames[:start], ZAP_VERSION, request, *status, b""))

    def _receive(self) -> None:
        for _ in range(ROUND):
            try:
                route, *rest = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                # Only now: what a peer said before it closed comes before the word that it is lost.
                leaving, self._leaving = self._leaving, []
                for peer in leaving:
                    del self._peers[peer.route]
                    self._on_gone(peer)
                return
            if rest:
                peer = self._peers.get(route.bytes) or self._meet(route.bytes, rest[-1])
                message = decoded(rest[-1].bytes) if len(rest) == 1 else None
                if message is None:
                    self._on_refused(peer.address, f"node {peer.index} sent what is no message")
                else:
                    self._on_message(peer, message)

    def _meet(self, route: bytes, frame: zmq.Frame) -> Peer:
        """The peer that speaks for the first time, tied to its connection."""
        # The monitor first: the descriptor's number may have had another owner, whose end it has still to tell.
        self._read_monitor()
        fd = int(frame.get(zmq.SRCFD))
        connection = self._open.get(fd)
        peer = Peer(route=route, fd=fd, index=int(frame.get("User-Id")), address=str(frame.get("Peer-Address")))
        self._peers[route] = peer
        if connection is None or connection.peer is not None:
            self._leaving.append(peer)  # it spoke and closed before we looked
        else:
            connection.peer = peer
        return peer

    def _watch(self) -> None:
        self._read_monitor()
        self._receive()

    def _read_monitor(self) -> None:
        """Keep the book of open connections; the monitor tells of each number's openings and ends in their order."""
        while int(self._monitor.get(zmq.EVENTS)) & zmq.POLLIN:
            event, fd = _told(self._monitor)
            if event == zmq.EVENT_ACCEPTED:
                self._open[fd] = _Connection(_peer_address(fd))
            elif (connection := self._open.pop(fd, None)) and connection.peer:
                self._leaving.append(connection.peer)
            elif connection:
                why = "it did not complete the handshake: another key, job or attempt, or no member"
                self._on_refused(connection.address, why)


def _monitor(socket: zmq.Socket[bytes], events: int) -> zmq.Socket[bytes]:
    """A socket on which `socket` tells of these events.

    Not `get_monitor_socket`: with its limit of 1,000 events ZeroMQ's I/O thread waits for who reads them, and holds the
    lock that closing needs.
    """
    address = f"inproc://monitor-{id(socket)}"
    socket.monitor(address, events)
    reading: zmq.Socket[bytes] = socket.context.socket(zmq.PAIR)
    reading.rcvhwm = 0
    reading.linger = 0
    reading.connect(address)
    return reading


def _told(monitor: zmq.Socket[bytes]) -> tuple[int, int]:
    """The next event and its value (zmq_socket_monitor(3), version 1). By hand: zmq.utils.monitor imports asyncio."""
    event, value = EVENT.unpack(monitor.recv_multipart()[0])
    return event, value


def _peer_address(fd: int) -> str:
    """Who is at the other end of a descriptor of ZeroMQ's: best effort, it may be closed already."""
    try:
        with sockets.socket(fileno=os.dup(fd)) as copy:
            return str(copy.getpeername()[0])
    except OSError:
        return "?"


class MemberWire:
    """A member's end. It connects until it is in; after `joined()` a lost connection is final.

    `on_up` is called at each completed handshake, `on_refused` when the roster's door stays closed (True: for good),
    `on_gone` when the connection of a joined member is lost.
    """

    def __init__(
        self,
        loop: Loop,
        *,
        address: str,
        port: int,
        keys: KeyPair,
        roster: bytes,
        on_up: Callable[[], None],
        on_message: Callable[[Message], None],
        on_gone: Callable[[], None],
        on_refused: Callable[[bool], None],
    ) -> None:
        self._loop = loop
        self._on_up = on_up
        self._on_message = on_message
        self._on_gone = on_gone
        self._on_refused = on_refused
        self._joined = False
        self._closed = False
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        options: dict[int, int | bytes] = {
            zmq.CURVE_SERVERKEY: roster,
            zmq.CURVE_PUBLICKEY: keys.public,
            zmq.CURVE_SECRETKEY: keys.secret,
            zmq.HANDSHAKE_IVL: HANDSHAKE_MS,
            zmq.CONNECT_TIMEOUT: CONNECT_MS,
            zmq.MAXMSGSIZE: MAX_MESSAGE_BYTES,
            zmq.RECONNECT_IVL: RECONNECT_MS,
            zmq.RECONNECT_IVL_MAX: RECONNECT_MAX_MS,
            zmq.SNDHWM: QUEUE,
            zmq.RCVHWM: QUEUE,
            zmq.LINGER: LINGER_MS,
        }
        for option, value in options.items():
            self._socket.set(option, value)
        self._monitor = _monitor(
            self._socket,
            zmq.EVENT_HANDSHAKE_SUCCEEDED
            | zmq.EVENT_DISCONNECTED
            | zmq.EVENT_HANDSHAKE_FAILED_AUTH
            | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL,
        )
        loop.add_socket(self._socket, self._receive)
        loop.add_socket(self._monitor, self._watch)
        self._socket.connect(f"tcp://{address}:{port}")

    def joined(self) -> None:
        """The roster has taken this member in: from now on a lost connection is the end."""
        self._joined = True

    def send(self, message: Mapping[str, Any]) -> None:
        if not self._closed:
            try:
                self._socket.send(encoded(message), zmq.NOBLOCK)
            except zmq.Again:
                return

    def close(self) -> None:
        """Deliver what is queued, for a second at most, and close."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_socket(self._socket)
        self._loop.remove_socket(self._monitor)
        self._socket.monitor(None, 0)
        self._monitor.close(linger=0)
        self._socket.close()
        self._context.term()

    def _receive(self) -> None:
        for _ in range(ROUND):
            if self._closed:
                return
            try:
                data = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            if (message := decoded(data)) is not None:
                self._on_message(message)

    def _watch(self) -> None:
        self._receive()
        while not self._closed and int(self._monitor.get(zmq.EVENTS)) & zmq.POLLIN:
            event, _ = _told(self._monitor)
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._on_up()
            elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                self._on_refused(True)
            elif event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
                self._on_refused(False)
            elif event == zmq.EVENT_DISCONNECTED and self._joined:
                self._on_gone()
