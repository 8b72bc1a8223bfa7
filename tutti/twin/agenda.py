"""Schedules of EventBridge Scheduler: what was asked for, when each is due next, and a thread that acts when it is.

Kept in the store, so they survive a restart: what fell due while the twin was down is made up for once, up to a day
late, as Scheduler does.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from tutti.core import timetable
from tutti.twin.store import Store

SCHEDULE: Final = "schedule"
NEXT: Final = "tuttiNext"  # seconds since 1970; None: never again. Not shown
LATEST_S: Final = 86_400  # MaximumEventAgeInSeconds, at its default
_A_MOMENT: Final = 1e-6
_LOOK_S: Final = 60.0  # a machine that slept wakes with its clock moved on
_LOG = logging.getLogger(__name__)
Document = Mapping[str, Any]


class Agenda:
    """Schedules by ARN, in the API's own spelling. Times are seconds since 1970."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changed = threading.Condition()
        self._documents: dict[str, Document] = {d["Arn"]: d for d in store.resources(SCHEDULE)}
        self._closing = False
        self._thread: threading.Thread | None = None

    def start(self, act: Callable[[Document], None]) -> None:
        """Call `act` with each schedule that falls due, from now on."""
        self._thread = threading.Thread(target=self._run, args=(act,), name="agenda", daemon=True)
        self._thread.start()

    def close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread:
            self._thread.join(5)

    def all(self) -> list[Document]:
        """Newest first."""
        with self._changed:
            return sorted(self._documents.values(), key=lambda d: -float(d["CreationDate"]))

    def find(self, arn: str) -> Document | None:
        with self._changed:
            return self._documents.get(arn)

    def keep(self, document: Document, now: float) -> None:
        """Add or replace a schedule; when it is due counts from now.

        Raises
        ------
        ValueError
            Its expression or time zone cannot be read.

        """
        self._put({**document, NEXT: next_time(document, now)})

    def drop(self, arn: str) -> None:
        with self._changed:
            self._documents.pop(arn, None)
            self._store.remove_resource(arn)
            self._changed.notify_all()

    def take_due(self, now: float) -> list[Document]:
        """Schedules that are due, each once: they get their next time, and those that have none may go."""
        with self._changed:
            due = [d for d in self._documents.values() if d["State"] == "ENABLED" and (d[NEXT] or now + 1) <= now]
            for document in due:
                following = next_time(document, now + _A_MOMENT)
                if following is None and document["ActionAfterCompletion"] == "DELETE":
                    self.drop(document["Arn"])
                else:
                    self._put({**document, NEXT: following})
            return [d for d in due if now - d[NEXT] <= LATEST_S]

    def due(self) -> float | None:
        """When the next one is."""
        with self._changed:
            return min((d[NEXT] for d in self._documents.values() if d[NEXT] and d["State"] == "ENABLED"), default=None)

    def _put(self, document: Document) -> None:
        with self._changed:
            self._documents[document["Arn"]] = document
            self._store.save_resource(SCHEDULE, document["Arn"], document)
            self._changed.notify_all()

    def _run(self, act: Callable[[Document], None]) -> None:
        while True:
            with self._changed:
                if self._closing:
                    return
                due = self.take_due(time.time())
                if not due:
                    at = self.due()
                    self._changed.wait(None if at is None else min(_LOOK_S, max(0.0, at - time.time())))
            for document in due:
                try:
                    act(document)
                except Exception as error:  # noqa: BLE001  one bad target must not end the thread that serves all
                    _LOG.warning("schedule %s: %s", document["Name"], error)


def next_time(document: Document, now: float) -> float | None:
    """When a schedule is due, at `now` or later and between its dates; None where it is not any more.

    Raises
    ------
    ValueError
        Its expression or time zone cannot be read.
    """
    begin = float(document.get("StartDate") or document["CreationDate"])
    table = timetable.parse(
        document["ScheduleExpression"],
        document.get("ScheduleExpressionTimezone") or "UTC",
        start=datetime.fromtimestamp(begin, UTC),
    )
    earliest = now if _is_once(document) else max(now, begin)
    found = table.next(datetime.fromtimestamp(earliest, UTC))
    if found is None or (document.get("EndDate") and found.timestamp() > float(document["EndDate"])):
        return None
    return found.timestamp()


def _is_once(document: Document) -> bool:
    return str(document["ScheduleExpression"]).startswith("at(")
