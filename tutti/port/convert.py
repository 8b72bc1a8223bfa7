"""A batch script of another scheduler -> job files. Pure: text in, ports out."""

from __future__ import annotations

from typing import Final

from tutti.errors import InputError, Problem
from tutti.port import awsbsub, body, pbs, slurm
from tutti.port.ported import Port
from tutti.port.script import logical_lines, read

_INDEX: Final = "AWS_BATCH_JOB_ARRAY_INDEX"


def convert(text: str, name: str) -> list[Port]:
    """The jobs of a script: one of sbatch's or PBS's directives, or one for each call of awsbsub.

    Raises
    ------
        InputError: neither directives nor a call of awsbsub in it, or an option that cannot be read.
    """
    script = read(text, (*slurm.MARKS, *pbs.MARKS))
    try:
        if script.directives:
            return [_directives(text, slurm if slurm.MARKS[0] in script.marks else pbs)]
        if calls := awsbsub.submissions(list(logical_lines(text))):
            ports = [Port() for _ in calls]
            for port, call in zip(ports, calls, strict=True):
                awsbsub.take(port, call)
            return ports
    except ValueError as error:
        raise InputError([Problem(where=name, what=f"an option cannot be read: {error}")]) from error
    what = "has neither #SBATCH nor #PBS directives, nor a call of awsbsub"
    raise InputError(
        [Problem(where=name, what=what, remedy="Write the job file by hand: tutti submit --help has its keys.")]
    )


def _directives(text: str, dialect: object) -> Port:
    module = slurm if dialect is slurm else pbs
    script = read(text, module.MARKS)
    port = Port()
    module.take(port, script)
    for line in script.late:
        port.lose(line, "stands behind the first command, where no scheduler reads it: it never held")
    body.take(port, script)
    port.settle_size(None)
    if port.renumbered and "command" not in port.keys:
        first, step = port.numbers
        why = f"an array of Batch counts 0, 1, 2 ...: compute {first} + {step} x $AWS_BATCH_JOB_ARRAY_INDEX in the program"
        port.lose(script.directives[0], why, text="the array's numbers")
    if port.keys.get("nodes") == 1 and "array" in port.keys:
        del port.keys["nodes"]
        if port.keys.get("ranks_per_node") == 1:
            del port.keys["ranks_per_node"]
    elif "nodes" in port.keys and "array" in port.keys:
        size = port.keys.pop("array")
        first, step = port.numbers
        numbers = f"{first} to {first + (size - 1) * step}" + (f" in steps of {step}" if step > 1 else "")
        sweep = f"tutti sweep{f' --max-running {port.at_once}' if port.at_once else ''}"
        why = f"AWS Batch has no arrays of multi-node jobs: run the {size} ({numbers}) with {sweep}"
        if _INDEX in str(port.keys.get("command")):
            why += f", the sweep's parameter in place of ${_INDEX}, which is empty here"
        port.lose(port.array_line or script.directives[0], why, text=f"an array of {size}")
    if "array" in port.keys and port.at_once:
        why = f"an array of Batch runs as many at once as fit; {port.at_once} at most: tutti sweep --max-running {port.at_once}"
        port.lose(port.array_line or script.directives[0], why)
    port.lost = sorted(dict.fromkeys(port.lost), key=lambda item: item.line)
    return port
