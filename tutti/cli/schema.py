"""`tutti schema`: JSON schemas, of files for editors and of answers for programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import typer

from tutti.cli.common import new_app
from tutti.cli.screen import as_json
from tutti.errors import InputError, Problem, likely
from workload.contract import Card, CardDefinition, CardQueue, CardTwin

app = new_app()
DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"


@app.command(help="A JSON schema: of job and sweep files for your editor, or of what a command answers with --json.")
def schema(
    *,
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="without one: which there are", show_default=False)
    ] = "",
) -> None:
    known = schemas()
    if not name:
        print("\n".join(known))
    elif name not in known:
        what = f"no schema {name!r}{likely(name, known)}; allowed: {', '.join(known)}"
        raise InputError([Problem(where="", what=what)])
    else:
        print(as_json({"$schema": DRAFT, **known[name](), "title": f"tutti {name}"}))


def schemas() -> dict[str, Callable[[], dict[str, Any]]]:
    """Every schema by name, made when it is asked for."""
    return {
        "job": _job,
        "sweep": _sweep,
        "status": lambda: _listed("tutti.jobs", "Summary"),
        "status-id": _status_of_one,
        "queues": lambda: _listed("tutti.queues", "QueueState"),
        "hosts": lambda: _listed("tutti.cli.hosts", "Host"),
        "schedule-ls": lambda: _listed("tutti.schedule", "Scheduled"),
        "data-ls": lambda: _listed("tutti.data", "Entry"),
        "card": _card,
    }


def _job() -> dict[str, Any]:
    from tutti.jobfile import JobFile  # noqa: PLC0415  pydantic: only where a schema is wanted

    return JobFile.model_json_schema(by_alias=True)


def _sweep() -> dict[str, Any]:
    from tutti.core.points import DRAWS  # noqa: PLC0415  only where a schema is wanted

    job = _job()
    job.pop("title", None)
    values = {"type": "array", "minItems": 1}
    draws = {
        "type": "object",
        "properties": dict.fromkeys(DRAWS, values),
        "additionalProperties": False,
        "maxProperties": 1,
    }
    return {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            # values may hold {NAME} of a point, so a job's own types do not bind here
            "job": {
                "type": "object",
                "properties": {key: {} for key in job["properties"]},
                "additionalProperties": False,
            },
            "grid": {"type": "object", "additionalProperties": values, "minProperties": 1},
            "list": {"type": "array", "items": {"type": "object"}, "minItems": 1},
            "random": {
                "type": "object",
                "properties": {"count": {"type": "integer", "minimum": 1}, "seed": {"type": "integer", "minimum": 0}},
                "required": ["count"],
                "additionalProperties": draws,
            },
            "max_running": {"type": "integer", "minimum": 1},
        },
        "required": ["job"],
        "oneOf": [{"required": [way]} for way in ("grid", "list", "random")],
        "additionalProperties": False,
    }


def _status_of_one() -> dict[str, Any]:
    whole, nodes = _of("tutti.jobs", "Details"), _listed("tutti.jobs", "Node")
    whole["$defs"] = {**whole.get("$defs", {}), **nodes.pop("$defs", {})}
    whole["properties"]["node_list"] = nodes
    return whole


def _listed(module: str, name: str) -> dict[str, Any]:
    items = _of(module, name)
    definitions = items.pop("$defs", {})
    return {"type": "array", "items": items, **({"$defs": definitions} if definitions else {})}


def _of(module: str, name: str) -> dict[str, Any]:
    """The schema of a dataclass: an answer is its fields as they are."""
    from importlib import import_module  # noqa: PLC0415  only where a schema is wanted

    from pydantic import TypeAdapter  # noqa: PLC0415  the same

    return TypeAdapter(getattr(import_module(module), name)).json_schema(mode="serialization")


def _card() -> dict[str, Any]:
    """The schema of the cluster card: of its records as models, which pydantic can read."""
    from typing import get_type_hints  # noqa: PLC0415  only where a schema is wanted

    from pydantic import Field, create_model  # noqa: PLC0415  the same

    made: dict[str, Any] = {}
    for record in (CardQueue, CardDefinition, CardTwin, Card):
        hints = get_type_hints(record, localns=made)
        fields: dict[str, Any] = {}
        for name in record.FIELDS:
            default = getattr(record, name, ...)
            fields[name] = (hints[name], Field(default_factory=dict) if isinstance(default, Mapping) else default)
        made[record.__name__] = create_model(record.__name__, __doc__=record.__doc__, **fields)
    whole: dict[str, Any] = made["Card"].model_json_schema()
    return whole
