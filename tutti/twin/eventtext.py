"""What a target of EventBridge is given: the event, a part of it, or words with parts of it in them. Pure.

Source: EventBridge User Guide, "Transforming Amazon EventBridge target input".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

_NAMES: Final = re.compile(r'\\.|"|<([\w.-]+)>', re.DOTALL)
_STEPS: Final = re.compile(r"\.([\w-]+)|\[(\d+)\]|\['([^']+)'\]")
_MISSING: Final = object()


def event(
    detail_type: str,
    detail: Mapping[str, Any],
    *,
    source: str,
    resources: list[str],
    event_id: str,
    time: str,
    account: str,
    region: str,
) -> dict[str, Any]:
    """An event in EventBridge's envelope; `time` is ISO 8601 in UTC."""
    return {
        "version": "0",
        "id": event_id,
        "detail-type": detail_type,
        "source": source,
        "account": account,
        "time": time,
        "region": region,
        "resources": resources,
        "detail": dict(detail),
    }


def text_for(target: Mapping[str, Any], event: Mapping[str, Any], rule: Mapping[str, str]) -> str:
    """What `target` is sent: Input, InputPath or InputTransformer of it, else the whole event.

    `rule` has `name` and `arn`, for a template's `<aws.events.rule-name>`.
    """
    if "Input" in target:
        return str(target["Input"])
    if path := target.get("InputPath"):
        found = _at(event, path)
        return json.dumps(None if found is _MISSING else found)
    if transformer := target.get("InputTransformer"):
        values = {name: _at(event, path) for name, path in transformer.get("InputPathsMap", {}).items()}
        values |= {
            "aws.events.rule-name": rule["name"],
            "aws.events.rule-arn": rule["arn"],
            "aws.events.event.ingestion-time": event["time"],
            "aws.events.event": {key: value for key, value in event.items() if key != "detail"},
            "aws.events.event.json": event,
        }
        return _filled(transformer["InputTemplate"], values)
    return json.dumps(event)


def _filled(template: str, values: Mapping[str, Any]) -> str:
    """`<name>` by its value: inside quotes as words, outside as JSON; what the event does not have leaves nothing."""
    quoted = False

    def value(match: re.Match[str]) -> str:
        nonlocal quoted
        if match[0] == '"':
            quoted = not quoted
        if match[1] is None or match[1] not in values:
            return match[0]
        found = values[match[1]]
        if not quoted:
            return json.dumps("" if found is _MISSING else found)
        words = "" if found is _MISSING else found if isinstance(found, str) else json.dumps(found)
        return json.dumps(words)[1:-1]

    return _NAMES.sub(value, template)


def _at(document: Any, path: str) -> Any:
    """What stands at `$.a.b[0]`."""
    for name, index, quoted in _STEPS.findall(path.removeprefix("$")):
        try:
            document = document[int(index)] if index else document[name or quoted]
        except (KeyError, IndexError, TypeError):
            return _MISSING
    return document
