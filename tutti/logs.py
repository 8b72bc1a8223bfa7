"""Logs of a job: the streams of all its nodes as one, in time order, each line with its node and rank.

Reading is lazy: of each stream one page is held, so memory grows with the nodes, never with the lines.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from tutti.core.events import Line, parse_line
from tutti.jobs import Node

if TYPE_CHECKING:
    from types_boto3_logs.client import CloudWatchLogsClient

STREAMS_A_CALL: Final = 100  # FilterLogEvents' limit on logStreamNames
PAGE: Final = 10_000  # GetLogEvents' limit on events
HELD: Final = 200_000  # lines held at once, all streams together
LATE_MS: Final = 10_000  # how far behind its time a line may still arrive


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One node's log of one attempt."""

    name: str
    node: int
    attempt: int


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """A line, when (Unix milliseconds) and where it was written."""

    at_ms: int
    node: int
    attempt: int
    line: Line
    raw: str

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
    """All lines of all streams so far, in time order; lines of one node keep theirs."""
    page = max(100, min(PAGE, HELD // max(1, len(streams))))
    readers = [_read_stream(client, group, stream, page, since_ms) for stream in streams]
    return heapq.merge(*readers, key=attrgetter("at_ms"))


def tail(
    client: CloudWatchLogsClient, group: str, streams: Sequence[Stream], count: int, *, since_ms: int = 0
) -> list[LogLine]:
    """The last `count` lines: of each stream its last ones alone are read."""
    found: list[LogLine] = []
    for stream in streams:
        answer = _or_nothing(
            client.get_log_events,
            client,
            logGroupName=group,
            logStreamName=stream.name,
            startFromHead=False,
            limit=min(PAGE, count),
            **({"startTime": since_ms} if since_ms else {}),
        )
        found += [_line(event, stream) for event in answer.get("events", [])]
    return sorted(found, key=attrgetter("at_ms"))[-count:]


class Follower:
    """New lines of a growing set of streams, each line once; ask again with `new`."""

    def __init__(self, client: CloudWatchLogsClient, group: str, *, since_ms: int = 0) -> None:
        self._client = client
        self._group = group
        self._from_ms = since_ms
        self._newest_ms = since_ms
        self._seen: dict[str, int] = {}
        self._known: set[str] = set()

    def use(self, client: CloudWatchLogsClient) -> None:
        """Go on with another client: the old one's credentials have expired."""
        self._client = client

    def new(self, streams: Sequence[Stream]) -> list[LogLine]:
        """Lines that have come since the last call, in time order."""
        fresh = [s for s in streams if s.name not in self._known]
        old = [s for s in streams if s.name in self._known]
        # a stream seen for the first time is read from the start: its first lines may be older than others' last ones
        lines = self._filter(fresh, 0) + self._filter(old, max(0, self._newest_ms - LATE_MS))
        self._known.update(s.name for s in fresh)
        self._newest_ms = max([self._newest_ms, *(line.at_ms for line in lines)])
        horizon = self._newest_ms - 2 * LATE_MS
        self._seen = {key: at for key, at in self._seen.items() if at >= horizon}
        return sorted((line for line in lines if line.at_ms >= self._from_ms), key=attrgetter("at_ms"))

    def _filter(self, streams: Sequence[Stream], start_ms: int) -> list[LogLine]:
        found = []
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
                for event in answer.get("events", []):
                    if event["eventId"] not in self._seen:
                        self._seen[event["eventId"]] = event["timestamp"]
                        found.append(_line(event, chunk[event["logStreamName"]]))
                if not answer.get("nextToken"):
                    break
                token = {"nextToken": answer["nextToken"]}
        return found


def _read_stream(
    client: CloudWatchLogsClient, group: str, stream: Stream, page: int, since_ms: int
) -> Iterator[LogLine]:
    arguments: dict[str, Any] = {
        "logGroupName": group,
        "logStreamName": stream.name,
        "startFromHead": True,
        "limit": page,
    }
    if since_ms:
        arguments["startTime"] = since_ms
    token = ""
    while True:
        answer = _or_nothing(client.get_log_events, client, **arguments, **({"nextToken": token} if token else {}))
        for event in answer.get("events", []):
            yield _line(event, stream)
        following = answer.get("nextForwardToken", "")
        if following in ("", token):  # at the end, the same token comes back (API reference)
            return
        token = following


def _line(event: Mapping[str, Any], stream: Stream) -> LogLine:
    message = event["message"]
    return LogLine(
        at_ms=event["timestamp"], node=stream.node, attempt=stream.attempt, line=parse_line(message), raw=message
    )


def _or_nothing(call: Any, client: Any, **arguments: Any) -> Mapping[str, Any]:
    """The call's answer, or nothing while the stream does not exist: it is named before its first line is written."""
    try:
        answer: Mapping[str, Any] = call(**arguments)
    except client.exceptions.ResourceNotFoundException:
        return {}
    return answer
