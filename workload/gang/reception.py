"""Main's door: who is let in, who is refused, who is lost. The roster and the watch, tied to the wire."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from workload.contract import Event, ExitCode
from workload.gang.log import Log
from workload.gang.loop import Loop, Timer
from workload.gang.roster import Differs, Hello, Refused, Roster
from workload.gang.watch import LOOK_S, Watch
from workload.gang.wire import Message, Peer, RosterWire

SKEW_S: Final = 1.0  # a clock that is further off is reported, never fatal
KINDS_OF_REFUSALS: Final = 100  # (address, reason); the first of each is told at once
REFUSALS_EVERY_S: Final = 10.0  # more of a kind, as a sum


class Reception:
    """Admits members, hears their messages, and tells of those that are lost."""

    def __init__(self, loop: Loop, log: Log, roster: Roster, watch: Watch, wire: Callable[..., RosterWire]) -> None:
        self._loop = loop
        self._log = log
        self.roster = roster
        self.watch = watch
        self._peers: dict[int, Peer] = {}
        self._last_words: dict[int, str] = {}
        self._refused: dict[tuple[str, str], int] = {}  # kind -> refusals that the log has not told
        self._refusal_timer: Timer | None = None
        self._when_empty: Callable[[], None] | None = None
        self._keep = -1  # the index that may stay while the others leave
        self._wire = wire(on_message=self._heard, on_gone=self._gone, on_refused=self._kept_out)
        self._looking = loop.every(LOOK_S, self._look)

    @property
    def port(self) -> int:
        return self._wire.port

    def listen(
        self,
        *,
        on_message: Callable[[int, Message], None],
        on_ready: Callable[[], None],
        on_end: Callable[[int, str], None],
        on_stall: Callable[[float], None],
    ) -> None:
        """Who wants to know: of members' messages, of the last one's arrival, of what ends the gang, of a stall."""
        self._on_message = on_message
        self._on_ready = on_ready
        self._on_end = on_end
        self._on_stall = on_stall

    def send(self, index: int, message: Mapping[str, Any]) -> None:
        if peer := self._peers.get(index):
            self._wire.send(peer, message)

    def broadcast(self, message: Mapping[str, Any]) -> None:
        for peer in self._peers.values():
            self._wire.send(peer, message)

    def dismiss(self, reason: str, own: int, within_s: float, then: Callable[[], None]) -> None:
        """Tell every member that the gang ends; `then`, when all but `own` have left or `within_s` is over."""
        self.roster.closed = reason or "it has ended"
        self._looking.cancel()
        self._keep = own
        self._when_empty = then
        self.broadcast({"t": "end", "reason": reason})
        self._loop.after(within_s, self._empty)
        self._maybe_empty()

    def close(self) -> None:
        self._say_refusals()
        self._wire.close()

    def _heard(self, peer: Peer, message: Message) -> None:
        if self._peers.get(peer.index) != peer:
            if message["t"] == "hello":
                self._hello(peer, message)
            return
        late = self.watch.beat(peer.index, time.monotonic())
        if late is not None:
            self._log.says(f"a heartbeat of node {peer.index} came {late:.1f} s after the one before")
        if message["t"] == "beat":
            self._last_words[peer.index] = str(message.get("last", ""))
            if message.get("active"):
                self.watch.active(time.monotonic())
            self.send(peer.index, {"t": "beat"})
        self._on_message(peer.index, message)

    def _hello(self, peer: Peer, message: Message) -> None:
        try:
            hello = Hello.from_message(message)
        except ValueError as error:
            self._turn_away(peer, str(error))
            return
        verdict = self.roster.admit(peer.index, hello)
        match verdict:
            case Refused(reason=reason):
                self._turn_away(peer, reason)
            case Differs(reason=reason):
                self._turn_away(peer, reason)
                self._on_end(ExitCode.SETTINGS, reason)
            case _:
                self._peers[peer.index] = peer
                self.watch.beat(peer.index, time.monotonic())
                self.send(peer.index, {"t": "welcome"})
                here = len(self.roster.members)
                self._log.says(f"node {peer.index} is in, from {hello.address}: {here} of {self.roster.count}")
                if abs(skew := time.time() - hello.clock) > SKEW_S:
                    self._log.says(
                        f"node {peer.index}'s clock is {abs(skew):.1f} s {'behind' if skew > 0 else 'ahead'}"
                    )
                if verdict.complete:
                    self._on_ready()

    def _turn_away(self, peer: Peer, reason: str) -> None:
        self._wire.send(peer, {"t": "refused", "reason": reason})
        self._kept_out(peer.address, f"node {peer.index}: {reason}")

    def _kept_out(self, address: str, reason: str) -> None:
        """Log a refusal: the first of a kind at once, a flood of them as sums."""
        kind = (address, reason)
        if kind not in self._refused and len(self._refused) < KINDS_OF_REFUSALS:
            self._refused[kind] = 0
            self._log.says(f"refused a connection from {address}: {reason}")
            return
        if kind not in self._refused:
            kind = ("many addresses", "for one reason or another")
        self._refused[kind] = self._refused.get(kind, 0) + 1
        if self._refusal_timer is None:
            self._refusal_timer = self._loop.after(REFUSALS_EVERY_S, self._say_refusals)

    def _say_refusals(self) -> None:
        self._refusal_timer = None
        for (address, reason), count in self._refused.items():
            if count:
                self._log.says(f"refused {count} more from {address}: {reason}")
        self._refused = dict.fromkeys(self._refused, 0)

    def _gone(self, peer: Peer) -> None:
        if self._peers.get(peer.index) != peer:
            return
        self._lose(peer.index, "its connection is closed")

    def _look(self) -> None:
        now = time.monotonic()
        for index, seconds in self.watch.silent(now):
            self._lose(index, f"it has been silent for {seconds:.1f} s")
        if (idle := self.watch.stalled(now)) is not None:
            self._on_stall(idle)

    def _lose(self, index: int, reason: str) -> None:
        del self._peers[index]
        address = self.roster.members[index].address
        after = time.monotonic() - self.watch.gone(index)
        if self.roster.closed:
            self._maybe_empty()
            return
        words = self._last_words.get(index, "")
        self._log.event(Event.LOST, node=index, address=address, reason=reason, last_words=words, after=round(after, 3))
        told = f"; its last words: {words}" if words else ""
        self._on_end(ExitCode.LOST, f"node {index} ({address}) is lost: {reason}{told}")

    def _maybe_empty(self) -> None:
        if not self._peers.keys() - {self._keep}:
            self._empty()

    def _empty(self) -> None:
        if then := self._when_empty:
            self._when_empty = None
            then()
