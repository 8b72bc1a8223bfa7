"""Batch's events on EventBridge (B16): moto keeps the rules, the twin gives every target what AWS would give it.

Moto's own delivery knows neither topics nor functions, fires rules that are disabled, and stops at the first target
that fails.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import Any, Final

from tutti.twin.eventtext import event, text_for
from tutti.twin.moto_app import Moto
from tutti.twin.targets import Targets
from workload.notices import QUEUE_BLOCKED

_LOG = logging.getLogger(__name__)
SOURCE: Final = "aws.batch"


class EventBridge:
    """Events are sent in order by a thread of their own: a slow target keeps no job waiting."""

    def __init__(self, moto: Moto, targets: Targets, *, account: str, region: str) -> None:
        self._moto = moto
        self._targets = targets
        self._account = account
        self._region = region
        # Whether anybody can have made a rule; before that events go nowhere, and need not be made.
        self.listening = False
        self._events: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._send_all, name="events", daemon=True)
        self._thread.start()

    def tell(self, detail_type: str, detail: Mapping[str, Any]) -> None:
        """Send one event to the targets of every rule that fits."""
        now = datetime.now(UTC)
        made = event(
            detail_type,
            detail,
            source=SOURCE,
            resources=[detail["jobArn"], *([detail["jobQueue"]] if detail_type == QUEUE_BLOCKED else [])],
            event_id=str(uuid.uuid4()),
            time=f"{now:%Y-%m-%dT%H:%M:%SZ}",
            account=self._account,
            region=self._region,
        )
        self._events.put(made)

    def close(self) -> None:
        """Send what is there, a second long at most."""
        self._events.put(None)
        self._thread.join(1)

    def _rules(self) -> list[Any]:
        from moto.events.models import events_backends  # noqa: PLC0415  moto is loaded late on purpose

        return list(events_backends[self._account][self._region].describe_event_bus("default").rules.values())

    def _send_all(self) -> None:
        while (made := self._events.get()) is not None:
            for rule in self._rules():
                if rule.state == "ENABLED" and _fits(rule, made):
                    for target in list(rule.targets):
                        self._send(rule, target, made)

    def _send(self, rule: Any, target: Mapping[str, Any], made: Mapping[str, Any]) -> None:
        try:
            text = text_for(target, made, {"name": rule.name, "arn": rule.arn})
            group = target.get("SqsParameters", {}).get("MessageGroupId", "")
            self._targets.send(target["Arn"], text, group=group)
        except Exception as error:  # noqa: BLE001  a target may fail in any way, and no other may suffer from it
            what = f"{made['detail-type']} of {made['detail'].get('jobId')}"
            _LOG.warning("rule %s could not send %s to %s: %s", rule.name, what, target["Arn"], error)


def _fits(rule: Any, made: Mapping[str, Any]) -> bool:
    """Whether a rule has a pattern that the event fits; one that cannot be read, which AWS would not take, does not."""
    try:
        return bool(rule.event_pattern.get_pattern()) and bool(rule.event_pattern.matches_event(made))
    except Exception as error:  # noqa: BLE001  moto takes any pattern, and no other rule may suffer from it
        _LOG.warning("the pattern of rule %s cannot be read: %s", rule.name, error)
        return False
