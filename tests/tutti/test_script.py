"""Scripts as jobs: directives are flags, each problem at its line."""

from __future__ import annotations

import pytest

from tutti.errors import InputError
from tutti.jobfile import check, overlay
from tutti.script import MOST_BYTES, read_script

SCRIPT = """#!/bin/bash -l
# a solver
#TUTTI --nodes 4 --mpi openmpi
#TUTTI --env A=1 --env "B=two words"   # as a shell splits
#TUTTI --timeout=2h --no-preflight --wait

./solver --nodes 9
#TUTTI --nodes 8
"""


def test_directives_in_the_head_are_flags_and_later_ones_are_not() -> None:
    job = check(*read_script(SCRIPT, "run.sh"))
    assert (job.nodes, job.mpi, job.timeout, job.preflight, job.wait) == (4, "openmpi", 7200, False, True)
    assert job.env == {"A": "1", "B": "two words"}
    assert job.command == ("/bin/bash", "-l", "-c", SCRIPT, "run.sh")


def test_flags_win_over_directives() -> None:
    assert check(*overlay(*read_script(SCRIPT, "run.sh"), {"nodes": "2"})).nodes == 2


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--node 4", "run.sh:2: '--node' is no flag of tutti submit; did you mean '--nodes'?"),
        ("--nodes", "run.sh:2: --nodes needs a value"),
        ("--env 'A=1", "run.sh:2: cannot be split into words: No closing quotation"),
    ],
)
def test_a_wrong_directive_is_named_by_its_line(line: str, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        read_script(f"#!/bin/sh\n#TUTTI {line}\n", "run.sh")
    assert next(str(p) for p in caught.value.problems).startswith(expected)


def test_a_wrong_value_in_a_directive_is_named_by_its_line() -> None:
    with pytest.raises(InputError, match=r"^run\.sh:2: nodes: got 0;"):
        check(*read_script("#!/bin/sh\n#TUTTI --nodes 0\n", "run.sh"))


def test_a_script_too_long_to_travel_is_refused_with_the_way_out() -> None:
    with pytest.raises(InputError, match="--upload DIR"):
        read_script("x" * (MOST_BYTES + 1), "run.sh")


@pytest.mark.parametrize(
    ("first", "interpreter"),
    [("", ("sh",)), ("#!/bin/sh\n", ("/bin/sh",)), ("#!/usr/bin/env python3\n", ("python3",))],
)
def test_the_first_line_says_who_reads_the_script(first: str, interpreter: tuple[str, ...]) -> None:
    job = check(*read_script(f"{first}echo 1\n", "run.sh"))
    assert job.command[: len(interpreter)] == interpreter
