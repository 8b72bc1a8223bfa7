"""The gang's secret is nowhere that a rank can read it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

SECRET = "a stack's secret"
# What a rank can read of itself and of every ancestor: environments, command lines, open files, and (asked) memory.
SEARCH = f"""
import os, pathlib, sys
secret = {SECRET!r}
found = [f"own {{k}}" for k, v in os.environ.items() if secret in v or k.startswith("TUTTI_SECRET")]
pid, closed = os.getppid(), []
while pid > 1:
    folder = pathlib.Path(f"/proc/{{pid}}")
    member = b"tutti-node" in (folder / "cmdline").read_bytes()
    try:
        if secret.encode() in (folder / "environ").read_bytes(): found.append(f"environment of {{pid}}")
        if any("memfd" in os.readlink(fd) for fd in (folder / "fd").iterdir()): found.append(f"files of {{pid}}")
        if "memory" in sys.argv and member: (folder / "mem").open("rb").close(); found.append(f"memory of {{pid}}")
    except PermissionError as error:
        closed.append(error.filename)
    if member: break
    pid = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
print("member", member, "closed", len(closed))
print("found", found)
"""


def test_no_rank_sees_the_secret_in_any_environment_or_file(mpich_gang: Any) -> None:
    (mpich_gang.folder / "search.py").write_text(SEARCH, encoding="utf-8")
    mpich_gang.start_all(2, [sys.executable, str(mpich_gang.folder / "search.py")])
    assert mpich_gang.codes() == [0, 0]
    assert "[1:1] member True" in mpich_gang.log(1)
    assert "[1:1] found []" in mpich_gang.log(1)
    assert SECRET not in mpich_gang.logs()


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can become another user, and root itself may read everything")
def test_an_unprivileged_rank_can_open_neither_memory_nor_environment_of_its_member(
    mpich_gang: Any, everybodys_bin: Path
) -> None:
    interpreter = str(everybodys_bin / "python")
    mpich_gang.folder.chmod(0o777)
    (mpich_gang.folder / "search.py").write_text(SEARCH, encoding="utf-8")
    become = "import os, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534); os.execv(sys.argv[1], sys.argv[1:])"
    node = str(everybodys_bin / "tutti-node")
    mpich_gang.start(
        0,
        1,
        [interpreter, str(mpich_gang.folder / "search.py"), "memory"],
        command=[sys.executable, "-c", become, interpreter, node],
        HOME="/",
        TUTTI_RANKS_PER_NODE="1",
    )
    assert mpich_gang.codes() == [0], mpich_gang.logs()
    assert "[0:0] member True closed 1" in mpich_gang.log()
    assert "[0:0] found []" in mpich_gang.log()
