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


@pytest.mark.parametrize("line", ["#SBATCH --nodes=4", "#PBS -l nodes=4", "#BSUB -n 4"])
def test_another_schedulers_directives_alone_are_refused_at_their_line(line: str) -> None:
    with pytest.raises(InputError) as caught:
        read_script(f"#!/bin/bash\n# a solver\n\n{line}\n{line}\nsrun ./solver\n", "my run.sh")
    [problem] = caught.value.problems
    assert (problem.where, line in problem.what, "2 such lines" in problem.what) == ("my run.sh:4", True, True)
    ported = "tutti port 'my run.sh' > job.yaml, then tutti submit job.yaml"
    assert (ported in problem.remedy) == (not line.startswith("#BSUB")), "tutti port cannot read LSF's"
    assert "#TUTTI --nodes 4" in problem.remedy


def test_a_script_on_stdin_is_ported_from_there() -> None:
    with pytest.raises(InputError, match=r"tutti port - > job\.yaml"):
        read_script("#SBATCH -N 2\n", "stdin")


def test_a_script_with_directives_of_both_schedulers_is_meant_for_both() -> None:
    job = check(*read_script("#!/bin/sh\n#SBATCH --nodes=4\n#TUTTI --nodes 2\n./solver\n", "run.sh"))
    assert job.nodes == 2


@pytest.mark.parametrize("line", ["##SBATCH --nodes=4", "# SBATCH", "./solver\n#SBATCH --nodes=4"])
def test_what_no_scheduler_reads_is_no_directive(line: str) -> None:
    read_script(f"#!/bin/sh\n{line}\n./solver\n", "run.sh")
