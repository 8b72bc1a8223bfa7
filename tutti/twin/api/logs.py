"""CloudWatch Logs for the groups that nodes write to; `owns` says which those are. All others are moto's.

Limits as AWS has them: 10,000 events or 1 MiB a page.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tutti.twin import logstore
from tutti.twin.api import model
from tutti.twin.api.errors import ApiError
from tutti.twin.api.paging import paged, start_of
from tutti.twin.logstore import LogEvent, LogStore, Stream

TARGET: Final = "Logs_20140328."
PAGE_EVENTS: Final = 10_000
PAGE_BYTES: Final = 1 << 20
_STREAMS_PAGE: Final = 50
_MAX_NAMES: Final = 100


class Logs:
    """Operations by the API's own names."""

    def __init__(self, store: LogStore, *, region: str, account: str) -> None:
        self._store = store
        self._arn = f"arn:aws:logs:{region}:{account}:log-group:"

    def owns(self, body: bytes) -> bool:
        """Whether a request is about a group of ours."""
        try:
            request = json.loads(body or b"{}")
        except ValueError:
            return True
        group = _group(request)
        return bool(group) and self._store.has(group)

    def answer(self, operation: str, body: bytes) -> dict[str, Any]:
        handler: Callable[[dict[str, Any]], dict[str, Any]] | None = getattr(self, operation, None)
        if handler is None or not operation[:1].isupper():
            raise ApiError(f"the twin does not do {operation} on a job's log group", code="NotImplementedException")
        request = json.loads(body or b"{}")
        model.check("logs", operation, request)
        return handler(request)

    def CreateLogGroup(self, _request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802  the API's own name
        raise ApiError("The specified log group already exists", code="ResourceAlreadyExistsException")

    def PutRetentionPolicy(self, _request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {}

    def CreateLogStream(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        path = self._store.file(request["logGroupName"], request["logStreamName"])
        if path.exists():
            raise ApiError("The specified log stream already exists", code="ResourceAlreadyExistsException")
        path.touch()
        return {}

    def PutLogEvents(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        self._stream(request)
        events = [(e["timestamp"], e["message"]) for e in request["logEvents"]]
        self._store.append(_group(request), request["logStreamName"], events)
        return {"nextSequenceToken": "0"}

    def DescribeLogStreams(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        group = _group(request)
        streams = self._store.streams(group, request.get("logStreamNamePrefix", ""))
        if request.get("orderBy") == "LastEventTime":
            streams.sort(key=lambda s: s.modified)
        if request.get("descending"):
            streams.reverse()
        start, page = (
            start_of(request.get("nextToken"), code="InvalidParameterException"),
            min(request.get("limit", _STREAMS_PAGE), _STREAMS_PAGE),
        )
        found = paged("logStreams", streams, start, page)
        return {**found, "logStreams": [self._described(group, s) for s in found["logStreams"]]}

    def GetLogEvents(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        path = self._stream(request)
        lines = min(request.get("limit", PAGE_EVENTS), PAGE_EVENTS)
        begin = logstore.offset_at(path, request["startTime"]) if "startTime" in request else 0
        size = logstore.offset_at(path, request["endTime"]) if "endTime" in request else path.stat().st_size
        direction, _, at = request.get("nextToken", "").partition("/")
        if direction not in {"", "f", "b"} or (direction and not at.isdigit()):
            raise ApiError("The specified nextToken is invalid.", code="InvalidParameterException")
        if direction == "f" or (not direction and request.get("startFromHead")):
            offset = int(at) if direction else begin
            events, _ = logstore.read_forward(path, offset, lines=lines, limit=min(PAGE_BYTES, max(0, size - offset)))
        else:
            offset = int(at) if direction else size
            events = logstore.read_backward(path, offset, lines=lines, limit=PAGE_BYTES)
            events = [e for e in events if e.offset >= begin]
        first, last = (events[0].offset, events[-1].end) if events else (offset, offset)
        return {
            "events": [_event(e) for e in events],
            "nextForwardToken": f"f/{last}",
            "nextBackwardToken": f"b/{first}",
        }

    def FilterLogEvents(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        group = _group(request)
        names = request.get("logStreamNames")
        if names is not None and "logStreamNamePrefix" in request:
            raise ApiError(
                "logStreamNames and logStreamNamePrefix exclude each other", code="InvalidParameterException"
            )
        if names is not None and len(names) > _MAX_NAMES:
            raise ApiError(f"at most {_MAX_NAMES} logStreamNames", code="InvalidParameterException")
        if names is None:
            names = [s.name for s in self._store.streams(group, request.get("logStreamNamePrefix", ""))]
        paths = {name: self._store.file(group, name) for name in names}
        if missing := [name for name, path in paths.items() if not path.exists()]:
            raise ApiError(f"The specified log stream does not exist: {missing[0]}", code="ResourceNotFoundException")
        start, end = request.get("startTime"), request.get("endTime")
        offsets = _offsets(request.get("nextToken"))
        positions = {
            name: offsets.get(name, logstore.offset_at(path, start) if start is not None else 0)
            for name, path in paths.items()
        }
        limit = min(request.get("limit", PAGE_EVENTS), PAGE_EVENTS)
        page, positions, more = _merged(paths, positions, limit, end)
        accept = _pattern(request["filterPattern"]) if request.get("filterPattern") else None
        ids = {name: f"{zlib.crc32(name.encode()):010d}" for name in names}
        events = [
            {
                "logStreamName": name,
                "timestamp": e.timestamp,
                "message": e.message,
                "ingestionTime": e.timestamp,
                "eventId": f"{ids[name]}{e.offset:020d}",
            }
            for name, e in page
            if accept is None or accept(e.message)
        ]
        result: dict[str, Any] = {"events": events, "searchedLogStreams": []}
        if more:
            result["nextToken"] = base64.urlsafe_b64encode(json.dumps(positions).encode()).decode()
        return result

    def _stream(self, request: dict[str, Any]) -> Path:
        path = self._store.file(_group(request), request["logStreamName"])
        if not path.exists():
            raise ApiError("The specified log stream does not exist.", code="ResourceNotFoundException")
        return path

    def _described(self, group: str, stream: Stream) -> dict[str, Any]:
        last = logstore.last_stamp(stream.path, stream.size)
        found = {
            "logStreamName": stream.name,
            "creationTime": stream.created,
            "arn": f"{self._arn}{group}:log-stream:{stream.name}",
            "storedBytes": 0,
        }
        if last is not None:
            found |= {"firstEventTimestamp": stream.created, "lastEventTimestamp": last, "lastIngestionTime": last}
        return found


def _group(request: dict[str, Any]) -> str:
    name = request.get("logGroupName") or request.get("logGroupIdentifier") or ""
    return str(name).partition(":log-group:")[2].removesuffix(":*") if ":log-group:" in str(name) else str(name)


def _event(event: LogEvent) -> dict[str, Any]:
    return {"timestamp": event.timestamp, "message": event.message, "ingestionTime": event.timestamp}


def _merged(
    paths: dict[str, Path], positions: dict[str, int], limit: int, end: int | None
) -> tuple[list[tuple[str, LogEvent]], dict[str, int], bool]:
    """One page of all streams in order of time, the positions after it, and whether more follow."""
    # Read somewhat more than each stream's part of the page: what is read and not sent is read again.
    lines = max(100, 3 * limit // (2 * max(1, len(paths))))
    share = max(64 * 1024, 2 * PAGE_BYTES // max(1, len(paths)))
    rows: list[tuple[int, int, str, LogEvent]] = []
    horizon: int | None = None  # of a stream that was not read to its end: what comes later must wait
    for number, (name, path) in enumerate(paths.items()):
        events, more = logstore.read_forward(path, positions[name], lines=lines, limit=share)
        if end is not None and events and events[-1].timestamp >= end:
            events, more = [e for e in events if e.timestamp < end], False
        if more and events:
            last = events[-1].timestamp
            horizon = last if horizon is None else min(horizon, last)
        rows += [(e.timestamp, number, name, e) for e in events]
    rows.sort(key=lambda row: row[:2])
    ready = [row for row in rows if horizon is None or row[0] <= horizon]
    page = _cut(ready[:limit])
    after = dict(positions)
    for _, _, name, event in page:
        after[name] = event.end
    return [(name, event) for _, _, name, event in page], after, len(page) < len(rows) or horizon is not None


def _cut(rows: list[tuple[int, int, str, LogEvent]]) -> list[tuple[int, int, str, LogEvent]]:
    """As many as fit a page; AWS counts 26 bytes for each event beside its text."""
    room = PAGE_BYTES
    for count, row in enumerate(rows):
        room -= row[3].end - row[3].offset + 26
        if room < 0:
            return rows[: max(1, count)]
    return rows


def _pattern(pattern: str) -> Callable[[str], bool]:
    """Words that must all be there, `-word` that must not, `?word` of which one must; phrases in quotes."""
    if pattern.startswith(("{", "[")):
        raise ApiError("the twin filters by words and phrases alone", code="InvalidParameterException")
    terms = [
        (sign, quoted or word)
        for sign, quoted, word in re.findall(r'([-?]?)(?:"([^"]*)"|(\S+))', pattern)
        if quoted or word
    ]
    needed = [text for sign, text in terms if not sign]
    refused = [text for sign, text in terms if sign == "-"]
    one_of = [text for sign, text in terms if sign == "?"]

    def accept(message: str) -> bool:
        return (
            all(text in message for text in needed)
            and not any(text in message for text in refused)
            and (not one_of or any(text in message for text in one_of))
        )

    return accept


def _offsets(token: str | None) -> dict[str, int]:
    if not token:
        return {}
    try:
        return {str(k): int(v) for k, v in json.loads(base64.urlsafe_b64decode(token)).items()}
    except (ValueError, AttributeError):
        raise ApiError("The specified nextToken is invalid.", code="InvalidParameterException") from None
