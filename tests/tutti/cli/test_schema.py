"""JSON schemas: they take what the client takes and gives, and nothing else."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

from tutti.cli.schema import schemas
from tutti.jobfile import JobFile

Tutti = Callable[..., "subprocess.CompletedProcess[str]"]
jsonschema: Any = import_module("jsonschema")  # has no types


def accepts(name: str, value: object) -> bool:
    try:
        jsonschema.validate(value, schemas()[name](), cls=jsonschema.Draft202012Validator)
    except jsonschema.ValidationError:
        return False
    return True


def test_the_job_schema_knows_every_key_with_its_description() -> None:
    properties = schemas()["job"]()["properties"]
    assert set(properties) == {f.alias or n for n, f in JobFile.model_fields.items()}
    assert all(p.get("description") for p in properties.values())


@pytest.mark.parametrize(
    ("job", "good"),
    [
        ({"nodes": 4, "command": ["x"], "timeout": "2h", "memory": "8GiB", "env": {"A": 1}, "mpi": "openmpi"}, True),
        ({"command": "python x.py", "ranks_per_node": "cores", "input": "s3://b/x", "wait": True}, True),
        ({"nodes": 0}, False),
        ({"nodes": "four"}, False),
        ({"nods": 4}, False),
        ({"mpi": "mpt"}, False),
    ],
)
def test_an_editor_sees_what_is_wrong_in_a_job_file(job: dict[str, Any], good: bool) -> None:
    assert accepts("job", job) is good


@pytest.mark.parametrize(
    ("sweep", "good"),
    [
        ({"job": {"nodes": "{n}"}, "grid": {"n": [1, 2]}}, True),
        ({"job": {}, "random": {"count": 3, "a": {"uniform": [0, 1]}}}, True),
        ({"job": {}, "grid": {"n": [1]}, "list": [{}]}, False),
        ({"job": {"nods": 1}, "grid": {"n": [1]}}, False),
    ],
)
def test_an_editor_sees_what_is_wrong_in_a_sweep_file(sweep: dict[str, Any], good: bool) -> None:
    assert accepts("sweep", sweep) is good


def test_answers_are_as_their_schemas_say(tutti: Tutti) -> None:
    job_id = tutti("submit", "--nodes", "1", "--", "true").stdout.strip()
    tutti("wait", job_id)
    for name, args in (
        ("status", ["status"]),
        ("status-id", ["status", job_id]),
        ("queues", ["queues"]),
        ("hosts", ["hosts"]),
        ("data-ls", ["data", "ls"]),
        ("card", ["cluster", "show"]),
    ):
        assert accepts(name, json.loads(tutti(*args, "--json").stdout)), name


def test_schemas_are_listed_and_printed(tutti: Tutti) -> None:
    assert tutti("schema").stdout.split() == list(schemas())
    assert json.loads(tutti("schema", "job").stdout)["title"] == "tutti job"
    assert tutti("schema", "jobs").returncode == 2
