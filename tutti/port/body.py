"""The body of a batch script: variables, the program under its launcher, and what cannot go along."""

from __future__ import annotations

import re
from typing import Final

from tutti.port.ported import Port
from tutti.port.script import LAUNCHERS, Line, Script, words_of

_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*=\S*")
_SHELL: Final = re.compile(r"\d?>>?(&\d)?.*|<.*|\||&&|\|\||;|&")

# What launchers call the same thing; each takes one value.
_RANKS: Final = frozenset({"-n", "-np", "--np", "--ntasks"})
_PER_NODE: Final = frozenset({"-ppn", "-perhost", "--npernode", "-npernode", "--ntasks-per-node", "-N"})
_HOSTS: Final = frozenset(
    {"-hostfile", "--hostfile", "-machinefile", "--machinefile", "-machine", "-f", "-host", "--host", "-hosts", "-H"}
)
_OTHERS: Final = frozenset(
    {
        *(
            "-c",
            "--cpus-per-task",
            "--cpu-bind",
            "--cpu_bind",
            "--mpi",
            "--distribution",
            "-m",
            "--time",
            "-t",
            "--mem",
            "-o",
            "-e",
            "--output",
            "--error",
        ),
        *(
            "--map-by",
            "-map-by",
            "--bind-to",
            "-bind-to",
            "--rank-by",
            "-iface",
            "-bootstrap",
            "-launcher",
            "-wdir",
            "--wdir",
            "-d",
            "-S",
            "-j",
            "-p",
        ),
        *("--nodes", "--gpus-per-task", "--gres", "--ntasks-per-core", "--hint", "--threads-per-core"),
    },
)
_PARAMETERS: Final = frozenset({"--mca", "-mca", "--prtemca", "--gmca"})  # two values
_VARIABLES: Final = frozenset({"-genv", "-env"})  # name and value

_USELESS: Final = (
    (r"(module|ml)\b", "software comes with the image: build one that has it, or choose one with image"),
    (r"(source|\.)\s|conda\b|spack\b", "environments come with the image: build one that has it"),
    (r"cd\s+\S*(SLURM_SUBMIT_DIR|PBS_O_WORKDIR)", "ranks run in the job's own folder, with input/ and output/"),
    (r"cd\b", "ranks run in the job's own folder; set workdir for another"),
    (r"ulimit\b", "the job definition sets limits: memlock and stack unlimited, nofile 65536"),
    (
        r"(echo|printf|date|hostname|env|printenv|pwd)\b",
        "tutti logs and tutti status tell what a job did, where and when",
    ),
    (r"(cp|rsync|aws|scp|mv)\b", "files move with input and output: s3://... or shared:..."),
    (r"mkdir\b", "the job's folder has input/ and output/; make others in the program"),
    (r"(set|shopt|umask|trap|unset|alias|sleep|wait|exit)\b|export\s+\w+$", "is for the shell that ran the script"),
)


def take(port: Port, script: Script) -> None:
    """The variables, the program and everything else of the script's body, into `port`."""
    for name, value, line in script.exports:
        _variable(port, name, value, line)
    programs = list(script.launches)
    for line in script.others:
        if why := _useless(line.text):
            port.lose(line, why)
        elif script.launches:
            port.lose(
                line,
                "runs beside the program, not under it: make it part of the program, or a job of its own with after",
            )
        else:
            programs.append(line)
    if programs:
        port.keys["command"] = _program(port, programs[0])
    for line in programs[1:]:
        port.lose(line, "one job runs one program: make it a job of its own, with after: the first one's id")


def _variable(port: Port, name: str, value: str, line: Line) -> None:
    itself = re.search(rf"\$\{{?{name}\b", value)
    if name in _THREADS and (value.isdigit() or "threads" in port.keys):
        if value.isdigit():
            port.keys.setdefault("threads", int(value))
    elif "$(" in value or "`" in value or itself:
        port.lose(line, "is computed when the script runs: set it in the image, or give its value with env")
    elif value:
        port.keys.setdefault("env", {})[name] = port.substituted(value, line)


def _program(port: Port, line: Line) -> list[str]:
    words = words_of(line)
    while words and _ASSIGNMENT.fullmatch(words[0]):
        name, _, value = words.pop(0).partition("=")
        _variable(port, name, value, line)
    if words[:1] == ["time"]:
        words.pop(0)
    if words and words[0].rpartition("/")[2] in LAUNCHERS:
        words = _launcher(port, words[1:], line)
    end = next((n for n, word in enumerate(words) if _SHELL.fullmatch(word)), len(words))
    if end < len(words):
        port.lose(
            line,
            "redirections and pipes are a shell's: the log keeps all output (tutti logs)",
            text=" ".join(words[end:]),
        )
    command = [port.substituted(word, line) for word in words[:end]]
    return ["sh", "-c", " ".join(command)] if any("$" in word for word in command) else command


def _launcher(port: Port, words: list[str], line: Line) -> list[str]:
    """The words after a launcher's options, which go into `port`."""
    while words and words[0].startswith("-"):
        name, equals, value = words.pop(0).partition("=")
        if name in _PARAMETERS and len(words) > 1:
            key, value = words.pop(0), words.pop(0)
            port.lose(
                line,
                f"the gang sets the MPI's own parameters; give others as env: OMPI_MCA_{key}",
                text=f"{name} {key} {value}",
            )
            continue
        if name in _VARIABLES and len(words) > 1:
            _variable(port, words.pop(0), words.pop(0), line)
            continue
        takes_one = name in _RANKS | _PER_NODE | _HOSTS | _OTHERS or name == "-x"
        if takes_one and not equals and words:
            value = words.pop(0)
        value = port.substituted(value, line)
        if name in _RANKS and value.isdigit():
            port.ranks = port.ranks or int(value)
        elif name in _PER_NODE and value.isdigit():
            # `-N` is nodes for srun and ranks a node for mpirun; the directives have said both, so it adds nothing.
            if name != "-N":
                port.keys.setdefault("ranks_per_node", int(value))
        elif name == "-x" and "=" in value:
            variable, _, text = value.partition("=")
            _variable(port, variable, text, line)
        elif name != "-x" and name not in _HOSTS:
            port.lose(
                line, "the gang places and binds ranks: see ranks_per_node and threads", text=f"{name} {value}".strip()
            )
    return words


def _useless(text: str) -> str:
    """Why a line of the body needs no equal here; empty where it may matter."""
    return next((why for pattern, why in _USELESS if re.match(pattern, text)), "")
