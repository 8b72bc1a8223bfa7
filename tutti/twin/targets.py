"""Where a text goes that EventBridge or its Scheduler has for a queue, a topic, a log group, a bus or a function."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from typing import Final

from tutti.twin.logstore import LogStore
from tutti.twin.moto_app import Moto

KINDS: Final = ("sqs", "sns", "logs", "events", "lambda")


class Targets:
    """Moto holds queues, topics and buses; log groups of our own are files; functions run as `invoke` runs them."""

    def __init__(
        self, moto: Moto, logs: LogStore, invoke: Callable[[str, str], None], *, account: str, region: str
    ) -> None:
        """`invoke(name, event)` runs a function and does not wait for it."""
        self._moto = moto
        self._logs = logs
        self._invoke = invoke
        self._account = account
        self._region = region

    def send(self, arn: str, text: str, *, group: str = "") -> None:
        """Give `text` to what `arn` names; `group`: the MessageGroupId of a FIFO queue.

        Raises
        ------
        LookupError
            No such thing, or one of a kind that the twin does not have.

        """
        _, _, service, _, _, rest = [*arn.split(":", 5), "", "", "", "", ""][:6]
        match service:
            case "sqs":
                self._to_queue(rest, text, group)
            case "sns":
                self._to_topic(arn, text)
            case "logs":
                self._to_log(rest.removeprefix("log-group:").removesuffix(":*"), text)
            case "events" if rest.startswith("event-bus/"):
                self._to_bus(rest.partition("/")[2], text)
            case "lambda":
                self._invoke(rest.split(":")[1], text)
            case _:
                raise LookupError(f"the twin sends events to {', '.join(KINDS)}, not to {arn}")

    def _to_queue(self, name: str, text: str, group: str) -> None:
        self._moto.ready()
        from moto.sqs.models import sqs_backends  # noqa: PLC0415  moto is loaded late on purpose

        backend = sqs_backends[self._account][self._region]
        if name not in backend.queues:
            raise LookupError(f"there is no queue {name}")
        # A FIFO queue asks for an id that makes doubles known; an event is sent once.
        backend.send_message(
            name, text, group_id=group or None, deduplication_id=uuid.uuid4().hex if name.endswith(".fifo") else None
        )

    def _to_topic(self, arn: str, text: str) -> None:
        self._moto.ready()
        from moto.sns.models import sns_backends  # noqa: PLC0415  moto is loaded late on purpose

        backend = sns_backends[self._account][self._region]
        if arn not in backend.topics:
            raise LookupError(f"there is no topic {arn}")
        backend.publish(text, arn)

    def _to_log(self, group: str, text: str) -> None:
        now, stream = int(time.time() * 1000), str(uuid.uuid4())
        if self._logs.has(group):
            self._logs.append(group, stream, [(now, text)])
            return
        self._moto.ready()
        from moto.logs.models import logs_backends  # noqa: PLC0415  moto is loaded late on purpose

        backend = logs_backends[self._account][self._region]
        if group not in backend.groups:
            raise LookupError(f"there is no log group {group}")
        backend.create_log_stream(group, stream)
        backend.put_log_events(group, stream, [{"timestamp": now, "message": text}])

    def _to_bus(self, name: str, text: str) -> None:
        self._moto.ready()
        from moto.events.models import events_backends  # noqa: PLC0415  moto is loaded late on purpose

        event = json.loads(text)
        entry = {"Source": event["source"], "DetailType": event["detail-type"], "Detail": json.dumps(event["detail"])}
        events_backends[self._account][self._region].put_events([{**entry, "EventBusName": name}])
