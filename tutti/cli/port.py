"""`tutti port`: a script of Slurm, PBS or awsbsub becomes a job file; what cannot be kept is listed line by line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from tutti.cli.common import Json, new_app
from tutti.cli.screen import as_json
from tutti.errors import InputError, Problem
from tutti.jobfile import check
from tutti.port.convert import convert

app = new_app("Turn a script of Slurm, PBS or awsbsub into a job file.")


@app.command()
def port(
    script: Annotated[Path, typer.Argument(metavar="SCRIPT", help="the script; - reads standard input")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="write the job file here, not to standard output")
    ] = None,
    json: Json = False,
) -> int:
    """Write the job file to standard output, and what was not kept to standard error."""
    name = "standard input" if str(script) == "-" else str(script)
    text = sys.stdin.read() if str(script) == "-" else script.read_text(encoding="utf-8", errors="replace")
    ports = convert(text, name)
    for one in ports:
        known = {name: value for name, value in one.keys.get("env", {}).items() if value is not None}
        check({**one.keys, "env": known}, {})
    if output is not None and len(ports) > 1:
        raise InputError(
            [
                Problem(
                    where=name,
                    what=f"holds {len(ports)} submissions",
                    remedy="Leave --output out: they come as one stream of YAML documents.",
                )
            ]
        )
    if json:
        print(as_json([{"job": one.keys, "lost": [vars(lost) for lost in one.lost]} for one in ports]))
        return 0
    files = "---\n".join(one.job_file(name) for one in ports)
    if output is None:
        print(files, end="")
    else:
        output.write_text(files, encoding="utf-8")
    for one in ports:
        for lost in one.lost:
            print(f"not kept, {lost}", file=sys.stderr)
    return 0
