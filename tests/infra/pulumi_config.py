"""`pulumi config set`, `set-all` and `rm` as Pulumi's CLI does them, and its check of values against the schema.

After pkg/cmd/pulumi/config and sdk/go/common/workspace/project.go (ValidateConfigValue) of github.com/pulumi/pulumi: a
plain `set` makes a string of whatever it is given, and a string is neither a list nor an object.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from copy import deepcopy
from typing import Any


def fits(entry: Mapping[str, Any], value: Any) -> bool:
    """Whether the engine takes a stack's value for a key of this type."""
    match entry["type"]:
        case "string":
            return isinstance(value, str)
        case "integer":
            return re.fullmatch(r"[+-]?\d+", str(value)) is not None
        case "boolean":
            return value in (True, False, "true", "false")
        case "object":
            return isinstance(value, Mapping)
    return isinstance(value, list) and all(fits(entry["items"], item) for item in value)


def apply(command: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The stack's own values after a command, or several with `&&`."""
    after = deepcopy(dict(values))
    for one in command.split(" && "):
        _, _, verb, *words = shlex.split(one)
        path = "--path" in words
        given = [word for word in words if word not in {"--path", "--plaintext"}]
        if verb == "rm":
            _change(after, _parsed(given[0], path=path), None)
            continue
        pairs = [given] if verb == "set" else [word.split("=", maxsplit=1) for word in given]
        for key, text in pairs:
            keys = _parsed(key, path=path)
            _change(after, keys, _typed(text) if len(keys) > 1 else text)
    return after


def _parsed(key: str, *, path: bool) -> list[str | int]:
    if not path:
        return [key]
    parts = re.findall(r"\[(\d+)\]|([^.\[\]]+)", key)
    return [int(index) if index else name for index, name in parts]


def _typed(text: str) -> Any:
    if text in {"true", "false"}:
        return text == "true"
    return int(text) if re.fullmatch(r"-?\d+", text) else text


def _change(inside: Any, keys: list[str | int], value: Any) -> None:
    """Set a leaf, making what is missing above it; None removes it."""
    key, *rest = keys
    here = key in inside if isinstance(inside, dict) else isinstance(key, int) and key < len(inside)
    if value is None and not here:
        return
    if not rest and value is None:
        del inside[key]
        return
    if not here and isinstance(inside, list):
        assert key == len(inside), f"{key} is past the end of {inside}"
        inside.append(None)
    if not rest:
        inside[key] = value
        return
    if not here:
        inside[key] = [] if isinstance(rest[0], int) else {}
    _change(inside[key], rest, value)
