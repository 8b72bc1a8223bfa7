"""Calls of awsbsub become job files; each of its options has its equal."""

from __future__ import annotations

import textwrap

from tutti.port.convert import convert
from tutti.port.ported import Port


def lost(port: Port) -> dict[int, str]:
    return {item.line: f"{item.text}: {item.why}" for item in port.lost}


def test_awsbsub_calls_become_a_job_each() -> None:
    text = "awsbsub -jn hello -n 4 -p 8 -m 2048 -t 3600 -r 3 -e A=1,HOME mpirun.sh 10\nawsbsub -a 100 -d 1234 python run.py\n"
    first, second = convert(text, "submit.sh")
    assert first.keys == {
        "name": "hello",
        "nodes": 4,
        "vcpus": 8,
        "memory": 2048,
        "timeout": 3600,
        "retries": 2,
        "env": {"A": "1", "HOME": None},
        "command": ["mpirun.sh", "10"],
    }
    assert second.keys == {"array": 100, "command": ["python", "run.py"]}
    assert "after: ID" in second.lost[0].why


def test_awsbsub_s_files_folders_and_environment_have_their_equals() -> None:
    text = (
        "ID=$(awsbsub -cf -if mesh.dat -if par/case.in -e all -eb HISTFILE,EDITOR -w /shared/run1 ./run.sh --steps 10)\n"
        "awsbsub -jn post -pw ~/runs -if mesh.dat ./post mesh.dat > id.txt\n"
        "awsbsub -a 10 -d type=SEQUENTIAL -n 1 < step.sh\n"
    )
    first, second, third = convert(text, "submit.sh")
    assert first.keys == {
        "upload": ["mesh.dat", "par/case.in", "./run.sh"],
        "env": {"*": None},
        "env_except": ["HISTFILE", "EDITOR"],
        "workdir": "shared:shared/run1",
        "command": ["sh", "-c", 'bash "$TUTTI_JOB_FOLDER/input/run.sh" --steps 10'],
    }
    assert "below $TUTTI_SHARED" in lost(first)[1]
    assert second.keys == {
        "name": "post",
        "upload": ["mesh.dat"],
        "workdir": "shared:runs/job-%j",
        "command": ["./post", "mesh.dat"],
    }
    assert [item.text for item in second.lost] == ["-pw ~/runs", "> id.txt"]
    assert third.keys == {
        "array": 10,
        "nodes": 1,
        "after": ["sequential"],
        "upload": ["step.sh"],
        "command": ["bash", "./step.sh"],
    }
    assert "put the program behind mpirun" in third.lost[-1].why


def test_a_script_that_awsbsub_reads_from_its_standard_input() -> None:
    text = """
        #!/bin/bash
        awsbsub -n 3 -p 4 -jn mpi << EOF
        #!/bin/bash
        module load openmpi
        mpirun -np 12 --map-by ppr:4:node ./solver in.dat
        EOF
        echo "hostname; sleep 5" | awsbsub -jn little
        """
    mpi, little = convert(textwrap.dedent(text).lstrip("\n"), "submit.sh")
    assert mpi.keys == {"nodes": 3, "vcpus": 4, "name": "mpi", "command": ["./solver", "in.dat"]}
    assert [item.line for item in mpi.lost] == [4, 5]
    assert little.keys == {"name": "little", "command": ["bash", "-c", "hostname; sleep 5"]}
