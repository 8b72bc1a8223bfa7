"""Writes docs/reference.md from the command line itself: `python docs/reference.py`; with --check only compares."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from tutti.cli.main import COMMANDS, app
from tutti.errors import Exit
from workload.contract import ExitCode

PAGE = Path(__file__).with_name("reference.md")
HEAD = """# Reference of the command line

Written by `make docs` from the commands themselves; a test holds that it is up to date.
"""


def page() -> str:
    """The whole reference, as Markdown."""
    root: Any = typer.main.get_command(app)
    context = typer.Context(root, info_name="tutti")
    parts = [HEAD, *(_section(root.get_command(context, name), context, name) for name in COMMANDS), _codes()]
    return "\n".join(parts)


def _section(command: Any, parent: Any, name: str, depth: int = 2) -> str:
    context = typer.Context(command, info_name=name, parent=parent)
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    help_text = (command.help or command.short_help or "").strip()
    lines = [f"{'#' * depth} `{context.command_path}`", "", help_text, "", "```text", usage, "```", ""]
    lines += [*_parameters(command, context)]
    for inner in getattr(command, "commands", {}):
        lines.append(_section(command.get_command(context, inner), context, inner, depth + 1))
    return "\n".join(lines)


def _parameters(command: Any, context: Any) -> Iterator[str]:
    records = [record for p in command.get_params(context) if (record := p.get_help_record(context))]
    rows = [(flags, words) for flags, words in records if "--help" not in flags]
    if rows:
        yield from ("| | |", "| --- | --- |")
        yield from (f"| `{_cell(flags)}` | {_cell(words)} |" for flags, words in rows)
        yield ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _codes() -> str:
    rows = [f"| {code.value} | {code.name.lower().replace('_', ' ')} |" for code in Exit]
    own = [f"| {code.value} | {code.meaning} |" for code in ExitCode if code]
    head = ["## Exit codes of the command line", "", "| code | when |", "| --- | --- |", *rows, ""]
    jobs = ["## Exit codes of jobs", "", "| code | meaning |", "| --- | --- |", *own, ""]
    return "\n".join(head + jobs)


def main(argv: list[str]) -> int:
    """Write the page, or with --check say whether it differs."""
    text = page()
    if argv == ["--check"]:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
            return 0
        print("docs/reference.md is not what the commands say; write it with: make docs", file=sys.stderr)
        return 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
