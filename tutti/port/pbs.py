"""qsub of PBS Pro, OpenPBS and Torque: `#PBS` directives -> keys of a job file. Options as in qsub(1B)."""

from __future__ import annotations

import re
from typing import Final

from tutti.port.ported import Port
from tutti.port.script import Option, Script, options, reading, words_of
from tutti.port.slurm import array
from tutti.values import memory_mib

MARKS: Final = ("#PBS",)
_VALUED: Final = frozenset(
    {
        "-N",
        "-l",
        "-q",
        "-A",
        "-P",
        "-o",
        "-e",
        "-j",
        "-m",
        "-M",
        "-J",
        "-t",
        "-W",
        "-v",
        "-p",
        "-r",
        "-a",
        "-S",
        "-c",
        "-k",
        "-d",
        "-w",
    }
)
_LOST: Final = {
    "-q": "queues differ: leave queue out, and the first that fits is taken, or name one of `tutti cluster show`",
    "-m": "say whom to tell, with notify; it hears when the job has ended",
    "-M": "one address can be told, with notify",
    "-h": "nothing is held: submit it when it shall run, or with at",
    "-V": "a job sees the image's environment and env, never that of the desk",
    "-o": "the log keeps all output, by node and rank: tutti logs",
    "-e": "the log keeps all output, by node and rank: tutti logs",
    "-a": "see tutti submit --at",
    "-p": "see priority: high or low",
    "-d": "ranks run in the job's own folder; set workdir for another",
    "-w": "ranks run in the job's own folder; set workdir for another",
}
_GIVEN: Final = frozenset({"-j", "-k", "-S", "-c", "-X"})  # one log for both streams, and the shell is not needed


def take(port: Port, script: Script) -> None:
    """The directives of `script` into `port`."""
    for line in script.directives:
        found, _ = options(words_of(line), line, _VALUED, frozenset(_VALUED))
        for option in found:
            with reading(option):
                _take_one(port, option)
    if port.keys.get("notify"):
        port.lost = [item for item in port.lost if not item.text.startswith("-m ")]


def _take_one(port: Port, option: Option) -> None:
    name, value, keys = option.name, option.value, port.keys
    match name:
        case "-N":
            keys["name"] = re.sub(r"[^A-Za-z0-9_-]", "-", value)[:128]
        case "-l":
            for part in re.split(r",(?=\w+=)", value):
                _resource(port, option, part)
        case "-A" | "-P":
            keys.setdefault("label", {})["account"] = value
        case "-J" | "-t":
            array(port, option)
        case "-v":
            for item in value.split(","):
                variable, equals, text = item.partition("=")
                if equals:
                    keys.setdefault("env", {})[variable] = port.substituted(text, option.line)
                else:
                    port.lose(
                        option.line,
                        "a job sees nothing of the desk's environment: give the value, with env",
                        text=f"-v {variable}",
                    )
        case "-r":
            keys["retries"] = 2 if value == "y" else 0
        case "-W" if value.startswith("depend="):
            why = "ids of the old cluster mean nothing here: after: ID[:ok|any], with the id that tutti submit prints"
            port.lose(option.line, why, text=f"{name} {value}")
        case "-W" if value.startswith("group_list="):
            keys.setdefault("label", {})["account"] = value.removeprefix("group_list=")
        case "-W" if value.startswith("umask="):
            pass
        case "-M" if "," not in value:
            keys["notify"] = value
        case _ if name not in _GIVEN:
            port.lose(option.line, _LOST.get(name, "has no equal here"), text=f"{name} {value}".strip())


def _resource(port: Port, option: Option, part: str) -> None:
    name, _, value = part.partition("=")
    keys = port.keys
    match name:
        case "select":
            chunks = value.split("+")
            if len(chunks) > 1:
                port.lose(
                    option.line, "all nodes of a gang are alike: the first chunk is taken", text=f"select={value}"
                )
            count, _, wants = chunks[0].partition(":")
            keys["nodes"] = int(count)
            _chunk(port, option, wants)
        case "nodes":
            count, _, wants = value.split("+")[0].partition(":")
            keys["nodes"] = int(count) if count.isdigit() else 1
            _chunk(port, option, wants)
        case "walltime":
            keys["timeout"] = _walltime(value)
        case "mem" | "vmem" | "pmem":
            mib = memory_mib(_size(value))
            per = keys.get("nodes", 1) if name != "pmem" else 1
            keys["memory"] = f"{mib * (keys.get('ranks_per_node', 1) if name == 'pmem' else 1) // per}MiB"
        case "ncpus":
            keys["ranks_per_node"] = int(value)
        case "place" | "wd":
            pass  # whole nodes, in one placement group, and ranks run in the job's own folder: as it is here
        case "storage" | "filesystems" | "jobfs" | "scratch":
            why = "files come with input and stay on the shared folder; scratch is as large as the pool's disk"
            port.lose(option.line, why, text=f"-l {part}")
        case _:
            port.lose(option.line, "has no equal here", text=f"-l {part}")


def _chunk(port: Port, option: Option, wants: str) -> None:
    """`ncpus=32:mpiprocs=16:ompthreads=2:mem=64gb:ngpus=1` of PBS Pro, `ppn=16:gpus=2:feature` of Torque."""
    said = dict(item.partition("=")[::2] for item in wants.split(":") if item)
    ranks = said.get("mpiprocs") or said.get("ppn")
    if ranks:
        port.keys["ranks_per_node"] = int(ranks)
    elif "ncpus" in said:
        port.keys["ranks_per_node"] = int(said["ncpus"]) // int(said.get("ompthreads", "1"))
    if "ompthreads" in said:
        port.keys["threads"] = int(said["ompthreads"])
    if "mem" in said:
        port.keys["memory"] = f"{memory_mib(_size(said['mem']))}MiB"
    if gpus := said.get("ngpus") or said.get("gpus"):
        port.keys["gpus"] = int(gpus)
    for other in said.keys() - {"mpiprocs", "ppn", "ncpus", "ompthreads", "mem", "ngpus", "gpus"}:
        port.lose(
            option.line,
            "choose hardware with instance_type",
            text=other if not said[other] else f"{other}={said[other]}",
        )


def _walltime(value: str) -> str:
    """`HH:MM:SS`, `MM:SS` or seconds."""
    total = 0
    for part in value.split(":"):
        total = total * 60 + int(part)
    return f"{total // 60}m" if total % 60 == 0 else f"{total}s"


def _size(value: str) -> str:
    """PBS counts words and bytes by letter: 64gb, 2000mb, 8gw."""
    return value.lower().removesuffix("b").upper()
