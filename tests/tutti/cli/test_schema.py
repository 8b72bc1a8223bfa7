"""JSON schemas: they take what the client takes and gives, and nothing else."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.tutti.answers import accepts
from tutti import Cluster, Job
from tutti.cli.main import COMMANDS, app
from tutti.cli.schema import schemas
from tutti.jobfile import JobFile

Tutti = Callable[..., "subprocess.CompletedProcess[str]"]


def test_the_job_schema_knows_every_key_with_its_description() -> None:
    properties = schemas()["job-file"]()["properties"]
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
    assert accepts("job-file", job) is good


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
    assert accepts("sweep-file", sweep) is good


# name -> the command that answers so; ID is a job that is done, FILE and SWEEP lie in the folder of the test
ANSWERS = {
    "submit": ["submit", "--nodes", "1", "--", "true"],
    "submit-at": ["submit", "--nodes", "1", "--name", "later", "--at", "+2h", "--", "true"],
    "submit-dry-run": ["submit", "--nodes", "2", "--dry-run", "--", "true"],
    "submit-wait": ["submit", "--nodes", "1", "--wait", "--", "true"],
    "status": ["status"],
    "status-id": ["status", "ID"],
    "status-details": ["status", "--details", "--limit", "2"],
    "wait": ["wait", "ID"],
    "cancel": ["cancel", "ID"],
    "resubmit": ["resubmit", "ID"],
    "rerun": ["rerun", "ID"],
    "resume": ["resume", "ID"],
    "diff": ["diff", "ID", "done"],
    "checkpoints-ls": ["checkpoints", "ls", "ID"],
    "checkpoints-verify": ["checkpoints", "verify", "ID"],
    "checkpoints-prune": ["checkpoints", "prune", "ID"],
    "top": ["top", "ID"],
    "hosts": ["hosts"],
    "queues": ["queues"],
    "schedule-ls": ["schedule", "ls"],
    "sweep": ["sweep", "SWEEP", "--wait"],
    "data-put": ["data", "put", "FILE", "schema/"],
    "data-ls": ["data", "ls", "schema/"],
    "data-get": ["data", "get", "schema/job.sh", "FILE"],
    "data-sync": ["data", "sync", "FOLDER", "schema"],
    "data-rm": ["data", "rm", "-r", "schema"],
    "report": ["report", "ID"],
    "cost": ["cost"],
    "why": ["why", "ID"],
    "doctor": ["doctor"],
    "port": ["port", "FILE"],
    "cluster-list": ["cluster", "list"],
    "cluster-show": ["cluster", "show"],
    "checkpoints-unlock": ["checkpoints", "unlock", "ID"],
    "cluster-use": ["cluster", "use", "twin"],
    "twin-status": ["twin", "status"],
    "twin-shortage": ["twin", "shortage", "twin-mpi-high", "off"],
    "drill": ["drill", "delay", "ID", "--node", "0", "--seconds", "0"],
}
ELSEWHERE = {
    "logs": "one object a line, below",
    "schedule-rm": "below",
    "submit-after": "test_after_any_on_twin.py: it needs a job that runs",
    "twin-up": "below, with a home of its own",
    "twin-down": "the same",
    "checkpoints-save": "test_checkpoints_on_twin.py: it needs a program that answers",
    "checkpoints-stop": "the same",
    "drill-damage": "the same",
}

SAME = {"ps": "status", "drill": "drill"}  # a second name; one answer for every drill of a node
NO_JSON = {
    ("twin", "env"): "it prints lines for a shell",
    ("schema",): "it prints JSON, or names",
}


def commands(group: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with its words, from the command line itself."""
    group = group or typer.main.get_command(app)
    for name in COMMANDS if not path else group.commands:
        command = group.get_command(typer.Context(group), name)
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def test_every_command_answers_in_json_with_a_schema_or_is_named_here() -> None:
    without = set()
    for words, command in commands():
        if not any("--json" in option.opts for option in command.params):
            without.add(words)
        else:
            assert {"-".join(words), SAME.get(words[0])} & set(schemas()), words
    assert without == set(NO_JSON)


def test_a_twin_that_starts_runs_and_ends_answers_as_its_schemas_say(
    at_home: Callable[[Path], Tutti], tmp_path: Path
) -> None:
    tutti = at_home(tmp_path)
    try:
        up = [json.loads(tutti("twin", "up", "--isolation", "process", "--json").stdout) for _ in range(2)]
        assert [about.get("already", False) for about in up] == [False, True]
        assert all(accepts("twin-up", about) for about in up), up
    finally:
        down = [json.loads(tutti("twin", "down", "--json").stdout) for _ in range(2)]
    assert down == [{"ran": True}, {"ran": False}]
    assert all(accepts("twin-down", told) for told in down)


def test_every_answer_is_as_its_schema_says(tutti: Tutti, cluster: Cluster, tmp_path: Path) -> None:
    done = Job(command=["true"], nodes=1, name="done", checkpoint="shared:work/schema").submit(cluster)
    done.result()
    sweep, file = tmp_path / "sweep.yaml", tmp_path / "job.sh"
    sweep.write_text('job: {nodes: 1, command: ["test", "{n}", "=", "0"]}\nlist: [{n: 1}]\n')
    file.write_text("#!/bin/sh\n#SBATCH -N 2 --exclusive\n#SBATCH --licenses=x\nsrun true\n")
    words = {"ID": done.id, "FILE": str(file), "SWEEP": str(sweep), "FOLDER": str(tmp_path)}
    given = {}
    for name, args in ANSWERS.items():
        told = tutti(*(words.get(word, word) for word in args), "--json") if "--" not in args else _before(tutti, args)
        given[name] = json.loads(told.stdout)
        assert accepts(name, given[name]), (name, given[name], told.stderr)
    for line in tutti("logs", done.id, "--json").stdout.splitlines():
        assert accepts("logs", json.loads(line)), line
    later = [s["name"] for s in given["schedule-ls"] if s["job"] == "later"]
    assert accepts("schedule-rm", json.loads(tutti("schedule", "rm", *later, "--json").stdout))
    assert set(schemas()) == {"job-file", "sweep-file", *ANSWERS, *ELSEWHERE}


def _before(tutti: Tutti, args: list[str]) -> subprocess.CompletedProcess[str]:
    """With --json before the program."""
    at = args.index("--")
    return tutti(*args[:at], "--json", *args[at:])


def test_schemas_are_listed_and_printed(tutti: Tutti) -> None:
    assert tutti("schema").stdout.split() == list(schemas())
    assert json.loads(tutti("schema", "job-file").stdout)["title"] == "tutti job-file"
    assert tutti("schema", "jobs").returncode == 2
