"""`tutti port` as a user calls it: the job file on standard output, what is lost on standard error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

SCRIPT = "#!/bin/bash\n#SBATCH -N 2 --ntasks-per-node=4 -p debug\nsrun ./a.out\n"


def tutti(*words: str, text: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tutti", *words]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def test_a_script_through_a_pipe() -> None:
    done = tutti("port", "-", text=SCRIPT)
    assert done.returncode == 0
    assert yaml.safe_load(done.stdout)["nodes"] == 2
    assert "line 2: -p debug" in done.stderr


def test_a_file_to_a_file(tmp_path: Path) -> None:
    (tmp_path / "job.sh").write_text(SCRIPT)
    done = tutti("port", str(tmp_path / "job.sh"), "-o", str(tmp_path / "job.yaml"))
    assert done.returncode == 0
    assert done.stdout == ""
    assert yaml.safe_load((tmp_path / "job.yaml").read_text())["ranks_per_node"] == 4


def test_a_file_that_is_not_there() -> None:
    done = tutti("port", "no-such-script.sh")
    assert done.returncode == 3
    assert done.stderr.startswith("tutti: no-such-script.sh: No such file")


def test_a_script_that_cannot_be_read_as_one() -> None:
    done = tutti("port", "-", text="echo hello\n")
    assert done.returncode == 2
    assert "neither #SBATCH nor #PBS" in done.stderr
