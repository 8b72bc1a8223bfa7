"""A batch script as it stands: directives, exports, launches and the rest, each with its line number. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from tutti.port.shell import depth_change

LAUNCHERS: Final = (
    *(
        "srun",
        "mpirun",
        "mpiexec",
        "mpiexec.hydra",
        "mpiexec_mpt",
        "mpirun_rsh",
        "mpprun",
        "ccc_mprun",
        "aprun",
        "ibrun",
    ),
    *("prun", "orterun", "runParallel"),
)
_LAUNCHER_VARIABLE: Final = re.compile(r"\$\{?(MPIEXEC|MPIRUN|MPI_RUN|MPI_LAUNCH\w*|MPICMD|MPI_CMD)\}?")
_EXPORT: Final = re.compile(r"(?:(?P<export>export)\s+)?(?P<name>[A-Za-z_]\w*)=(?P<value>.*)")
_SETENV: Final = re.compile(r"(?P<export>setenv)\s+(?P<name>[A-Za-z_]\w*)\s+(?P<value>.*)")
_JOINED: Final = re.compile(r"[;&|]\s*$")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One logical line (continuations joined), where it starts, counted from 1."""

    number: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option of a directive or a command line: `-N 4`, `--time=1:00`, `-l walltime=1:00`."""

    name: str
    value: str
    line: Line


@contextmanager
def reading(option: Option) -> Iterator[None]:
    """A value that is none is told with its line; why not, where our own words say what is allowed."""
    try:
        yield
    except ValueError as error:
        why = f": {error}" if "allowed" in str(error) else ""
        raise ValueError(f"line {option.line.number}: {option.name} {option.value}{why}") from error


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """`NAME=VALUE` of the script; `raw` is the value with its quotes. Programs see it only where it is exported."""

    name: str
    value: str
    raw: str
    exported: bool
    line: Line


@dataclass(frozen=True, kw_only=True)
class Script:
    directives: tuple[Line, ...]  # without the mark: `--nodes=4`
    late: tuple[Line, ...] = ()  # directives behind the first command, which no scheduler reads
    exports: tuple[Assignment, ...] = ()
    launches: tuple[Line, ...] = ()  # srun ..., mpirun ...
    others: tuple[Line, ...] = ()
    blocks: tuple[Line, ...] = ()  # whole conditions, loops and functions
    interpreter: str = ""
    marks: frozenset[str] = field(default_factory=frozenset)  # of the directives: #SBATCH, #PBS


def logical_lines(text: str) -> Iterator[Line]:
    """Lines with their continuations joined; here-documents are one line."""
    pending, start, ending = "", 0, ""
    for number, raw in enumerate(text.splitlines(), 1):
        if ending:
            pending += f"\n{raw}"
            if raw.strip() == ending:
                yield Line(number=start, text=pending)
                pending, ending = "", ""
            continue
        start = start if pending else number
        pending += raw.strip()
        if pending.endswith("\\") and not pending.startswith("#"):
            pending = pending[:-1].rstrip() + " "
            continue
        if here := re.search(r"<<-?\s*['\"]?(\w+)['\"]?", pending):
            ending = here.group(1)
            continue
        if pending:
            yield Line(number=start, text=pending)
        pending = ""
    if pending:
        yield Line(number=start, text=pending)


def read(text: str, marks: Sequence[str]) -> Script:
    """The script's parts; `marks` are the beginnings of directives, such as `#SBATCH`."""
    directives, late, launches, others, blocks, block = (list[Line]() for _ in range(6))
    exports: list[Assignment] = []
    seen: set[str] = set()
    interpreter, depth = "", 0
    for line in logical_lines(text):
        mark = next((m for m in marks if line.text.startswith(m)), None)
        if line.number == 1 and line.text.startswith("#!"):
            interpreter = line.text[2:].strip()
        elif mark:
            seen.add(mark)
            said = Line(number=line.number, text=line.text[len(mark) :].split(" #")[0].strip())
            (late if exports or launches or others or blocks or block else directives).append(said)
        elif line.text.startswith("#"):
            continue
        elif block or depth_change(line.text, csh="csh" in interpreter) > 0:
            block.append(line)
            depth += depth_change(line.text, csh="csh" in interpreter)
            if depth <= 0:
                blocks.append(_joined(block))
                block, depth = [], 0
        elif _words(line.text)[:1] and launcher(line.text):
            launches.append(line)
        elif (found := _assignment(line.text)) and not _JOINED.search(line.text):
            raw = found["value"].strip()
            assigned = Assignment(
                name=found["name"], value=_unquoted(raw), raw=raw, exported=bool(found["export"]), line=line
            )
            exports.append(assigned)
        else:
            others.append(line)
    if block:
        blocks.append(_joined(block))
    return Script(
        directives=tuple(directives),
        late=tuple(late),
        exports=tuple(exports),
        launches=tuple(launches),
        others=tuple(others),
        blocks=tuple(blocks),
        interpreter=interpreter,
        marks=frozenset(seen),
    )


def words_of(line: Line) -> list[str]:
    """The words of a line as a shell splits them; what it cannot split is split at blanks."""
    return _words(line.text)


def options(
    words: Sequence[str], line: Line, valued: frozenset[str], joined: frozenset[str] = frozenset()
) -> tuple[list[Option], list[str]]:
    """The options before the first word that is none, and the rest.

    `valued`: options that take the next word as their value; `joined`: short ones that may carry it without a blank (`-n4`).
    """
    found, rest = [], list(words)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        name, equals, value = word.partition("=")
        if equals and name.startswith("--"):
            found.append(Option(name=name, value=value, line=line))
        elif word in valued and rest:
            found.append(Option(name=word, value=rest.pop(0), line=line))
        elif not word.startswith("--") and word[:2] in joined and len(word) > 2:
            found.append(Option(name=word[:2], value=word[2:].removeprefix("="), line=line))
        else:
            found.append(Option(name=word, value="", line=line))
    return found, rest


def launcher(text: str) -> bool:
    """Whether a line starts a program on all nodes."""
    words = [w for w in _words(text) if w != "time"]
    while words and re.fullmatch(r"[A-Za-z_]\w*=\S*", words[0]):
        words = words[1:]
    return bool(words) and is_launcher(words[0])


def is_launcher(word: str) -> bool:
    """srun, mpirun ..., also by a path or in a variable: `$MPIEXEC`."""
    return word.rpartition("/")[2] in LAUNCHERS or bool(_LAUNCHER_VARIABLE.fullmatch(word))


def _assignment(text: str) -> re.Match[str] | None:
    return _EXPORT.fullmatch(text) or _SETENV.fullmatch(text)


def _joined(lines: Sequence[Line]) -> Line:
    return Line(number=lines[0].number, text="\n".join(line.text for line in lines))


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:
        return text.split()


def _unquoted(value: str) -> str:
    words = _words(value)
    return words[0] if len(words) == 1 else value.strip()
