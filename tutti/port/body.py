"""The body of a batch script: variables, the program under its launcher, and what cannot go along."""

from __future__ import annotations

import re
import shlex
from typing import Final

from tutti.port.ported import INDICES, Port
from tutti.port.script import Assignment, Line, Script, is_launcher, words_of
from tutti.port.shell import REFERENCE, arithmetic, needs_shell, raw_words, references

_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*=\S*")
_SHELL: Final = re.compile(r"[\d&]?>>?[&|]?.*|<.*|\|&?|&&|\|\||;|&")

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
    (r"u?limit\b", "the job definition sets limits: memlock and stack unlimited, nofile 65536"),
    (
        r"(echo|printf|date|hostname|env|printenv|pwd)\b",
        "tutti logs and tutti status tell what a job did, where and when",
    ),
    (r"cat\b.*<<", "makes a file when the script runs: put it into a folder of yours, and bring that with upload"),
    (r"(/bin/)?(cp|rsync|aws|scp|mv|ln|rm)\b", "files move with input and output: s3://... or shared:..."),
    (r"(sacct|seff|sstat|squeue|scontrol|qstat)\b", "tutti status, tutti report and tutti cost tell of a job"),
    (r"(sbatch|qsub)\b", "nothing is submitted from within a job: chain jobs with after, or tutti submit --every"),
    (r"mkdir\b", "the job's folder has input/ and output/; make others in the program"),
    (r"(set|shopt|umask|trap|unset|alias|sleep|wait|exit)\b|export\s+\w+$", "is for the shell that ran the script"),
)


def take(port: Port, script: Script) -> None:
    """The variables, the program and everything else of the script's body, into `port`."""
    variables = Variables(port, script)
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
    for line in script.blocks:
        port.lose(line, "a condition or a loop is a shell's: make it part of the program; many runs: tutti sweep")
    if programs:
        port.keys["command"] = _program(port, programs[0], variables)
    variables.tell_unused()
    for line in programs[1:]:
        port.lose(line, "one job runs one program: make it a job of its own, with after: the first one's id")


class Variables:
    """What the script assigns: values that are known go to env, or into the command; others are computed by the command."""

    def __init__(self, port: Port, script: Script) -> None:
        self._port = port
        self._known: dict[str, str] = {}
        self._computed: dict[str, Assignment] = {}
        self._used: set[str] = set()
        for one in script.exports:
            self._take(one)

    def _take(self, one: Assignment) -> None:
        port = self._port
        if one.name in _THREADS and "threads" in port.keys:
            self._known[one.name] = str(port.keys["threads"])
            return
        itself = one.name in references(one.value)
        value = one.value if itself else self.expanded(port.substituted(one.value, one.line))
        value = arithmetic(value) or value
        if one.name in _THREADS and value.isdigit():
            port.keys["threads"] = int(value)
        elif any(name.isdigit() for name in references(value)):
            port.lose(one.line, "is an argument of the script: put its value in its place in the command")
            return
        elif itself or "$" in value or "`" in value:
            self._computed[one.name] = one
            self._known.pop(one.name, None)
            return
        elif one.exported and value:
            port.keys.setdefault("env", {})[one.name] = value
        self._known[one.name] = value

    def expanded(self, text: str) -> str:
        """The text with the variables that are known."""

        def one(match: re.Match[str]) -> str:
            name = match["braced"] or match["bare"]
            if name in self._known and (not match["rest"] or match["rest"].startswith((":-", "-"))):
                return self._known[name]
            return match[0]

        return REFERENCE.sub(one, text)

    def prelude(self, text: str) -> list[str]:
        """The assignments that a shell must make before `text`, in the script's order, what they need themselves first."""
        needed: set[str] = set()
        open_names = references(text)
        while open_names:
            name = open_names.pop()
            if name in needed or not (name in self._computed or name in self._known):
                continue
            needed.add(name)
            open_names += references(self._computed[name].raw) if name in self._computed else []
        self._used |= needed
        made = []
        if self._port.renumbered:
            first, step = self._port.numbers
            name = next((name for name in INDICES if name in text), INDICES[0])
            times = f"{step} * " if step > 1 else ""
            made.append(f"export {name}=$(({first} + {times}AWS_BATCH_JOB_ARRAY_INDEX))")
        for name in [*self._known, *self._computed]:
            if name in _THREADS and name in self._known:
                continue  # the node sets them
            if name in needed and name in self._known and name not in self._port.keys.get("env", {}):
                made.append(f"{name}={shlex.quote(self._known[name])}")
            elif name in needed and name in self._computed:
                one = self._computed[name]
                head = "export " if one.exported else ""
                made.append(f"{head}{name}={self._port.substituted(one.raw, one.line)}")
        return made

    def tell_unused(self) -> None:
        """What the script computes and the command does not need: nobody else could have meant it but other programs."""
        for name, one in self._computed.items():
            if name not in self._used:
                why = "is computed when the script runs: set it in the image, or give its value with env"
                self._port.lose(one.line, why)


def _variable(port: Port, name: str, value: str, line: Line) -> None:
    """A variable that a launcher gives to the ranks."""
    if name in _THREADS and (value.isdigit() or "threads" in port.keys):
        if value.isdigit():
            port.keys.setdefault("threads", int(value))
    elif "$" in (value := port.substituted(value, line)) or "`" in value:
        port.lose(line, "is computed when the script runs: give its value with env", text=f"{name}={value}")
    elif value:
        port.keys.setdefault("env", {})[name] = value


def _program(port: Port, line: Line, variables: Variables) -> list[str]:
    words = words_of(line)
    raw = raw_words(line.text, words)
    at = 0
    while at < len(words) and _ASSIGNMENT.fullmatch(words[at]):
        name, _, value = words[at].partition("=")
        _variable(port, name, variables.expanded(value.removesuffix(";")), line)  # also `N=2; srun ...`
        at += 1
    if words[at : at + 1] == ["time"]:
        at += 1
    if at < len(words) and is_launcher(words[at]):
        rest = [variables.expanded(word) for word in words[at + 1 :]]
        at = len(words) - len(_launcher(port, rest, line))
        while words[at : at + 1] and words[at].startswith("$") and "FLAGS" in words[at]:
            at += 1  # $FLAGS_MPI_BATCH: the launcher's own
    if words[at : at + 2] == ["dplace", "-s"]:
        port.lose(
            line, "the gang places and binds ranks: see ranks_per_node and threads", text=" ".join(words[at : at + 3])
        )
        at += 3
    words, raw = words[at:], raw[at:]
    end = next((n for n, word in enumerate(words) if _SHELL.fullmatch(word)), len(words))
    if end < len(words):
        port.lose(
            line,
            "redirections and pipes are a shell's: the log keeps all output (tutti logs)",
            text=" ".join(words[end:]),
        )
    told = [port.substituted(word, line) for word in words[:end]]
    quoted = [word.startswith("'") for word in raw[:end]]  # where a shell expands nothing
    plain = [t if whole else variables.expanded(t) for t, whole in zip(told, quoted, strict=True)]
    if not port.renumbered and not any(needs_shell(word) for word in _still(plain, raw[:end])):
        return plain
    known = len(port.lost)
    text = " ".join(port.substituted(word, line) for word in raw[:end])
    del port.lost[known:]  # the same words were told of already
    prelude = variables.prelude(text)
    return ["bash", "-c", "; ".join([*prelude, text])] if prelude else ["sh", "-c", text]


def _still(plain: list[str], raw: list[str]) -> list[str]:
    """Words as they stand where they are a pattern, and what is left of their variables."""
    return [r if needs_shell(r) and "$" not in r and "`" not in r else p for p, r in zip(plain, raw, strict=True)]


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
            variable, joined, text = words.pop(0).partition("=")
            _variable(port, variable, text if joined else words.pop(0), line)
            continue
        takes_one = name in _RANKS | _PER_NODE | _HOSTS | _OTHERS or name == "-x"
        if takes_one and not equals and words:
            value = words.pop(0)
        if name not in _HOSTS:
            value = port.substituted(value, line)
            value = arithmetic(value) or value
        if name in _RANKS and value.isdigit():
            port.ranks = port.ranks or int(value)
        elif name in _RANKS:
            if "ranks_per_node" not in port.keys:
                port.lose(
                    line, "is computed when the script runs: set nodes and ranks_per_node", text=f"{name} {value}"
                )
        elif name == "--mpi":
            port.lose(
                line,
                "the gang starts each MPI its own way; mpi names one: mpich, openmpi, intel",
                text=f"--mpi={value}",
            )
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
