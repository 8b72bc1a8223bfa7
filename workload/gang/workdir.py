"""Where the ranks of a node run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from workload.contract import SHARED_SCHEME, resolve_shared
from workload.node import Node
from workload.settings import JOB_ID_MARK


def ready(asked: str, node: Node, environ: Mapping[str, str]) -> tuple[Path, bool]:
    """The folder that `asked` means, and whether it was made for this job.

    It stands below the job's own folder, is absolute, or is on the shared folder. Folders of the shared one are made,
    and those that bear the job's id, which nobody could have made before; any other must be there.

    Raises
    ------
    ValueError
        It is not there, or cannot be made.
    """
    named = asked.replace(JOB_ID_MARK, node.job_name)
    folder = node.job_folder / resolve_shared(named, environ)
    if folder.is_dir():
        return folder, False
    if named == asked and not asked.startswith(SHARED_SCHEME):
        raise ValueError(f"workdir: {asked} is no folder on this node ({folder}); inputs are below input/")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"workdir: {asked} cannot be made on this node ({folder}): {error.strerror}") from error
    return folder, True
