"""awsbsub of AWS ParallelCluster: a submission's command line -> keys of a job file. Options of awsbatch-cli 1.4."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from tutti.port import body
from tutti.port.ported import Port
from tutti.port.script import Line, Option, options, read, words_of
from workload.settings import JOB_ID_MARK

_LONG: Final = {
    "-jn": "--job-name", "-cf": "--command-file", "-w": "--working-dir", "-pw": "--parent-working-dir", "-if": "--input-file", "-p": "--vcpus",
    "-m": "--memory", "-e": "--env", "-eb": "--env-blacklist", "-r": "--retry-attempts", "-t": "--timeout", "-n": "--nodes", "-a": "--array-size",
    "-d": "--depends-on", "-c": "--cluster", "-ll": "--log-level",
}  # fmt: skip
_VALUED: Final = frozenset({*_LONG, *_LONG.values()}) - {"--command-file", "-cf"}
_WHOLE: Final = {
    "--vcpus": "vcpus",
    "--nodes": "nodes",
    "--array-size": "array",
    "--memory": "memory",
    "--timeout": "timeout",
}
_GIVEN: Final = frozenset({"--log-level", "--awscli", "-aws", "--command-file"})
_LOST: Final = {
    "--depends-on": "ids of the old cluster mean nothing here: after: ID[:ok|any], with the id that tutti submit prints",
    "--cluster": "choose with tutti --cluster NAME",
}
_CAPTURED: Final = re.compile(r"^(?:export\s+)?\w+=(?:\$\(|`)(?P<call>.*?)[)`]?$", re.DOTALL)
_HERE: Final = re.compile(r"<<-?\s*['\"]?(?P<end>\w+)['\"]?[^\n]*\n(?P<text>.*)\n\s*(?P=end)\s*$", re.DOTALL)
_ENDS: Final = re.compile(r"\d?>>?(&\d)?.*|\||&&|\|\||;|&")
_EACH_NODE: Final = (
    "awsbsub ran it once on each node, and it called mpirun: here the gang starts every rank, so put the program "
    "behind mpirun in its place"
)


def submissions(lines: list[Line]) -> list[Line]:
    """The lines that call awsbsub."""
    return [line for line in lines if _call(line) is not None]


def take(port: Port, line: Line) -> None:
    """One submission into `port`."""
    words = _call(line) or []
    start = next(n for n, word in enumerate(words) if _is_awsbsub(word))
    found, command = options(words[start + 1 :], line, _VALUED)
    said = {_LONG.get(option.name, option.name) for option in found}
    for option in found:
        _take_one(port, option)
    command, file = _cut(port, line, command)
    if piped := _piped(words[:start]):
        text, source = piped
        file = file or source
    else:
        text = here["text"] if (here := _HERE.search(line.text)) else ""
    if text:
        _script(port, line, text)
    elif file or "--command-file" in said:
        _file(port, line, [file, *command] if file else command)
    elif command:
        port.keys["command"] = command


def _call(line: Line) -> list[str] | None:
    """The words of a call of awsbsub, also of one whose answer is kept: `ID=$(awsbsub ...)`."""
    text = line.text.partition("\n")[0]
    captured = _CAPTURED.match(text)
    words = words_of(Line(number=line.number, text=captured["call"] if captured else text))
    return words if any(_is_awsbsub(word) for word in words) else None


def _is_awsbsub(word: str) -> bool:
    return word.rpartition("/")[2] == "awsbsub"


def _cut(port: Port, line: Line, words: list[str]) -> tuple[list[str], str]:
    """The command without what is the shell's, and the file that is its standard input."""
    file = ""
    for at, word in enumerate(words):
        if word.startswith("<<"):
            return words[:at], file
        if word.startswith("<"):
            return words[:at], word[1:] or next(iter(words[at + 1 :]), "")
        if _ENDS.fullmatch(word):
            port.lose(line, "is for the shell that called awsbsub", text=" ".join(words[at:]))
            return words[:at], file
    return words, file


def _piped(before: Sequence[str]) -> tuple[str, str] | None:
    """What comes through a pipe into awsbsub: a text (`echo "..." |`), or a file (`cat FILE |`)."""
    match list(before):
        case ["echo", *words, "|"]:
            return " ".join(words), ""
        case ["cat", file, "|"]:
            return "", file
    return None


def _script(port: Port, line: Line, text: str) -> None:
    """A script that is in the script: of a gang the program behind mpirun, else as it is."""
    script = read(text, ())
    if script.launches:
        inner = Port(keys=port.keys)
        body.take(inner, script)
        for lost in inner.lost:
            port.lose(Line(number=line.number + lost.line, text=lost.text), lost.why)
        return
    port.keys["command"] = ["bash", "-c", text]


def _file(port: Port, line: Line, words: list[str]) -> None:
    """A script that awsbsub brought along: it travels with `upload`, and the ranks run where it lies."""
    if not words:
        return
    file, *arguments = words
    _bring(port, file)
    name = file.rpartition("/")[2]
    # where another folder is asked for, what was brought still lies in the job's own
    place = f'"$TUTTI_JOB_FOLDER/input/{name}"' if "workdir" in port.keys else f"./{name}"
    if "workdir" in port.keys:
        rest = "".join(f" {word}" for word in arguments)
        port.keys["command"] = ["sh", "-c", f"{'bash ' if name.endswith('.sh') else ''}{place}{rest}"]
    else:
        port.keys["command"] = [*(["bash"] if name.endswith(".sh") else []), place, *arguments]
    if "nodes" in port.keys:
        port.lose(line, _EACH_NODE, text=file)


def _bring(port: Port, file: str) -> None:
    port.keys.setdefault("upload", []).append(file)


def _take_one(port: Port, option: Option) -> None:
    name, value, keys = _LONG.get(option.name, option.name), option.value, port.keys
    match name:
        case "--job-name":
            keys["name"] = value
        case _ if name in _WHOLE and value.isdigit():
            keys[_WHOLE[name]] = int(value)
        case "--retry-attempts" if value.isdigit():
            keys["retries"] = max(0, int(value) - 1)
        case "--env":
            _variables(keys, value)
        case "--env-blacklist":
            keys["env_except"] = [word.strip() for word in value.split(",") if word.strip()]
        case "--input-file":
            _bring(port, value)
        case "--working-dir":
            _folder(port, option, value)
        case "--parent-working-dir":
            _folder(port, option, f"{value.rstrip('/')}/job-{JOB_ID_MARK}")
        case "--depends-on" if value == "type=SEQUENTIAL":
            keys["after"] = ["sequential"]
        case _ if name not in _GIVEN:
            port.lose(option.line, _LOST.get(name, "has no equal here"), text=f"{option.name} {value}".strip())


def _variables(keys: dict[str, Any], value: str) -> None:
    """Names whose values are the caller's when the job file is submitted; `all` is every name that fits `*`."""
    for item in value.split(","):
        variable, equals, text = item.strip().partition("=")
        keys.setdefault("env", {})["*" if variable == "all" else variable] = text if equals else None


def _folder(port: Port, option: Option, folder: str) -> None:
    """A working folder of the old cluster, which was made where it was not there: here one of the shared folder is."""
    here = f"shared:{folder.removeprefix('~').lstrip('/')}"
    port.keys["workdir"] = here
    port.lose(
        option.line,
        f"becomes {here}, a folder below $TUTTI_SHARED that is made where it is not there",
        text=f"{option.name} {option.value}",
    )
