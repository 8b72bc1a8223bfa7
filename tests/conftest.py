"""What holds for every test, and what tests of several folders share."""

from __future__ import annotations

import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def pytest_configure() -> None:
    """Ctrl-C works in what the tests start.

    Whoever starts the tests in the background (`make test &` in a script) has them ignore SIGINT, and all that they start.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def everybodys_bin() -> Iterator[Path]:
    """A folder of programs that any user may run: a Python that has all of this one's packages, tutti-node, MPICH.

    Skips where other users may not read this interpreter, this checkout, or its packages.
    """
    packages = Path(sysconfig.get_path("purelib"))
    for needed in (ROOT, packages):
        if not _open(needed):
            pytest.skip(f"other users may not read {needed}")
    with tempfile.TemporaryDirectory(prefix="tutti-all-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        subprocess.run([_interpreter(), "-m", "venv", "--without-pip", str(folder)], check=True)
        (found,) = folder.glob("lib/python*/site-packages")
        (found / "tutti-tests.pth").write_text(f"{ROOT}\n{packages}\n", encoding="utf-8")
        node = folder / "bin/tutti-node"
        node.write_text(
            f"#!{folder}/bin/python\nimport sys\nfrom workload.entrypoint import main\nsys.exit(main())\n",
            encoding="utf-8",
        )
        node.chmod(0o755)
        own = Path(sys.executable).parent
        for program in [*own.glob("*hydra*"), own / "mpiexec"]:
            (folder / "bin" / program.name).symlink_to(program)
        for library in (own.parent / "lib").iterdir():
            if not library.name.startswith("python"):
                (folder / "lib" / library.name).symlink_to(library)
        yield folder / "bin"


def _interpreter() -> str:
    for interpreter in (Path(sys.executable), Path("/usr/bin/python3")):
        real = interpreter.resolve()
        if real.name.endswith(f"{sys.version_info.major}.{sys.version_info.minor}") and _open(real):
            return str(real)
    pytest.skip(f"other users may not run {sys.executable}, nor is /usr/bin/python3 of its version")


def _open(path: Path) -> bool:
    return all(one.stat().st_mode & 1 for one in [path, *path.parents])
