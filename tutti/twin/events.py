"""Batch's events on EventBridge (B16): handed to moto's default bus, which knows rules, patterns and targets."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from tutti.twin.moto_app import Moto

_LOG = logging.getLogger(__name__)
SOURCE = "aws.batch"


class EventBridge:
    """Events while nobody has made a rule go nowhere, and cost nothing."""

    def __init__(self, moto: Moto, *, account: str, region: str) -> None:
        self._moto = moto
        self._account = account
        self._region = region

    def tell(self, detail_type: str, detail: Mapping[str, Any]) -> None:
        """Send one event to the targets of every rule that fits. A target that fails is the rule's maker's business."""
        if not self._moto.is_ready:
            return
        from moto.events.models import events_backends  # noqa: PLC0415  moto is loaded late on purpose

        backend = events_backends[self._account][self._region]
        if not backend.describe_event_bus("default").rules:
            return
        event = {
            "Source": SOURCE,
            "DetailType": detail_type,
            "Detail": json.dumps(detail),
            "Resources": [arn for key in ("jobArn", "jobQueue") if (arn := detail.get(key))][:1],
        }
        try:
            backend.put_events([event])
        except Exception:  # noqa: BLE001  a target may fail in any way, and no job may suffer from it
            _LOG.exception("an event reached not all of its targets: %s of %s", detail_type, detail.get("jobId"))
