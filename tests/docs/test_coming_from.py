"""docs/coming-from.md: a row for every option of awsbatch-cli, and no command or flag of ours that is not there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tutti.cli.main import COMMANDS, app

PAGE = Path(__file__).resolve().parents[2] / "docs" / "coming-from.md"
# Of awsbatch-cli 1.4, from its parsers; --log-level and --awscli are hidden there.
AWSBATCH = {
    "awsbsub": "-jn --job-name, -cf --command-file, -w --working-dir, -pw --parent-working-dir, -if --input-file, -p --vcpus, "
    "-m --memory, -e --env, -eb --env-blacklist, -r --retry-attempts, -t --timeout, -n --nodes, -a --array-size, "
    "-d --depends-on, -c --cluster",
    "awsbstat": "-s --status, -e --expand-children, -d --details",
    "awsbout": "-hd --head, -t --tail, -s --stream, -sp --stream-period",
    "awsbkill": "-r --reason",
    "awsbhosts": "-d --details",
    "awsbqueues": "-d --details",
}
SPAN = re.compile(r"`([^`]+)`")
CELLS = re.compile(r"(?<!\\)\|")


def tables() -> dict[str, list[tuple[str, str]]]:
    """The page's tables by their first heading: what it was there, what it is here."""
    found: dict[str, list[tuple[str, str]]] = {}
    name = ""
    for line in PAGE.read_text().splitlines():
        if not line.startswith("|"):
            name = ""
            continue
        left, right = (cell.strip() for cell in CELLS.split(line)[1:3])
        if not name:
            name = left.strip("`")
            found[name] = []
        elif not set(left) <= {"-", " "}:
            found[name].append((left, right))
    return found


def said() -> Iterator[Any]:
    """Each command line of ours on the page; a flag alone belongs to the command before it, else to submit."""
    for name, rows in tables().items():
        for left, right in rows:
            command = "tutti submit"
            for span in SPAN.findall(right):
                if span.startswith("tutti "):
                    command = " ".join(word for word in span.split()[:3] if not word.startswith("-"))
                    yield pytest.param(span, id=f"{name}: {left}: {span}")
                elif span.startswith("--") and span != "--" and right.startswith(("`tutti", "`--")):
                    yield pytest.param(f"{command} {span}", id=f"{name}: {left}: {span}")


@pytest.mark.parametrize("command", AWSBATCH)
def test_every_option_of_awsbatch_has_a_row_of_its_own(command: str) -> None:
    rows = [left for left, _ in tables()[command]]
    for pair in AWSBATCH[command].split(", "):
        short, long = pair.split()
        assert sum(row.startswith(f"`{short}`, `{long}`") for row in rows) == 1, pair


@pytest.mark.parametrize("line", list(said()))
def test_what_the_page_names_exists(line: str) -> None:
    words = shlex.split(line.partition(" -- ")[0].partition(" > ")[0])[1:]
    root: Any = typer.main.get_command(app)
    context = typer.Context(root, info_name="tutti")
    if words[0] == "--cluster":
        return
    assert words[0] in COMMANDS, line
    command, rest = root.get_command(context, words[0]), words[1:]
    while hasattr(command, "get_command") and rest and (inner := command.get_command(context, rest[0])):
        command, rest = inner, rest[1:]
    known = {flag for option in command.params for flag in option.opts}
    assert {word.partition("=")[0] for word in rest if word.startswith("-") and word != "-"} <= known, line


def test_a_row_that_names_what_is_not_there_is_found() -> None:
    """The check itself bites."""
    with pytest.raises(AssertionError):
        test_what_the_page_names_exists("tutti logs ID --stream-period 5")
    assert len(list(said())) > 90
