"""sbatch: `#SBATCH` directives -> keys of a job file. Options as in sbatch(1) of Slurm 24.05."""

from __future__ import annotations

import re
from typing import Final

from tutti.port.ported import Port
from tutti.port.script import Option, Script, options, reading, words_of
from tutti.values import memory_mib

MARKS: Final = ("#SBATCH",)
_LONG: Final = {
    "-J": "--job-name", "-N": "--nodes", "-n": "--ntasks", "-c": "--cpus-per-task", "-t": "--time", "-p": "--partition", "-q": "--qos",
    "-A": "--account", "-a": "--array", "-d": "--dependency", "-o": "--output", "-e": "--error", "-C": "--constraint", "-G": "--gpus",
    "-H": "--hold", "-W": "--wait", "-m": "--distribution", "-w": "--nodelist", "-x": "--exclude", "-b": "--begin", "-D": "--chdir", "-L": "--licenses", "-M": "--clusters", "-s": "--oversubscribe",
}  # fmt: skip
_LOST: Final = {
    "--partition": "queues differ: leave queue out, and the first that fits is taken, or name one of `tutti cluster show`",
    "--qos": "see priority: high or low",
    "--dependency": "ids of the old cluster mean nothing here: after: ID[:ok|any], with the id that tutti submit prints",
    "--output": "the log keeps all output, by node and rank: tutti logs",
    "--error": "the log keeps all output, by node and rank: tutti logs",
    "--mail-type": "say whom to tell, with notify; it hears when the job has ended",
    "--hold": "nothing is held: submit it when it shall run, or with at",
    "--gpus-per-task": "say gpus, of each node",
    "--nice": "see priority: high or low",
    "--constraint": "choose hardware with instance_type",
    "--nodelist": "nodes are made for the job: there are none to choose from",
    "--exclude": "nodes are made for the job: there are none to choose from",
    "--reservation": "reservations belong to a pool: ask whoever runs the stack",
    "--begin": "say it as 2026-12-01T06:00 or +2h, with at",
    "--chdir": "ranks run in the job's own folder; set workdir for another, in the image or on the shared folder",
    "--licenses": "AWS Batch has no licences to count",
    "--clusters": "choose with tutti --cluster NAME",
    "--export": "a job sees the image's environment and env, never that of the desk",
    "--tmp": "scratch is as large as the pool's disk",
    "--mincpus": "choose hardware with instance_type",
    "--switches": "nodes of a pool are in one placement group",
    "--wckey": "use label",
    "--comment": "use label",
}
# What holds here anyway, so that nothing is lost: whole nodes, physical cores, every rank together.
_GIVEN: Final = frozenset(
    {
        *(
            "--exclusive",
            "--hint",
            "--threads-per-core",
            "--ntasks-per-core",
            "--no-kill",
            "--parsable",
            "--oversubscribe",
        ),
        *(
            "--wait-all-nodes",
            "--open-mode",
            "--get-user-env",
            "--quiet",
            "--verbose",
            "--distribution",
            "--contiguous",
        ),
    }
)
_VALUED: Final = (
    frozenset(_LONG)
    | frozenset(_LONG.values())
    | frozenset(_LOST)
    | {"--ntasks-per-node", "--tasks-per-node", "--mem", "--mem-per-cpu"}
)
_ALSO_VALUED: Final = frozenset(
    {
        *("--gres", "--gpus-per-node", "--signal", "--hint", "--threads-per-core", "--ntasks-per-core", "--open-mode"),
        *("--mail-user", "--distribution", "--ntasks-per-socket", "--priority"),
    }
) - {"--hold"}


_SWITCHES: Final = frozenset({"-s", "--oversubscribe", "-H", "--hold", "-W", "--wait", "--nice"})  # no word behind them


def take(port: Port, script: Script) -> None:
    """The directives of `script` into `port`."""
    last = None
    per_cpu: Option | None = None
    per_task: Option | None = None
    for line in script.directives:
        found, _ = options(words_of(line), line, (_VALUED | _ALSO_VALUED) - _SWITCHES, frozenset(_LONG))
        for option in found:
            last = line if _LONG.get(option.name, option.name) in {"--ntasks", "--nodes"} else last
            if option.name == "--mem-per-cpu":
                per_cpu = option
            elif option.name == "--gpus-per-task":
                per_task = option
            else:
                with reading(option):
                    _take_one(port, option)
    port.settle_size(last)
    if per_cpu:
        cpus = port.keys.get("ranks_per_node", 1) * port.keys.get("threads", 1)
        port.keys["memory"] = f"{memory_mib(per_cpu.value) * cpus}MiB"
    if per_task and "gpus" not in port.keys and "ranks_per_node" in port.keys:
        with reading(per_task):
            port.keys["gpus"] = int(per_task.value.rpartition(":")[2]) * port.keys["ranks_per_node"]
    elif per_task and "gpus" not in port.keys:
        port.lose(per_task.line, _LOST[per_task.name], text=f"{per_task.name} {per_task.value}")
    if port.keys.get("notify"):
        port.lost = [item for item in port.lost if not item.text.startswith("--mail-type")]


def _take_one(port: Port, option: Option) -> None:
    name, value, keys = _LONG.get(option.name, option.name), option.value, port.keys
    said = f"{option.name} {value}".strip()
    match name:
        case "--job-name":
            keys["name"] = re.sub(r"[^A-Za-z0-9_-]", "-", value)[:128]
        case "--nodes":
            least, _, most = value.partition("-")
            keys["nodes"] = int(least)
            if most:
                port.lose(option.line, f"a gang has a fixed size: {least} is taken", text=said)
        case "--ntasks":
            port.ranks = int(value)
        case "--ntasks-per-node" | "--tasks-per-node":
            keys["ranks_per_node"] = int(value)
        case "--cpus-per-task":
            keys["threads"] = int(value)
        case "--time":
            keys["timeout"] = minutes(value)
        case "--mem":
            if memory := value.removesuffix("B") if value != "0" else "":
                keys["memory"] = f"{memory_mib(memory)}MiB"
        case "--gpus-per-node" | "--gres" | "--gpus":
            _gpus(port, option, name)
        case "--account":
            keys.setdefault("label", {})["account"] = value
        case "--array":
            array(port, option)
        case "--signal":
            _signal(port, option)
        case "--mail-user":
            keys["notify"] = value
        case "--wait":
            keys["wait"] = True
        case "--begin" if when := _begin(value):
            keys["at"] = when
        case "--dependency" if value == "singleton":
            why = "after: NAME:any starts after the newest job of a name, whatever became of it"
            port.lose(option.line, why, text=said)
        case "--export":
            _export(port, option)
        case "--requeue":
            keys["retries"] = 2
        case "--no-requeue":
            keys["retries"] = 0
        case _ if name not in _GIVEN:
            port.lose(option.line, _LOST.get(name, "has no equal here"), text=said)


def _begin(value: str) -> str:
    """A time of ours for `now+2hours`, `2026-12-01T06:00`; empty for Slurm's other ways (`16:00`, `tomorrow`)."""
    if match := re.fullmatch(r"now\+(?P<n>\d+)(?P<unit>second|minute|hour|day|week)?s?", value):
        count = int(match["n"]) * (7 if match["unit"] == "week" else 1)
        unit = {"second": "s", "minute": "m", "hour": "h", "day": "d", "week": "d"}[match["unit"] or "second"]
        return f"+{count}{unit}"
    return value if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?", value) else ""


def _export(port: Port, option: Option) -> None:
    """`ALL`, `NONE`, `A`, `A=1`: names have the value that their user has when the job file is submitted."""
    for item in option.value.split(","):
        name, equals, value = item.partition("=")
        if item == "ALL":
            port.lose(option.line, _LOST[option.name] + "; all of yours: --env '*'", text=f"{option.name} ALL")
        elif name and item not in {"NONE", "NIL"}:
            port.keys.setdefault("env", {})[name] = value if equals else None


def minutes(value: str) -> str:
    """Slurm's time, which counts minutes where it is one number, as a time of ours.

    Raises
    ------
        ValueError: none of MM, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS.
    """
    match = re.fullmatch(r"(?:(?P<d>\d+)-)?(?P<a>\d+)(?::(?P<b>\d+))?(?::(?P<c>\d+))?", value)
    if match is None:
        raise ValueError(f"time: got {value!r}; allowed: MM, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS")
    days, first, second, third = (int(match[group]) if match[group] else None for group in "dabc")
    if days is not None:
        total = days * 86_400 + (first or 0) * 3600 + (second or 0) * 60 + (third or 0)
    elif third is not None:
        total = (first or 0) * 3600 + (second or 0) * 60 + third
    else:
        total = (first or 0) * 60 + (second or 0)
    return f"{total // 60}m" if total % 60 == 0 else f"{total}s"


def array(port: Port, option: Option) -> None:
    """`0-99%10`, `1-10`, `0-99:2`, `1,5,7`: a Batch array counts from 0, in steps of 1."""
    match = re.fullmatch(r"(?P<first>\d+)-(?P<last>\d+)(?::(?P<step>\d+))?(?:%(?P<most>\d+))?", option.value)
    if match is None:
        port.lose(option.line, "an array of Batch is 0 to N-1; for a list use tutti sweep")
        return
    first, last, step = int(match["first"]), int(match["last"]), int(match["step"] or 1)
    port.keys["array"] = len(range(first, last + 1, step))
    port.numbers, port.array_line = (first, step), option.line
    port.at_once = int(match["most"]) if match["most"] else None


def _gpus(port: Port, option: Option, name: str) -> None:
    match = (
        re.search(r"(?:^|gpu:|:)(\d+)(?:\(.*)?$", option.value) if "gpu" in option.value or name != "--gres" else None
    )
    if match is None:
        port.lose(option.line, "choose hardware with instance_type")
        return
    gpus = int(match[1])
    port.keys["gpus"] = -(-gpus // port.keys.get("nodes", 1)) if name == "--gpus" else gpus


def _signal(port: Port, option: Option) -> None:
    match = re.fullmatch(r"(?:[BR]+:)?(?P<name>\w+)(?:@(?P<s>\d+))?", option.value)
    port.keys["signal_before"] = f"{match['s'] or 60}s" if match else "60s"
    if match and match["name"].removeprefix("SIG") not in {"TERM", "15"}:
        port.lose(option.line, f"the signal is always SIGTERM: let the program handle it in place of {match['name']}")
