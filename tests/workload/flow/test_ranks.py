"""The field does not depend on who computes it."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).with_name("rough_cases.py")


def test_the_field_is_bitwise_the_same_on_1_2_3_4_and_6_ranks_however_cut_and_its_steps_grouped(
    mpirun: Callable[..., Any], tmp_path: Path
) -> None:
    found: dict[int, dict[str, Any]] = {}
    for ranks in (1, 2, 3, 4, 6):
        path = tmp_path / f"{ranks}.json"
        done = mpirun(ranks, sys.executable, "-m", "mpi4py", PROGRAM, path)
        assert done.returncode == 0, done.stderr
        found[ranks] = json.loads(path.read_text())
    assert all(result["sums"] == found[1]["sums"] for result in found.values())
    assert len(found[1]["sums"]) == 12
    cut_axes = [
        {axis for parts in found[ranks]["cuts"] for axis in range(3) if parts[axis] > 1} for ranks in (2, 3, 4, 6)
    ]
    assert all(axes == {0, 1, 2} for axes in cut_axes)
