"""`tutti submit`: its flags are the keys of a job file, made from the one model of both."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any, get_origin

import typer

from tutti.cli.common import cluster_of, new_app
from tutti.cli.screen import as_json, say
from tutti.job import JobFile
from tutti.jobfile import read_job

app = new_app()

HELP = """Run a program on the cluster: tutti submit [JOB.yaml] [FLAGS] -- PROGRAM ARGUMENTS...

Every flag is a key of the job file too (--ranks-per-node is ranks_per_node); a flag wins over
the file. Nothing is sent where something is wrong; all problems are told at once.
"""


def submit(context: typer.Context, words: list[str], flags: dict[str, Any]) -> int:
    """Read, check, send; with `wait` stay until the end and answer the job's exit code."""
    from tutti import batch  # noqa: PLC0415  --help must not pay for it
    from tutti.run import Run  # noqa: PLC0415  the same

    file, argv = split(words)
    if argv:
        flags["command"] = argv
    asked, where = read_job(file, flags)
    cluster = cluster_of(context)
    document = batch.request(asked.job(), cluster.card, where=where)
    run = Run(batch.send(cluster.submitter, batch.signed(document, cluster.user)), cluster)
    if not asked.wait:
        answer = {"id": run.id, "name": document["jobName"], "queue": document["jobQueue"].rpartition("/")[2]}
        print(as_json(answer) if asked.json_ else run.id)
        return 0
    from tutti.cli.live import show  # noqa: PLC0415  only where somebody watches

    say(f"submitted {run.id} ({document['jobName']})", "bold")
    return show(run, as_json=asked.json_)


def split(words: list[str]) -> tuple[Path | None, list[str]]:
    """`[JOB.yaml] ARGV...`: a first word that ends in .yaml or .yml is the job file."""
    if words and words[0].endswith((".yaml", ".yml")):
        return Path(words[0]), words[1:]
    return None, words


def _options() -> list[inspect.Parameter]:
    """One option for each key of a job file; the values are read by the model, not by typer."""
    made = []
    for name, field in JobFile.model_fields.items():
        if name == "command":
            continue
        key = field.alias or name
        flag = f"--{key.replace('_', '-')}"
        if field.annotation is bool:
            kind: Any = bool | None
            option = typer.Option(
                f"{flag}/--no-{flag[2:]}" if field.default else flag, help=field.description, show_default=False
            )
        elif get_origin(field.annotation) in (tuple, dict):
            pair = get_origin(field.annotation) is dict
            kind = list[str] | None
            option = typer.Option(flag, help=field.description, metavar="K=V" if pair else "TEXT", show_default=False)
        else:
            kind = str | None
            option = typer.Option(flag, help=field.description, metavar="TEXT", show_default=False)
        parameter = inspect.Parameter(
            key, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option]
        )
        made.append(parameter)
    return made


def _command(context: typer.Context, words: list[str] | None = None, **flags: Any) -> int:
    return submit(context, list(words or []), {k: v for k, v in flags.items() if v is not None and v != []})


_POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD
_WORDS = Annotated[list[str] | None, typer.Argument(metavar="[JOB.yaml] -- ARGV...", show_default=False)]
_command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # typer reads options from a signature
    [
        inspect.Parameter("context", _POSITIONAL, annotation=typer.Context),
        inspect.Parameter("words", _POSITIONAL, default=None, annotation=_WORDS),
        *_options(),
    ]
)
_command.__annotations__ = {}
app.command(help=HELP, context_settings={"allow_interspersed_args": True})(_command)
