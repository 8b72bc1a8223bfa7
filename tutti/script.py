"""Scripts as jobs: `#TUTTI --nodes 4` lines in a script's head are flags, the script is the program.

The directives stand before the first line that is neither empty nor a comment, as `#SBATCH` lines do.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any, Final

from tutti.errors import InputError, Problem, likely
from tutti.jobfile import JobFile
from tutti.port import pbs, slurm

MARK: Final = "#TUTTI"
MOST_BYTES: Final = 16 * 1024  # travels in the command; with variables and tags it must stay under Batch's 30 KiB
PORTED: Final = (*slurm.MARKS, *pbs.MARKS)
OTHERS: Final = (*PORTED, "#BSUB")  # of LSF, which tutti port cannot read
LISTS: Final = frozenset({"input", "output", "env", "secret", "param", "label", "after", "upload"})
SWITCHES: Final = {f.alias or n: bool(f.default) for n, f in JobFile.model_fields.items() if f.annotation is bool}


def read_script(text: str, name: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The keys that a script says, its own text as the command, and where each stands.

    Raises
    ------
    InputError
        a directive that is no flag, directives of another scheduler alone, or a script that is too long to travel in
        the command.
    """
    _refuse_another_schedulers(text, name)
    if (size := len(text.encode())) > MOST_BYTES:
        what = f"has {size:,} bytes; a script travels in the submission: allowed are {MOST_BYTES:,}"
        remedy = "Bring it as a file: --upload DIR, and run it from there"
        raise InputError([Problem(where=name, what=what, remedy=remedy)])
    if not text.strip():
        raise InputError([Problem(where=name, what="the script is empty")])
    keys: dict[str, Any] = {}
    where: dict[str, str] = {}
    problems: list[Problem] = []
    for number, words in _directives(text, name):
        try:
            found = parse_flags(words, f"{name}:{number}")
        except InputError as error:
            problems += error.problems
            continue
        for key, value in found.items():
            keys[key] = [*keys.get(key, []), *value] if key in LISTS else value
            where[key] = f"{name}:{number}: {key}"
    if problems:
        raise InputError(problems)
    return {**keys, "command": [*_interpreter(text), "-c", text, name]}, where


def parse_flags(words: list[str], where: str) -> dict[str, Any]:
    """`--nodes 4 --env A=1 --json` as keys and texts.

    Raises
    ------
    InputError
        a word that is no flag of `tutti submit`, or a flag without its value.
    """
    known = [f.alias or n for n, f in JobFile.model_fields.items() if n != "command"]
    found: dict[str, Any] = {}
    problems = []
    rest = iter(words)
    for word in rest:
        flag, equals, value = word.partition("=")
        key = flag.removeprefix("--").replace("-", "_")
        negated = key.removeprefix("no_") if key.startswith("no_") and key.removeprefix("no_") in SWITCHES else ""
        if negated:
            found[negated] = False
        elif not flag.startswith("--") or key not in known:
            hint = likely(flag, [f"--{name.replace('_', '-')}" for name in known])
            problems.append(Problem(where=where, what=f"{word!r} is no flag of tutti submit{hint}"))
        elif key in SWITCHES:
            found[key] = value if equals else True
        else:
            text = value if equals else next(rest, None)
            if text is None:
                problems.append(Problem(where=where, what=f"{flag} needs a value"))
            elif key in LISTS:
                found.setdefault(key, []).append(text)
            else:
                found[key] = text
    if problems:
        raise InputError(problems)
    return found


def _refuse_another_schedulers(text: str, name: str) -> None:
    """Directives that nobody would heed. With a `#TUTTI` line beside them the script is meant for both schedulers."""
    heads = [(number, line) for number, line in _head(text) if line.split()[0] in (MARK, *OTHERS)]
    if not heads or any(line.split()[0] == MARK for _, line in heads):
        return
    number, line = heads[0]
    mark = line.split()[0]
    port = f"tutti port {'-' if name == 'stdin' else shlex.quote(name)} > job.yaml, then tutti submit job.yaml"
    remedy = f"{f'{port}. Or say' if mark in PORTED else 'Say'} it in lines such as {MARK} --nodes 4 beside them"
    such = "" if len(heads) == 1 else f" ({len(heads)} such lines)"
    what = f"{line!r} is another scheduler's, and tutti submit would not heed it{such}"
    raise InputError([Problem(where=f"{name}:{number}", what=what, remedy=remedy)])


def _directives(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in _head(text):
        if line.startswith(MARK) and line[len(MARK) :][:1] in {" ", "\t"}:
            try:
                yield number, shlex.split(line[len(MARK) :], comments=True)
            except ValueError as error:
                raise InputError(
                    [Problem(where=f"{name}:{number}", what=f"cannot be split into words: {error}")]
                ) from error


def _head(text: str) -> Iterator[tuple[int, str]]:
    """The comments before the first line that is neither empty nor a comment, with their numbers."""
    for number, line in enumerate(text.splitlines(), start=1):
        if stripped := line.strip():
            if not stripped.startswith("#"):
                return
            yield number, stripped


def _interpreter(text: str) -> list[str]:
    """What the script's first line names, else a POSIX shell."""
    first = text.splitlines()[0]
    if not first.startswith("#!"):
        return ["sh"]
    words = shlex.split(first[2:])
    return words[1:] if words and words[0].endswith("/env") and len(words) > 1 else words or ["sh"]
