"""Every command line in the docs is one that the tools of this tree understand.

Indented and fenced code in every page is read. A line that starts with `tutti`, `make`, `python -m workload`, or has one
behind `$ `, must parse: the command exists, and so does every flag. `test_pages.py` runs those that a twin can run.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tutti.cli.main import COMMANDS, app

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    {*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")} - {ROOT / "docs" / "reference.md"}
)
USAGE_ERROR = typer.BadParameter.__mro__[1]  # typer brings a click of its own
PLACEHOLDER = re.compile(r"^\.\.\.$|^\[.*\]$")


def code_lines(page: Path) -> Iterator[tuple[int, str]]:
    """Lines of code blocks, fenced or indented, with continuations joined; where each starts."""
    fenced, pending, start = False, "", 0
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
            continue
        if not fenced and not line.startswith("    "):
            pending = ""
            continue
        start = start if pending else number
        pending += line.strip().removeprefix("$ ")
        if pending.endswith("\\"):
            pending = pending[:-1]
            continue
        yield start, pending
        pending = ""


def commands(word: str) -> list[Any]:
    """The command lines of all pages that start with `word`."""
    found = []
    for page in PAGES:
        for number, line in code_lines(page):
            text = re.split(r"\s+#\s|\s*(?:\||&&|;|>)\s", line)[0].strip()
            if text == word or text.startswith(f"{word} "):
                found.append(pytest.param(text, id=f"{page.relative_to(ROOT)}:{number}"))
    return found


@pytest.mark.parametrize("line", commands("tutti"))
def test_tutti_knows_the_command_and_its_flags(line: str) -> None:
    words = shlex.split(line.partition(" -- ")[0])[1:]  # behind -- stands the user's program
    if not words or words[0] in {"--help", "-h", "--version"}:
        return
    root: Any = typer.main.get_command(app)
    context = typer.Context(root, info_name="tutti")
    while words and words[0].startswith("-"):
        words = words[2:]  # a global option and its value
    assert words, line
    assert words[0] in COMMANDS, f"no command {words[0]!r}"
    command = root.get_command(context, words[0])
    rest = words[1:]
    while hasattr(command, "get_command") and rest and not rest[0].startswith("-"):
        inner = command.get_command(context, rest[0])
        assert inner is not None, f"no command {rest[0]!r}"
        command, rest = inner, rest[1:]
    assert command is not None
    parsed = [word for word in rest if not PLACEHOLDER.match(word)]
    if {"-h", "--help"} & set(parsed):
        return
    with command.make_context("tutti", parsed, parent=context):
        pass


@pytest.mark.parametrize("line", commands("make"))
def test_make_has_the_target(line: str) -> None:
    words = [word for word in shlex.split(line)[1:] if not word.startswith("-")]
    done = subprocess.run(["make", "--dry-run", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", [p for word in ("mpirun", "mpiexec", "python") for p in commands(word)])
def test_programs_of_ours_exist(line: str) -> None:
    words = shlex.split(line)
    if "workload" in words and "run" in words:
        name = words[words.index("run") + 1]
        kernels = ROOT / "workload" / "kernels"
        assert (kernels / f"{name}.py").exists() or (kernels / name / "command.py").exists() or name == "NAME"
    for word in words:
        if word.endswith(".py") and "/" in word:
            assert (ROOT / word).exists(), word


def test_links_lead_somewhere() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
        if "://" not in target and not target.startswith("mailto:") and not (page.parent / target).exists()
    ]
    assert not broken


def test_a_command_that_does_not_exist_is_found() -> None:
    """The check itself bites."""
    with pytest.raises(AssertionError, match="no command 'submitt'"):
        test_tutti_knows_the_command_and_its_flags("tutti submitt x")
    with pytest.raises(USAGE_ERROR):
        test_tutti_knows_the_command_and_its_flags("tutti status --no-such-flag")


def test_the_reference_is_what_the_commands_say() -> None:
    environ = {**os.environ, "COLUMNS": "80"}
    done = subprocess.run(
        [sys.executable, "docs/reference.py", "--check"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
