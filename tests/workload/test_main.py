"""The dispatcher: `python -m workload run|node`."""

import subprocess
import sys
from pathlib import Path

import pytest

from workload import __main__ as dispatcher


def workload(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "workload", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_programs_are_found_by_file_name_alone(tmp_path: Path) -> None:
    for name in ("single.py", "_shared.py", "package/command.py", "package/other.py", "notes/readme.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise RuntimeError('imported')\n")
    assert dispatcher.kernel_modules(tmp_path) == {
        "package": "workload.kernels.package.command",
        "single": "workload.kernels.single",
    }


def test_an_unknown_program_is_refused_with_the_known_ones_and_a_likely_spelling() -> None:
    assert dispatcher.unknown_kernel("rnig", ["matmul", "ring"]) == (
        "there is no program 'rnig'. Did you mean 'ring'? Programs: matmul, ring"
    )
    assert "mean" not in dispatcher.unknown_kernel("zzz", ["matmul", "ring"])
    run = workload("run", "no-such-program")
    assert run.returncode == 2
    assert "there is no program 'no-such-program'" in run.stderr
    assert run.stdout == ""


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["node", "--help"]])
def test_help_is_on_stdout_and_starts_no_mpi(arguments: list[str]) -> None:
    probe = "import runpy, sys; sys.argv[1:] = {!r}\ntry: runpy.run_module('workload', run_name='__main__')\nfinally: print('mpi4py' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", probe.format(arguments)], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0
    assert "usage:" in run.stdout
    assert run.stdout.splitlines()[-1] == "False"


def test_node_hands_its_command_on_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    class Entrypoint:
        got: list[str]

        @classmethod
        def main(cls, argv: list[str]) -> int:
            cls.got = argv
            return 7

    monkeypatch.setitem(sys.modules, "workload.entrypoint", Entrypoint)
    assert dispatcher.main(["node", "--", "prog", "-x", "--", "--help"]) == 7
    assert Entrypoint.got == ["--", "prog", "-x", "--", "--help"]
