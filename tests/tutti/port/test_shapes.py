"""Whole scripts in the shapes that people write: GROMACS, OpenFOAM, WRF, LAMMPS, on Slurm and PBS. Each as its user wants it."""

from __future__ import annotations

import subprocess
import textwrap

import pytest

from tutti.errors import InputError
from tutti.jobfile import check, inherited
from tutti.port.convert import convert
from tutti.port.ported import Port
from tutti.port.shell import arithmetic


def ported(script: str) -> Port:
    (port,) = convert(textwrap.dedent(script).lstrip("\n"), "job.sh")
    check(inherited(port.keys, {}, {"SEED": "1"}), {})
    return port


def lost(port: Port) -> dict[int, str]:
    return {item.line: f"{item.text}: {item.why}" for item in port.lost}


def test_gromacs_with_its_program_in_a_variable_and_a_count_that_is_computed() -> None:
    port = ported("""
        #!/bin/bash -l
        #SBATCH --job-name=lyso
        #SBATCH --nodes           4   # whole nodes
        #SBATCH --ntasks-per-node 16  # ranks
        #SBATCH --cpus-per-task=4 --time=1-12:00:00
        ##SBATCH --qos=debug
        #SBATCH --mail-type=ALL --mail-user=me@example.org
        #SBATCH --dependency=singleton
        module load gromacs/2023.3-mpi
        export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
        GMX=gmx_mpi
        FN=lyso
        NP=$(($SLURM_NTASKS_PER_NODE * $SLURM_JOB_NUM_NODES))
        $GMX grompp -f md.mdp -c $FN.gro -p topol.top -o $FN.tpr
        srun --mpi=pmi2 -n $NP $GMX mdrun -deffnm $FN -ntomp $OMP_NUM_THREADS -maxh 35.5 &> md.out
        seff $SLURM_JOBID
        """)
    assert port.keys == {
        "name": "lyso",
        "nodes": 4,
        "ranks_per_node": 16,
        "threads": 4,
        "timeout": "2160m",
        "notify": "me@example.org",
        "command": ["gmx_mpi", "mdrun", "-deffnm", "lyso", "-ntomp", "4", "-maxh", "35.5"],
    }
    assert set(lost(port)) == {8, 9, 14, 15, 16}
    assert "after: NAME:any" in lost(port)[8]
    assert "job of its own" in lost(port)[14]


def test_openfoam_between_its_steps_before_and_after() -> None:
    port = ported("""
        #!/bin/bash
        #SBATCH -J motorbike -N2 -n64 -t 02:00:00
        #SBATCH --mem-per-cpu=3850
        . /opt/openfoam/etc/bashrc
        cd "${SLURM_SUBMIT_DIR}" || exit 1
        [ -d processor0 ] || decomposePar -force > log.decomposePar 2>&1
        mpirun -np $SLURM_NTASKS simpleFoam -parallel 2>&1 | tee log.simpleFoam
        reconstructPar -latestTime > log.reconstructPar
        """)
    assert port.keys == {
        "name": "motorbike",
        "nodes": 2,
        "ranks_per_node": 32,
        "timeout": "120m",
        "memory": "123200MiB",
        "command": ["simpleFoam", "-parallel"],
    }
    assert set(lost(port)) == {4, 5, 6, 7, 8}


def test_launchers_that_are_a_function_or_a_variable() -> None:
    for line in (
        "time runParallel icoFoam -parallel",
        "$MPIEXEC $FLAGS_MPI_BATCH icoFoam -parallel",
        "${MPIRUN} icoFoam -parallel",
    ):
        port = ported(f"#!/bin/sh\n#SBATCH -N 2 -n 32\nrunApplication decomposePar\n{line}\n")
        assert port.keys["command"] == ["icoFoam", "-parallel"], line
        assert set(lost(port)) == {3}


def test_wrf_in_a_c_shell_of_pbs_pro() -> None:
    port = ported("""
        #!/bin/tcsh
        #PBS -N wrf -A P48500028
        #PBS -l select=8:ncpus=36:mpiprocs=36:mem=109GB:model=bro
        #PBS -l walltime=12:00:00,place=scatter:excl
        #PBS -l storage=gdata/up6+gdata/hh5
        #PBS -l wd
        #PBS -W umask=0022
        #PBS -m abe -M me@example.org
        limit stacksize unlimited
        setenv OMP_NUM_THREADS 1
        setenv WRF_NMM_CORE 0
        ln -sf ../../WPS/met_em* .
        if ($#argv > 0) then
          echo no arguments
        endif
        mpiexec_mpt -n $PBS_NCPUS dplace -s 1 ./wrf.exe >& job.out
        """)
    assert port.keys == {
        "name": "wrf",
        "nodes": 8,
        "ranks_per_node": 36,
        "threads": 1,
        "timeout": "720m",
        "memory": "111616MiB",
        "label": {"account": "P48500028"},
        "env": {"WRF_NMM_CORE": "0"},
        "notify": "me@example.org",
        "command": ["./wrf.exe"],
    }
    assert set(lost(port)) == {3, 5, 9, 12, 13, 16}
    assert "instance_type" in lost(port)[3]


def test_an_array_whose_values_the_script_computes_runs_with_the_same_values() -> None:
    port = ported("""
        #!/bin/bash
        #SBATCH --array=1-30
        #SBATCH --ntasks=1 --mem=64gb
        i=$(( (SLURM_ARRAY_TASK_ID - 1) % 6 ))
        T=$(( 300 + 20 * i ))
        name="run of $SLURM_ARRAY_TASK_ID"
        other=$(date)
        srun --mpi=pmi2 echo $T $i "$name" ${SLURM_ARRAY_TASK_ID}
        """)
    assert port.keys["array"] == 30
    assert "nodes" not in port.keys
    command = port.keys["command"]
    said = subprocess.run(command, env={"AWS_BATCH_JOB_ARRAY_INDEX": "7"}, capture_output=True, text=True, check=True)
    assert said.stdout == "320 1 run of 8 8\n"
    assert set(lost(port)) == {7, 8}


def test_an_array_of_jobs_with_many_ranks_on_a_node_keeps_its_ranks() -> None:
    port = ported("""
        #!/bin/bash
        #SBATCH --array=0-9 -N1 --ntasks=24 -c1
        srun lmp -in in.melt -var seed $SLURM_ARRAY_TASK_ID
        """)
    assert (port.keys["array"], port.keys["ranks_per_node"], "nodes" in port.keys) == (10, 24, False)
    assert port.keys["command"][-1].endswith("-var seed ${AWS_BATCH_JOB_ARRAY_INDEX}")


def test_files_that_a_script_makes_loops_and_directives_that_come_too_late() -> None:
    port = ported("""
        #!/bin/bash
        #SBATCH --nodes=2 --ntasks-per-node=8
        cat > in.dat <<EOF
        steps 1000
        ranks $SLURM_NTASKS
        EOF
        if [ -f state.cpt ]; then
            export RESTART="-cpi state.cpt"
        fi
        srun ./solver in.dat
        for k in 1 2 3; do
          srun -n 4 ./post $k &
        done
        wait
        #SBATCH --mem=10G
        """)
    assert port.keys == {"nodes": 2, "ranks_per_node": 8, "command": ["./solver", "in.dat"]}
    assert set(lost(port)) == {3, 7, 11, 14, 15}
    assert "bring that with upload" in lost(port)[3]
    assert "tutti sweep" in lost(port)[11]
    assert "it never held" in lost(port)[15]


def test_options_of_the_submission_and_arguments_of_the_script() -> None:
    port = ported("""
        #!/bin/bash
        #SBATCH --nodes=1 --ntasks=4 --gpus-per-task=1
        #SBATCH --export=NONE,MODEL=big,SEED
        #SBATCH --begin=now+2hours --hold -W
        #SBATCH --mail-user=me@example.org --no-requeue --open-mode=append
        CASE=$1
        ibrun python -u train.py --case "$CASE" --node $SLURMD_NODENAME --data 'a b*' data/*.nc
        """)
    assert {**port.keys, "command": []} == {
        "nodes": 1,
        "ranks_per_node": 4,
        "gpus": 4,
        "env": {"MODEL": "big", "SEED": None},
        "at": "+2h",
        "wait": True,
        "notify": "me@example.org",
        "retries": 0,
        "command": [],
    }
    text = """python -u train.py --case "$CASE" --node $SLURMD_NODENAME --data 'a b*' data/*.nc"""
    assert port.keys["command"] == ["sh", "-c", text]
    assert {line: words.partition(":")[0] for line, words in lost(port).items()} == {
        4: "--hold", 6: "CASE=$1", 7: "$SLURMD_NODENAME",
    }  # fmt: skip
    assert "argument of the script" in lost(port)[6]


def test_an_intel_script_of_pbs_with_chunks_and_a_node_file() -> None:
    port = ported("""
        #!/bin/bash
        #PBS -l select=4:ncpus=40:mpiprocs=40
        #PBS -l walltime=3600
        #PBS -W group_list=s2395
        NPROCS=`wc -l < $PBS_NODEFILE`
        cd $PBS_O_WORKDIR
        mpirun -genv I_MPI_FABRICS=shm:ofi -np $NPROCS -hostfile $PBS_NODEFILE ./solver case.in
        """)
    assert port.keys == {
        "nodes": 4,
        "ranks_per_node": 40,
        "timeout": "60m",
        "label": {"account": "s2395"},
        "env": {"I_MPI_FABRICS": "shm:ofi"},
        "command": ["./solver", "case.in"],
    }
    assert set(lost(port)) == {5, 6}


def test_sums_of_a_shell() -> None:
    assert arithmetic("$(( (4 + 2) * 16 / 3 % 7 - 1 ))") == "3"
    assert arithmetic("$((-7 / 2))") == "-3", "a shell rounds towards zero"
    assert arithmetic("$((-7 % 2))") == "-1"
    assert arithmetic("$((1 / 0))") is None
    assert arithmetic("$((2 ** 99))") is None
    assert arithmetic("$((x + 1))") is None


def test_what_stands_in_single_quotes_reaches_the_program_as_it_stands() -> None:
    port = ported("""
        #!/bin/bash
        #SBATCH -N 2
        export A="x y"
        srun ./show "$A" '$A'
        """)
    done = subprocess.run(
        ["sh", "-c", port.keys["command"][-1].replace("./show", "printf '%s\\n'")],
        env={**port.keys["env"], "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.splitlines() == ["x y", "$A"]


def test_a_variable_before_the_launcher_on_its_line_has_its_value_without_the_semicolon() -> None:
    port = ported("""
        #!/bin/bash
        #SBATCH -N 2
        N=2; srun ./show $N
        """)
    assert port.keys["env"] == {"N": "2"}


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("#SBATCH -N four\nsrun ./a", "line 2: -N four"),
        ("#SBATCH --array=1-10:0\n./a", "line 2: --array 1-10:0"),
        ("#SBATCH -N 2 --ntasks-per-node=4 --gpus-per-task=a100\nsrun ./a", "line 2: --gpus-per-task a100"),
        ("#PBS -l select=2:ncpus=4\n#PBS -J 1-10:0\n./a", "line 3: -J 1-10:0"),
        ("#SBATCH -t soon\n./a", "line 2: -t soon: time: got 'soon'; allowed: MM, MM:SS"),
    ],
)
def test_an_option_that_cannot_be_read_is_told_with_its_line_and_in_our_words(script: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        convert(f"#!/bin/sh\n{script}\n", "job.sh")
    assert str(caught.value).startswith(f"job.sh: an option cannot be read: {told}")
    assert "invalid literal" not in str(caught.value)
    assert "range()" not in str(caught.value)
