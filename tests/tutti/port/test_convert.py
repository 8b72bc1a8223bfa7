"""Scripts as people write them become job files; whatever is not kept is named, by its line."""

from __future__ import annotations

import contextlib
import textwrap

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tutti.errors import InputError
from tutti.jobfile import check, load
from tutti.port.convert import convert
from tutti.port.ported import Port
from tutti.port.slurm import minutes


def ported(script: str) -> Port:
    """The one job of `script`, checked as `tutti submit` would."""
    (port,) = convert(textwrap.dedent(script).lstrip("\n"), "job.sh")
    check(port.keys, {})
    return port


def lost(port: Port) -> dict[int, str]:
    return {item.line: f"{item.text}: {item.why}" for item in port.lost}


def test_a_plain_mpi_job_of_slurm() -> None:
    port = ported("""
        #!/bin/bash
        #SBATCH --job-name=lammps
        #SBATCH --nodes=4
        #SBATCH --ntasks-per-node=32
        #SBATCH --time=12:00:00
        #SBATCH --partition=compute
        #SBATCH --output=%x-%j.out

        module purge
        module load gcc/12.2 openmpi/4.1.5 lammps/2023
        srun lmp -in in.melt -log none
        """)
    assert port.keys == {
        "name": "lammps",
        "nodes": 4,
        "ranks_per_node": 32,
        "timeout": "720m",
        "command": ["lmp", "-in", "in.melt", "-log", "none"],
    }
    assert set(lost(port)) == {6, 7, 9, 10}
    assert "queues differ" in lost(port)[6]
    assert "image" in lost(port)[10]


def test_short_options_and_a_hybrid_program() -> None:
    port = ported("""
        #!/bin/bash -l
        #SBATCH -J wrf -N 8 -n 64 -c 4 -t 90 -A atm0042
        #SBATCH --mem=180G
        #SBATCH --exclusive
        #SBATCH --hint=nomultithread
        export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK
        export OMP_PLACES=cores
        srun --cpu-bind=cores ./wrf.exe
        """)
    assert port.keys == {
        "name": "wrf",
        "nodes": 8,
        "ranks_per_node": 8,
        "threads": 4,
        "timeout": "90m",
        "memory": "184320MiB",
        "label": {"account": "atm0042"},
        "env": {"OMP_PLACES": "cores"},
        "command": ["./wrf.exe"],
    }
    assert list(lost(port)) == [8]


def test_mpirun_with_a_count_from_the_scheduler() -> None:
    port = ported("""
        #!/bin/bash
        #SBATCH -N 2
        #SBATCH -n 16
        cd $SLURM_SUBMIT_DIR
        time mpirun -np $SLURM_NTASKS --map-by ppr:8:node --mca btl ^openib -x FOO=bar python -m mpi4py solve.py --ranks ${SLURM_NTASKS} > solve.log 2>&1
        """)
    assert port.keys["command"] == ["python", "-m", "mpi4py", "solve.py", "--ranks", "16"]
    assert port.keys["ranks_per_node"] == 8
    assert port.keys["env"] == {"FOO": "bar"}
    texts = [f"{item.text}: {item.why}" for item in port.lost]
    for part in ("> solve.log", "--map-by ppr:8:node", "--mca btl ^openib", "cd $SLURM_SUBMIT_DIR"):
        assert any(part in text for text in texts), part


def test_a_gpu_job_that_wants_a_signal_before_its_end() -> None:
    port = ported("""
        #!/bin/bash
        #SBATCH --nodes=2
        #SBATCH --ntasks-per-node=4
        #SBATCH --gres=gpu:a100:4
        #SBATCH --signal=B:USR1@300
        #SBATCH --requeue
        #SBATCH --time=1-00:00:00
        srun python train.py
        """)
    assert port.keys == {
        "nodes": 2,
        "ranks_per_node": 4,
        "gpus": 4,
        "signal_before": "300s",
        "retries": 2,
        "timeout": "1440m",
        "command": ["python", "train.py"],
    }
    assert "SIGTERM" in lost(port)[5]


def test_an_array_of_single_tasks() -> None:
    port = ported("""
        #!/bin/bash
        #SBATCH --array=0-99%10
        #SBATCH --ntasks=1
        #SBATCH --mem-per-cpu=2000M
        #SBATCH --mail-type=END,FAIL
        #SBATCH --mail-user=me@example.org
        python sweep.py --point $SLURM_ARRAY_TASK_ID
        """)
    assert port.keys["array"] == 100
    assert port.keys["command"] == ["sh", "-c", "python sweep.py --point ${AWS_BATCH_JOB_ARRAY_INDEX}"]
    assert port.keys["memory"] == "2000MiB"
    assert "nodes" not in port.keys
    assert "as many at once as fit; 10 at most: tutti sweep --max-running 10" in lost(port)[2]
    assert port.keys["notify"] == "me@example.org"
    assert set(lost(port)) == {2}


def test_an_array_that_does_not_count_from_nought() -> None:
    port = ported("""
        #!/bin/bash
        #SBATCH --array=1-20:2
        ./run.sh
        """)
    assert port.keys["array"] == 10
    number = "export SLURM_ARRAY_TASK_ID=$((1 + 2 * AWS_BATCH_JOB_ARRAY_INDEX))"
    assert port.keys["command"] == ["bash", "-c", f"{number}; ./run.sh"]
    assert not port.lost


def test_an_array_of_multi_node_jobs_goes_to_sweep() -> None:
    port = ported("""
        #!/bin/bash
        #SBATCH --array=0-9
        #SBATCH --nodes=2 --ntasks-per-node=2
        srun ./a.out
        """)
    assert "array" not in port.keys
    assert port.keys["nodes"] == 2
    assert [(item.line, "tutti sweep" in item.why, "is empty here" in item.why) for item in port.lost] == [
        (2, True, False)
    ]


def test_an_array_of_multi_node_jobs_is_named_at_its_line_with_its_numbers_and_with_the_variable_that_is_empty() -> (
    None
):
    port = ported("""
        #!/bin/bash
        #SBATCH --nodes=2 --ntasks-per-node=2
        #SBATCH --array=1-9:2
        srun ./a.out $SLURM_ARRAY_TASK_ID
        """)
    [lost] = port.lost
    assert (lost.line, lost.text) == (3, "an array of 5")
    assert "run the 5 (1 to 9 in steps of 2) with tutti sweep" in lost.why
    assert "the sweep's parameter in place of $AWS_BATCH_JOB_ARRAY_INDEX, which is empty here" in lost.why


def test_an_array_of_multi_node_jobs_with_a_most_at_once_is_told_of_once() -> None:
    port = ported("""
        #!/bin/bash
        #SBATCH --nodes=2 --ntasks-per-node=2
        #SBATCH --array=0-9%2
        srun ./a.out
        """)
    [lost] = port.lost
    assert "run the 10 (0 to 9) with tutti sweep --max-running 2" in lost.why


def test_a_chain_of_jobs_names_the_dependency() -> None:
    port = ported("""
        #!/bin/bash
        #SBATCH --dependency=afterok:12345
        #SBATCH -N 2-4
        #SBATCH -C haswell
        srun ./post
        """)
    assert "after: ID" in lost(port)[2]
    assert port.keys["nodes"] == 2
    assert "fixed size" in lost(port)[3]
    assert "instance_type" in lost(port)[4]


def test_steps_before_and_after_the_program_are_named() -> None:
    port = ported("""
        #!/bin/bash
        #SBATCH -N 2 --ntasks-per-node 1
        mkdir -p $SCRATCH/run
        cp input.nc $SCRATCH/run
        python make_mesh.py
        mpirun ./solver -i input.nc
        mpirun ./post
        rsync -a $SCRATCH/run/ results/
        """)
    assert port.keys["command"] == ["./solver", "-i", "input.nc"]
    assert set(lost(port)) == {3, 4, 5, 7, 8}
    assert "input and output" in lost(port)[4]
    assert "job of its own" in lost(port)[7]


def test_continued_lines_are_one_line() -> None:
    port = ported("""
        #!/bin/bash
        #SBATCH -N 2 --ntasks-per-node=2
        mpirun \\
            --bind-to core \\
            ./a.out --x 1 \\
            --y 2
        """)
    assert port.keys["command"] == ["./a.out", "--x", "1", "--y", "2"]


def test_pbs_pro_with_select() -> None:
    port = ported("""
        #!/bin/bash
        #PBS -N gromacs
        #PBS -l select=4:ncpus=64:mpiprocs=16:ompthreads=4:mem=200gb
        #PBS -l walltime=08:30:00
        #PBS -l place=scatter:excl
        #PBS -q workq
        #PBS -P project1
        #PBS -j oe
        cd $PBS_O_WORKDIR
        mpiexec gmx_mpi mdrun -deffnm md
        """)
    assert port.keys == {
        "name": "gromacs",
        "nodes": 4,
        "ranks_per_node": 16,
        "threads": 4,
        "memory": "204800MiB",
        "timeout": "510m",
        "label": {"account": "project1"},
        "command": ["gmx_mpi", "mdrun", "-deffnm", "md"],
    }
    assert set(lost(port)) == {6, 9}


def test_torque_with_nodes_and_ppn() -> None:
    port = ported("""
        #!/bin/sh
        #PBS -N flow
        #PBS -l nodes=2:ppn=12,walltime=24:00:00,pmem=2gb
        #PBS -V
        #PBS -M me@example.org
        #PBS -W depend=afterok:99.server
        NP=$(wc -l < $PBS_NODEFILE)
        mpirun -np 24 -machinefile $PBS_NODEFILE ./flow
        """)
    assert port.keys == {
        "name": "flow",
        "nodes": 2,
        "ranks_per_node": 12,
        "timeout": "1440m",
        "memory": "24576MiB",
        "notify": "me@example.org",
        "command": ["./flow"],
    }
    assert {4, 6, 7} <= set(lost(port))


def test_pbs_array_and_variables() -> None:
    port = ported("""
        #PBS -J 0-49
        #PBS -v MODEL=big,HOME
        #PBS -r y
        python run.py $PBS_ARRAY_INDEX
        """)
    assert port.keys["array"] == 50
    assert port.keys["env"] == {"MODEL": "big"}
    assert port.keys["retries"] == 2
    assert port.keys["command"][-1].endswith("${AWS_BATCH_JOB_ARRAY_INDEX}")
    assert "HOME" in lost(port)[2]


def test_intel_mpi_with_variables_on_the_command_line() -> None:
    port = ported("""
        #!/bin/bash
        #SBATCH --nodes=2 --ntasks-per-node=8
        source /opt/intel/oneapi/setvars.sh
        ulimit -s unlimited
        I_MPI_DEBUG=5 mpirun -ppn 8 -genv I_MPI_PIN 1 -genv OMP_NUM_THREADS 2 ./cfd.x case.in
        """)
    assert port.keys["env"] == {"I_MPI_DEBUG": "5", "I_MPI_PIN": "1"}
    assert port.keys["threads"] == 2
    assert port.keys["command"] == ["./cfd.x", "case.in"]


def test_ranks_that_do_not_divide_are_said() -> None:
    port = ported("""
        #!/bin/bash
        #SBATCH --nodes=3 --ntasks=10
        srun ./a
        """)
    assert port.keys["ranks_per_node"] == 4
    assert "3 x 4 = 12" in lost(port)[2]


def test_ranks_without_nodes_are_said() -> None:
    port = ported("""
        #!/bin/bash
        #SBATCH -n 8
        srun ./a
        """)
    assert (port.keys["nodes"], port.keys["ranks_per_node"]) == (1, 8)
    assert "not on how many nodes" in lost(port)[2]


def test_a_script_of_no_scheduler_is_refused() -> None:
    with pytest.raises(InputError, match="neither #SBATCH nor #PBS"):
        convert("#!/bin/bash\nmpirun ./a\n", "x.sh")


def test_an_option_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(InputError, match="got 'soon'"):
        convert("#!/bin/bash\n#SBATCH --time=soon\nsrun ./a\n", "x.sh")


def test_the_job_file_is_one_that_submit_reads_with_the_losses_as_comments() -> None:
    port = ported("""
        #!/bin/bash
        #SBATCH -N 2 --ntasks-per-node=4 -p debug
        srun ./a.out
        """)
    text = port.job_file("job.sh")
    keys, where = load(text, "job.yaml")
    assert check(keys, where).nodes == 2
    assert "line 2: -p debug" in text
    assert yaml.safe_load(text) == port.keys


@pytest.mark.parametrize(
    ("slurm", "ours"),
    [
        ("90", "90m"),
        ("5:30", "330s"),
        ("01:00:00", "60m"),
        ("2-12", "3600m"),
        ("1-00:30", "1470m"),
        ("0-00:00:45", "45s"),
    ],
)
def test_slurm_times(slurm: str, ours: str) -> None:
    assert minutes(slurm) == ours


@given(st.text(max_size=200))
def test_no_text_breaks_the_port(text: str) -> None:
    """Whatever stands in a script: a port, or an error in words."""
    with contextlib.suppress(InputError):
        convert(f"#SBATCH -N 2\n{text}", "x.sh")
