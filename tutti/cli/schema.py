"""`tutti schema`: JSON schemas, of files for editors and of answers for programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

import typer

from tutti.cli.answers import answers
from tutti.cli.common import new_app
from tutti.cli.screen import as_json
from tutti.errors import InputError, Problem, likely

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
    return {"job-file": _job, "sweep-file": _sweep, **answers()}


def _job() -> dict[str, Any]:
    from tutti.jobfile import JobFile  # noqa: PLC0415  pydantic: only where a schema is wanted

    return JobFile.model_json_schema(by_alias=True)


def _sweep() -> dict[str, Any]:
    from tutti.core.points import DRAWS  # noqa: PLC0415  only where a schema is wanted
    from tutti.sweepfile import NOT_HERE  # noqa: PLC0415  the same

    job = _job()
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
                "properties": {key: {} for key in job["properties"] if key not in NOT_HERE},
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
