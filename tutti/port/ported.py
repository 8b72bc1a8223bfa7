"""What comes of a port: keys of a job file, and every line that could not be kept, with the reason."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from tutti.port.script import Line

# The size of a job, in the words of each scheduler: they are known before the job starts, so they become numbers.
_SIZES: Final = {
    "SLURM_NTASKS": "ranks", "SLURM_NPROCS": "ranks", "PBS_NP": "ranks", "PBS_NCPUS": "ranks", "SLURM_JOB_NUM_NODES": "nodes", "SLURM_NNODES": "nodes",
    "PBS_NUM_NODES": "nodes", "SLURM_CPUS_PER_TASK": "threads", "SLURM_NTASKS_PER_NODE": "ranks_per_node", "PBS_NUM_PPN": "ranks_per_node",
}  # fmt: skip
_RENAMED: Final = {
    "SLURM_ARRAY_TASK_ID": "AWS_BATCH_JOB_ARRAY_INDEX", "PBS_ARRAY_INDEX": "AWS_BATCH_JOB_ARRAY_INDEX", "PBS_ARRAYID": "AWS_BATCH_JOB_ARRAY_INDEX",
    "SLURM_ARRAY_TASK_COUNT": "AWS_BATCH_JOB_ARRAY_SIZE", "SLURM_JOB_ID": "AWS_BATCH_JOB_ID", "SLURM_JOBID": "AWS_BATCH_JOB_ID", "PBS_JOBID": "AWS_BATCH_JOB_ID",
    "SLURM_TMPDIR": "TMPDIR", "PBS_JOBDIR": "TUTTI_JOB_FOLDER", "SLURM_SUBMIT_DIR": "TUTTI_JOB_FOLDER", "PBS_O_WORKDIR": "TUTTI_JOB_FOLDER",
    "SLURM_PROCID": "TUTTI_RANK", "SLURM_LOCALID": "TUTTI_LOCAL_RANK", "SLURM_NODEID": "AWS_BATCH_JOB_NODE_INDEX",
}  # fmt: skip
INDICES: Final = ("SLURM_ARRAY_TASK_ID", "PBS_ARRAY_INDEX", "PBS_ARRAYID")
_VARIABLE: Final = re.compile(r"\$(?:\{(\w+)(?::[-=?+][^}]*)?\}|(\w+))")


@dataclass(frozen=True, kw_only=True)
class Lost:
    """A line, or a part of one, that the job file does not keep: why, and what to do instead."""

    line: int
    text: str
    why: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}\n    {self.why}"


@dataclass(kw_only=True)
class Port:
    """Collects one port: `keys` of the job file, `lost` lines, `ranks` in all where the script says them."""

    keys: dict[str, Any] = field(default_factory=dict)
    lost: list[Lost] = field(default_factory=list)
    ranks: int | None = None
    numbers: tuple[int, int] = (0, 1)  # of an array's elements: the first, and the step to the next
    array_line: Line | None = None  # that asks for an array
    at_once: int | None = None  # of an array's elements: at most so many

    @property
    def renumbered(self) -> bool:
        """Whether the elements have other numbers than Batch's 0, 1, 2 ..., which the command must make for itself."""
        return "array" in self.keys and self.keys.get("nodes", 1) == 1 and self.numbers != (0, 1)

    def lose(self, line: Line, why: str, text: str = "") -> None:
        self.lost.append(Lost(line=line.number, text=text or line.text, why=why))

    def settle_size(self, line: Line | None) -> None:
        """Nodes and ranks a node from what the script says of the two and of ranks in all."""
        nodes, per_node = self.keys.get("nodes"), self.keys.get("ranks_per_node")
        if self.ranks is None or (self.ranks == 1 and not nodes):
            if per_node and not nodes:
                self.keys["nodes"] = 1
            return
        if nodes and not per_node:
            self.keys["ranks_per_node"] = math.ceil(self.ranks / nodes)
        elif per_node and not nodes:
            self.keys["nodes"] = math.ceil(self.ranks / per_node)
        elif not nodes and not per_node and self.ranks > 1:
            self.keys["nodes"], self.keys["ranks_per_node"] = 1, self.ranks
            if line:
                self.lose(
                    line,
                    f"says {self.ranks} ranks and not on how many nodes: all are on one; set nodes and ranks_per_node",
                )
        nodes, per_node = self.keys["nodes"], self.keys["ranks_per_node"]
        if line and nodes * per_node != self.ranks:
            self.lose(
                line,
                f"{self.ranks} ranks do not divide by {nodes} nodes: it becomes {nodes} x {per_node} = {nodes * per_node} ranks",
            )

    def substituted(self, text: str, line: Line) -> str:
        """`text` with the scheduler's variables as numbers, or by the name that they have here."""
        nodes, per_node = self.keys.get("nodes"), self.keys.get("ranks_per_node")
        ranks = self.ranks or (nodes * per_node if nodes and per_node else None)
        sizes = {"ranks": ranks, "nodes": nodes, "threads": self.keys.get("threads"), "ranks_per_node": per_node}

        def one(name: str, as_it_is: str, form: str) -> str:
            if (size := sizes.get(_SIZES.get(name, ""))) is not None:
                return str(size)
            if name in INDICES and self.renumbered:
                return as_it_is
            if name in _RENAMED:
                return form.format(_RENAMED[name])
            if name.startswith(("SLURM", "PBS_")):
                self.lose(line, f"{name} has no equal here: set it with env, or take it out", text=f"${name}")
            return as_it_is

        def sum_of(match: re.Match[str]) -> str:
            inner = re.sub(r"(?<![\w$])[A-Za-z_]\w*", lambda name: one(name[0], name[0], "{}"), match[1])
            return f"$(({inner}))"

        text = re.sub(r"\$\(\((.*?)\)\)", sum_of, text)
        return _VARIABLE.sub(lambda found: one(found[1] or found[2], found[0], "${{{}}}"), text)

    def job_file(self, source: str) -> str:
        """The job file's text; what was lost stands in it as comments."""
        order = (
            "name",
            "nodes",
            "ranks_per_node",
            "threads",
            "gpus",
            "memory",
            "timeout",
            "signal_before",
            "retries",
            "array",
            "env",
            "label",
        )
        ordered = {key: self.keys[key] for key in (*order, *sorted(self.keys)) if key in self.keys}
        ordered["command"] = ordered.pop("command", None) or ["PROGRAM"]
        head = [f"# From {source}."]
        if self.lost:
            told = sorted(self.lost, key=lambda item: item.line)
            head += ["# Not kept:", *(f"#   {text}" for item in told for text in str(item).splitlines())]
        return "\n".join([*head, ""]) + yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True, width=100)
