"""JSON schemas of what each command answers with `--json`. Names are the command's words: `data ls` is `data-ls`.

Answers that are values of ours are described by their fields; the others here, where a test holds them to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from workload.contract import Card, CardDefinition, CardQueue, CardTwin

Schema = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
WHOLE: Final[Schema] = {"type": "integer"}
NUMBER: Final[Schema] = {"type": "number"}
YES: Final[Schema] = {"type": "boolean"}
ANY: Final[Schema] = {}
OBJECT: Final[Schema] = {"type": "object"}


_TWIN: Final[dict[str, Schema]] = {
    **dict.fromkeys(("endpoint", "isolation", "contained", "home", "shared", "bucket", "log_group"), TEXT),
    "pid_namespace": YES,
    "pid": WHOLE,
    "max_vcpus": WHOLE,
    "queues": {"type": "array", "items": TEXT},
}
_TWIN_JOBS: Final[dict[str, Schema]] = {
    **dict.fromkeys(("waiting", "running", "jobs"), WHOLE),
    "used_vcpus": {"type": "object", "additionalProperties": WHOLE},
    "shortages": {"type": "array", "items": TEXT},
}


def record(needed: Mapping[str, Schema], more: Mapping[str, Schema] | None = None) -> Schema:
    """An object of exactly these keys; those of `more` may be missing."""
    properties = {**needed, **(more or {})}
    return {"type": "object", "properties": properties, "required": [*needed], "additionalProperties": False}


def many(items: Schema) -> Schema:
    definitions = items.pop("$defs", {})
    return {"type": "array", "items": items, **({"$defs": definitions} if definitions else {})}


def by_key(values: Schema) -> Schema:
    return {"type": "object", "additionalProperties": values}


def maybe(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def fields(module: str, name: str) -> Schema:
    """The schema of a dataclass: an answer is its fields as they are."""
    from importlib import import_module  # noqa: PLC0415  only where a schema is wanted

    from pydantic import TypeAdapter  # noqa: PLC0415  the same

    return TypeAdapter(getattr(import_module(module), name)).json_schema(mode="serialization")


def answers() -> dict[str, Callable[[], Schema]]:
    """Every answer's schema by name, made when it is asked for."""
    return {
        "submit": lambda: record({"id": TEXT, "name": TEXT, "queue": TEXT}),
        "submit-at": lambda: record({"schedule": TEXT, "expression": TEXT}),
        "submit-after": lambda: record({"waiting": TEXT, "after": many(TEXT)}),
        "submit-dry-run": _dry_run,
        "submit-wait": _job,
        "status": lambda: many(fields("tutti.jobs", "Summary")),
        "status-id": _job_with_nodes,
        "status-details": lambda: many(_job_with_nodes()),
        "logs": lambda: record(
            {"at_ms": WHOLE, "attempt": WHOLE, "node": WHOLE, "rank": maybe(WHOLE), "text": TEXT}
        ),  # one a line
        "wait": _job,
        "cancel": lambda: many(record({"id": TEXT, "cancelled": YES})),
        "resubmit": lambda: many(record({"id": TEXT, "of": TEXT})),
        "rerun": lambda: record({"id": TEXT, "of": TEXT}),
        "resume": lambda: record({"id": TEXT, "resumes": TEXT}),
        "diff": lambda: many(record({"what": TEXT, "one": TEXT, "other": TEXT})),
        "checkpoints-ls": _checkpoints,
        "checkpoints-verify": lambda: many(
            record({"step": WHOLE, "folder": TEXT, "bytes": WHOLE, "damage": many(TEXT)})
        ),
        "checkpoints-prune": lambda: many(_checkpoint()),
        "checkpoints-save": _asked,
        "checkpoints-stop": _asked,
        "top": lambda: record(
            {"id": TEXT, "state": TEXT, "progress": maybe(OBJECT), "nodes": many(fields("tutti.telemetry", "NodeLoad"))}
        ),
        "hosts": lambda: many(fields("tutti.hosts", "Host")),
        "queues": lambda: many(fields("tutti.queues", "QueueState")),
        "schedule-ls": lambda: many(fields("tutti.schedule", "Scheduled")),
        "schedule-rm": lambda: record({"removed": many(TEXT)}),
        "sweep": _sweep,
        "data-ls": lambda: many(fields("tutti.data.place", "Entry")),
        "data-put": lambda: record({"files": WHOLE, "place": TEXT, "failed": _failed()}),
        "data-get": lambda: record({"files": WHOLE, "target": TEXT, "failed": _failed()}),
        "data-sync": _data_sync,
        "data-rm": lambda: record({"removed": WHOLE}),
        "report": _report,
        "cost": _cost,
        "why": lambda: record(
            {"id": TEXT, "state": TEXT, "finding": maybe(fields("tutti.why.facts", "Finding")), "unasked": many(TEXT)}
        ),
        "doctor": lambda: many(fields("tutti.doctor", "Result")),
        "port": lambda: many(record({"job": OBJECT, "lost": many(record({"line": WHOLE, "text": TEXT, "why": TEXT}))})),
        "checkpoints-unlock": lambda: record(
            {"target": TEXT, "removed": maybe(fields("workload.vault.lock", "Owner"))}
        ),
        "cluster-use": lambda: record({"name": TEXT}),
        "twin-up": lambda: record(_TWIN, {**_TWIN_JOBS, "already": YES, "seconds": NUMBER}),
        "twin-status": lambda: record({**_TWIN, **_TWIN_JOBS}),
        "twin-down": lambda: record({"ran": YES}),
        "twin-shortage": lambda: record({"environment": TEXT, "shortage": YES}),
        "cluster-list": lambda: many(record({"name": TEXT, "used": YES, "region": TEXT, "twin": YES})),
        "cluster-show": _card,
        "drill": lambda: record(
            {"job": TEXT, "node": WHOLE, "attempt": WHOLE, "action": TEXT, "at": NUMBER}, {"seconds": NUMBER}
        ),
        "drill-damage": lambda: fields("tutti.checkpoints", "Damaged"),
    }


def _job() -> Schema:
    return fields("tutti.jobs", "Details")


def _job_with_nodes() -> Schema:
    whole, nodes = _job(), many(fields("tutti.jobs", "Node"))
    whole["$defs"] = {**whole.get("$defs", {}), **nodes.pop("$defs", {})}
    whole["properties"]["node_list"] = nodes
    return whole


def _dry_run() -> Schema:
    estimate = record(
        {
            "queue": TEXT,
            "nodes": WHOLE,
            "attempts": WHOLE,
            "timeout_s": WHOLE,
            "usd_per_node_hour": maybe(NUMBER),
            "price_of": maybe(TEXT),
            "most_usd": maybe(NUMBER),
            "compile_usd": maybe(NUMBER),
            "each_time": YES,
        }
    )
    call = record({"service": TEXT, "operation": TEXT, "request": OBJECT})
    queue = record({"free_nodes": WHOLE, "waiting": WHOLE})
    return record({"before": many(TEXT), "calls": many(call), "queue": queue, "estimate": estimate})


def _checkpoint() -> Schema:
    known = {"written": NUMBER, "bytes": WHOLE, "ranks": WHOLE, "job": TEXT, "attempt": WHOLE, "seconds": NUMBER}
    arrays = by_key(record({"dtype": TEXT, "shape": many(WHOLE)}))
    return record(
        {"step": WHOLE, "folder": TEXT, "state": {"enum": ["good", "damaged", "unfinished"]}, "damage": many(TEXT)},
        {**known, "arrays": arrays, "case": ANY, "notes": ANY},
    )


def _checkpoints() -> Schema:
    return record({"target": TEXT, "lock": maybe(OBJECT), "checkpoints": many(_checkpoint())})


def _asked() -> Schema:
    return record({"id": TEXT, "verb": {"enum": ["save", "stop"]}, "step": WHOLE, "saved": YES, "message": TEXT})


def _sweep() -> Schema:
    point = record(
        {"point": WHOLE, "values": OBJECT, "state": TEXT}, {"round": WHOLE, "id": TEXT, "code": maybe(WHOLE)}
    )
    return record({"id": TEXT, "points": many(point)})


def _failed() -> Schema:
    return many(record({"name": TEXT, "why": TEXT}))


def _data_sync() -> Schema:
    change = record({"do": {"enum": ["send", "remove"]}, "name": TEXT, "why": TEXT, "bytes": WHOLE})
    counts = dict.fromkeys(("sent", "removed", "same"), WHOLE)
    sides = {"source": TEXT, "target": TEXT, "dry_run": YES}
    return record({**sides, **counts, "changes": many(change), "failed": _failed(), "notes": many(TEXT)})


def _cost() -> Schema:
    price = record({"usd_per_hour": NUMBER, "as_of": TEXT, "source": TEXT})
    row = fields("tutti.cost", "Row")
    return record({"by": TEXT, "rows": many(row), "prices": by_key(price)})


def _report() -> Schema:
    span = record({"name": TEXT, "attempt": WHOLE, "start": NUMBER, "end": NUMBER})
    step = record({"at": NUMBER, "step": NUMBER, "total": maybe(NUMBER), "rate": maybe(NUMBER), "unit": TEXT})
    job = _job()
    definitions = job.pop("$defs", {})
    story = record(
        {
            "job": job,
            "spans": many(span),
            "steps": many(step),
            "loads": by_key(many(fields("tutti.telemetry", "NodeLoad"))),
            "setbacks": many(fields("tutti.core.setbacks", "Setback")),
            "bill": maybe(OBJECT),
            "price": maybe(OBJECT),
            "efficiency": maybe(NUMBER),
        }
    )
    return {**many(story), "$defs": definitions}


def _card() -> Schema:
    """The schema of the cluster card: of its records as models, which pydantic can read."""
    from typing import get_type_hints  # noqa: PLC0415  only where a schema is wanted

    from pydantic import Field, create_model  # noqa: PLC0415  the same

    made: dict[str, Any] = {}
    for record in (CardQueue, CardDefinition, CardTwin, Card):
        hints = get_type_hints(record, localns=made)
        keys: dict[str, Any] = {}
        for name in record.FIELDS:
            default = getattr(record, name, ...)
            keys[name] = (hints[name], Field(default_factory=dict) if isinstance(default, Mapping) else default)
        made[record.__name__] = create_model(record.__name__, __doc__=record.__doc__, **keys)
    whole: Schema = made["Card"].model_json_schema()
    return whole
