"""What `--json` answers, held against the schemas that `tutti schema` shows."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tutti.cli.schema import schemas

jsonschema: Any = import_module("jsonschema")  # has no types


def accepts(name: str, value: object) -> bool:
    """Whether the answer is as its schema says."""
    try:
        jsonschema.validate(value, schemas()[name](), cls=jsonschema.Draft202012Validator)
    except jsonschema.ValidationError:
        return False
    return True
