"""awsbsub of AWS ParallelCluster: a submission's command line -> keys of a job file. Options of awsbatch-cli 1.4."""

from __future__ import annotations

from typing import Final

from tutti.port.ported import Port
from tutti.port.script import Line, Option, options, words_of

_LONG: Final = {
    "-jn": "--job-name", "-cf": "--command-file", "-w": "--working-dir", "-pw": "--parent-working-dir", "-if": "--input-file", "-p": "--vcpus",
    "-m": "--memory", "-e": "--env", "-eb": "--env-blacklist", "-r": "--retry-attempts", "-t": "--timeout", "-n": "--nodes", "-a": "--array-size",
    "-d": "--depends-on", "-c": "--cluster",
}  # fmt: skip
_VALUED: Final = frozenset(_LONG) | frozenset(_LONG.values()) - {"--command-file"} - {"-cf"}
_WHOLE: Final = {
    "--vcpus": "vcpus",
    "--nodes": "nodes",
    "--array-size": "array",
    "--memory": "memory",
    "--timeout": "timeout",
}
_LOST: Final = {
    "--working-dir": "ranks run in the job's own folder; set workdir for another",
    "--parent-working-dir": "ranks run in the job's own folder; set workdir for another",
    "--env-blacklist": "a job sees nothing of the desk's environment: there is nothing to leave out",
    "--depends-on": "ids of the old cluster mean nothing here: after: ID[:ok|any], with the id that tutti submit prints",
    "--cluster": "choose with tutti --cluster NAME",
    "--command-file": "the script travels with the image, or with tutti submit --upload",
    "--input-file": "put the file into the bucket (tutti data put) and name it with input: s3://...",
}


def submissions(lines: list[Line]) -> list[Line]:
    """The lines that call awsbsub."""
    return [line for line in lines if any(word.rpartition("/")[2] == "awsbsub" for word in words_of(line))]


def take(port: Port, line: Line) -> None:
    """One submission into `port`."""
    words = words_of(line)
    start = next(n for n, word in enumerate(words) if word.rpartition("/")[2] == "awsbsub")
    found, command = options(words[start + 1 :], line, _VALUED - {"-cf", "--command-file"})
    for option in found:
        _take_one(port, option)
    if command:
        port.keys["command"] = command


def _take_one(port: Port, option: Option) -> None:
    name, value = _LONG.get(option.name, option.name), option.value
    if name == "--job-name":
        port.keys["name"] = value
    elif name in _WHOLE and value.isdigit():
        port.keys[_WHOLE[name]] = int(value)
    elif name == "--retry-attempts" and value.isdigit():
        port.keys["retries"] = max(0, int(value) - 1)
    elif name == "--env":
        for item in value.split(","):
            variable, equals, text = item.partition("=")
            if equals:
                port.keys.setdefault("env", {})[variable] = text
            elif variable != "all":
                port.keys.setdefault("env", {})[variable] = None  # the caller's value, when the job file is submitted
    else:
        port.lose(option.line, _LOST.get(name, "has no equal here"), text=f"{option.name} {value}".strip())
