"""`--compile`: one small job in the dev image compiles what was uploaded; the gang starts after it, with its result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tutti.errors import InputError, Problem
from tutti.job import Job

if TYPE_CHECKING:
    from workload.contract import Card

DEV: Final = "dev"
TIMEOUT_S: Final = 1800
# the uploaded folder is the compiler's working directory; all of it, with what was made, is the result
SCRIPT: Final = 'set -e\ncd "$TUTTI_JOB_FOLDER/input"\n{command}\ncp -R . "$TUTTI_JOB_FOLDER/output/"\n'


def compiler(card: Card, command: str, *, code: str, result: str, name: str) -> Job:
    """The job that compiles `code` (an S3 prefix) into `result` (another, where node 0 puts it below node-0/).

    Raises
    ------
    InputError
        The cluster has no single-node jobs to compile in.
    """
    singles = [d for d in card.definitions if d.kind == "single"]
    if not singles:
        what = f"cluster {card.stack} has no single-node jobs to compile in"
        raise InputError(
            [Problem(where="compile", what=what, remedy="Compile elsewhere and bring the program: --upload")]
        )
    image = next((d.image for d in singles if d.image == DEV or d.image.endswith(f"-{DEV}")), None)
    return Job(
        command=("sh", "-c", SCRIPT.format(command=command)),
        name=f"{name[:110]}-compile",
        mpi="none",
        input=(code,),
        output=(result,),
        image=image,
        timeout=TIMEOUT_S,
    )
