"""Logs of a job: the streams of all its nodes as one, in time order, each line with its node and rank.

Reading is lazy: of each stream one page is held, so memory grows with the nodes, never with the lines.
"""

from __future__ import annotations

import gc
import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tutti.core.events import Line, parse_line
from tutti.jobs import Node

if TYPE_CHECKING:
    from types_boto3_logs.client import CloudWatchLogsClient

STREAMS_A_CALL: Final = 100  # FilterLogEvents' limit on logStreamNames
PAGE: Final = 10_000  # GetLogEvents' limit on events
HELD: Final = 300_000  # lines held at once, all streams together; as many are on their way
AHEAD: Final = 4  # pages fetched at once
LATE_MS: Final = 10_000  # how far behind its time a line may still arrive
# FilterLogEvents has 5 calls a second in most regions, for everybody in the account. Live Tail would cost 0.01 USD a
# minute, ends after 3 hours and leaves lines out above 500 a second.
CALLS_A_S: Final = 1.0
QUIET: Final = 1.5  # how much longer the pause gets with each look that finds nothing
LONGEST: Final = 5.0  # pauses, at most


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One node's log of one attempt."""

    name: str
    node: int
    attempt: int


class LogLine(NamedTuple):
    """A line, when (Unix milliseconds) and where it was written. A tuple: there are millions of them."""

    at_ms: int
    node: int
    attempt: int
    raw: str

    @property
    def line(self) -> Line:
        """The line taken apart: node, rank, text."""
        return parse_line(self.raw)

    def __str__(self) -> str:
        return self.raw if self.line.node is not None else f"[{self.node}] {self.raw}"


def streams_of(nodes: Iterable[Node]) -> list[Stream]:
    """Every log stream of every attempt that is known so far."""
    found: dict[str, Stream] = {}
    for node in nodes:
        for attempt in node.attempts:
            if attempt.stream:
                found[attempt.stream] = Stream(name=attempt.stream, node=node.index, attempt=attempt.number)
        if node.stream and node.stream not in found:
            found[node.stream] = Stream(name=node.stream, node=node.index, attempt=len(node.attempts) + 1)
    return list(found.values())


def read_all(
    client: CloudWatchLogsClient, group: str, streams: Sequence[Stream], *, since_ms: int = 0
) -> Iterator[LogLine]:
    """All lines of all streams so far, in time order; lines of one node keep theirs.

    Of each stream one page is held and the next is on its way. What is older than the youngest line of every page that
    is held cannot be overtaken, so it is sorted and given out at once: nothing is done line by line.
    """
    page = max(100, min(PAGE, HELD // max(1, len(streams))))
    arguments: dict[str, Any] = {"logGroupName": group, "startFromHead": True, "limit": page}
    if since_ms:
        arguments["startTime"] = since_ms
    client.meta.events.register(_BEFORE_PARSE, _take_events, unique_id="tutti-events")
    with ThreadPoolExecutor(max_workers=AHEAD) as pool:
        readers = [_Reader(pool, client, stream, arguments) for stream in streams]
        try:
            while readers := [r for r in readers if r.fill()]:
                horizon = min(r.held[-1][0] for r in readers)
                lines = [line for r in readers for line in r.take(horizon)]
                lines.sort(key=_WHEN)  # by time alone, and stable: a node's own order stays
                yield from lines
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def no_collector() -> Iterator[None]:
    """Without Python's cycle collector: lines are tuples without cycles, and to look for some took 40 % of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


_WHEN: Final = itemgetter(0)
_BEFORE_PARSE: Final = "before-parse.cloudwatch-logs.GetLogEvents"


def _take_events(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """Read the events of a page at once: botocore's parser walks every field of every event, 3 us a line."""
    if response_dict["status_code"] == HTTPStatus.OK:
        answer = json.loads(response_dict["body"])
        customized_response_dict["events"] = answer.pop("events", [])
        response_dict["body"] = json.dumps(answer).encode()


class _Reader:
    """The pages of one stream, the next one always being fetched."""

    def __init__(
        self, pool: Executor, client: CloudWatchLogsClient, stream: Stream, arguments: Mapping[str, Any]
    ) -> None:
        self.held: list[LogLine] = []
        self._pool, self._client, self._stream = pool, client, stream
        self._arguments = {**arguments, "logStreamName": stream.name}
        self._coming: Future[tuple[list[LogLine], str]] | None = pool.submit(self._page, "")
        self._token = ""

    def fill(self) -> bool:
        """Hold at least one line; False where there is none any more."""
        while not self.held and self._coming is not None:
            self.held, following = self._coming.result()
            ended = following in {"", self._token}  # at the end, the same token comes back (API reference)
            self._token = following
            self._coming = None if ended else self._pool.submit(self._page, following)
        return bool(self.held)

    def take(self, horizon: int) -> list[LogLine]:
        """The lines until `horizon`, which are no longer held then."""
        until = bisect_right(self.held, horizon, key=_WHEN)
        taken, self.held = self.held[:until], self.held[until:]
        return taken

    def _page(self, token: str) -> tuple[list[LogLine], str]:
        more = {"nextToken": token} if token else {}
        answer = _or_nothing(self._client.get_log_events, self._client, **self._arguments, **more)
        node, attempt = self._stream.node, self._stream.attempt
        lines = [LogLine(e["timestamp"], node, attempt, e["message"]) for e in answer.get("events", [])]
        return lines, answer.get("nextForwardToken", "")


def tail(
    client: CloudWatchLogsClient,
    group: str,
    streams: Sequence[Stream],
    count: int,
    *,
    since_ms: int = 0,
    keep: Callable[[LogLine], bool] | None = None,
) -> list[LogLine]:
    """The last `count` lines, or the last that `keep` says yes to: each stream is read from its end, and no further."""
    found: list[LogLine] = []
    for stream in streams:
        lines: list[LogLine] = []
        limit, token = min(PAGE, count), ""
        while len(lines) < count:
            answer = _or_nothing(
                client.get_log_events,
                client,
                logGroupName=group,
                logStreamName=stream.name,
                startFromHead=False,
                limit=limit,
                **({"startTime": since_ms} if since_ms else {}),
                **({"nextToken": token} if token else {}),
            )
            page = [_line(event, stream) for event in answer.get("events", [])]
            lines = [line for line in page if keep is None or keep(line)] + lines
            following = answer.get("nextBackwardToken", "")
            if keep is None or following in {"", token}:  # at the start, the same token comes back (API reference)
                break
            limit, token = PAGE, following
        found += lines
    return sorted(found, key=_WHEN)[-count:]


class Follower:
    """New lines of a growing set of streams, each line once; ask again with `new`, not before `pause` is over."""

    def __init__(self, client: CloudWatchLogsClient, group: str, *, since_ms: int = 0, poll_s: float = 0.0) -> None:
        self._client = client
        self._group = group
        self._from_ms = since_ms
        self._newest_ms = since_ms
        self._seen: dict[str, int] = {}
        self._known: set[str] = set()
        self._poll_s = self.pause_s = poll_s
        self._calls = 0

    def use(self, client: CloudWatchLogsClient) -> None:
        """Go on with another client: the old one's credentials have expired."""
        self._client = client

    def new(self, streams: Sequence[Stream]) -> list[LogLine]:
        """Lines that have come since the last call, in time order. Where it fails, the next call has them still."""
        fresh = [s for s in streams if s.name not in self._known]
        old = [s for s in streams if s.name in self._known]
        self._calls = 0
        # a stream seen for the first time is read from its start: its first lines may be older than others' last ones
        found = {**self._filter(fresh, self._from_ms), **self._filter(old, max(0, self._newest_ms - LATE_MS))}
        self._known.update(s.name for s in fresh)
        self._newest_ms = max([self._newest_ms, *(line.at_ms for line in found.values())])
        horizon = self._newest_ms - 2 * LATE_MS
        self._seen = {key: at for key, at in self._seen.items() if at >= horizon}
        self._seen |= {key: line.at_ms for key, line in found.items() if line.at_ms >= horizon}
        self._rest(quiet=not found)
        return sorted((line for line in found.values() if line.at_ms >= self._from_ms), key=_WHEN)

    def _rest(self, *, quiet: bool) -> None:
        """How long until the next look: as long as the calls of this one cost others, longer while nothing comes."""
        longer = min(self.pause_s * QUIET, LONGEST * self._poll_s) if quiet else self._poll_s
        self.pause_s = max(longer, self._calls / CALLS_A_S if self._calls > 1 else 0.0)

    def _filter(self, streams: Sequence[Stream], start_ms: int) -> dict[str, LogLine]:
        """Lines that were not seen yet, by their event's id."""
        found = {}
        for i in range(0, len(streams), STREAMS_A_CALL):
            chunk = {s.name: s for s in streams[i : i + STREAMS_A_CALL]}
            token: dict[str, str] = {}
            while True:
                answer = _or_nothing(
                    self._client.filter_log_events,
                    self._client,
                    logGroupName=self._group,
                    logStreamNames=list(chunk),
                    startTime=start_ms,
                    **token,
                )
                self._calls += 1
                for event in answer.get("events", []):
                    if event["eventId"] not in self._seen:
                        found[event["eventId"]] = _line(event, chunk[event["logStreamName"]])
                if not answer.get("nextToken"):
                    break
                token = {"nextToken": answer["nextToken"]}
        return found


def _line(event: Mapping[str, Any], stream: Stream) -> LogLine:
    return LogLine(event["timestamp"], stream.node, stream.attempt, event["message"])


def _or_nothing(call: Any, client: Any, **arguments: Any) -> Mapping[str, Any]:
    """The call's answer, or nothing while the stream does not exist: it is named before its first line is written."""
    try:
        answer: Mapping[str, Any] = call(**arguments)
    except client.exceptions.ResourceNotFoundException:
        return {}
    return answer
