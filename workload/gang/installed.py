"""Which MPIs this node's image has, and which of them a program wants.

Runs each `mpiexec --version` once (2-6 ms), before the loop runs. Nothing is started with an MPI here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from workload import elf
from workload.contract import Mpi
from workload.record import Record
from workload.settings import AUTO, NONE

# Every name under which distributions install a launcher; the plain ones last: they may be links to any of them.
LAUNCHERS: Final = ("mpiexec.hydra", "mpiexec.mpich", "mpiexec.openmpi", "mpirun.openmpi", "mpiexec", "mpirun")
# Where images keep an MPI that is not on PATH: EFA's installer, Intel's, Fedora's and Rocky's modules.
PREFIXES: Final = (
    "/opt/amazon/openmpi5",
    "/opt/amazon/openmpi",
    "/opt/intel/oneapi/mpi/latest",
    "/usr/lib64/openmpi",
    "/usr/lib64/mpich",
    "/opt/openmpi",
    "/opt/mpich",
)
VERSION_TIMEOUT_S: Final = 20.0
# What each says to --version. MVAPICH's launcher is MPICH's Hydra.
SIGNATURES: Final = (
    (Mpi.INTEL, re.compile(r"Intel\(R\) MPI Library.*?Version\s+(\d[\w.]*)", re.DOTALL)),
    (Mpi.OPENMPI, re.compile(r"\((?:Open MPI|OpenRTE)\)\s+(\d[\w.]*)")),
    (Mpi.MPICH, re.compile(r"HYDRA build details:.*?Version:\s+(\d[\w.]*)", re.DOTALL)),
)
# libmpi.so.40 is Open MPI's; MPICH and Intel MPI share the soname of the MPICH ABI; the standard ABI fits every MPI.
SONAMES: Final = {
    "libmpi.so.40": (Mpi.OPENMPI,),
    "libmpi.so.20": (Mpi.OPENMPI,),
    "libmpi.so.12": (Mpi.INTEL, Mpi.MPICH),
}


class LaunchError(ValueError):
    """A launch that cannot be: what was asked, what there is."""


class Installation(Record):
    """One MPI of this image."""

    mpi: Mpi
    mpiexec: str  # an absolute path
    version: str

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])

    @property
    def prefix(self) -> Path:
        return Path(self.mpiexec).parent.parent

    @property
    def library(self) -> Path | None:
        """The MPI library beside the launcher; None where it lies where the loader looks anyhow."""
        name = "libmpi.so.40" if self.mpi is Mpi.OPENMPI else "libmpi.so.12"
        return next((p for p in (self.prefix / "lib" / name, self.prefix / "lib64" / name) if p.exists()), None)

    def __str__(self) -> str:
        return f"{self.mpi} {self.version}"


def find_mpi(setting: str, environ: Mapping[str, str], argv: Sequence[str]) -> Installation | None:
    """The MPI that starts `argv`: the one that `setting` names, or by the program's own linkage.

    None for `mpi: none`.

    Raises
    ------
    LaunchError
        The image lacks it; the text names what is there.

    """
    if setting == NONE:
        return None
    silent: list[str] = []
    return choose(setting, installations(environ, silent), linked_mpis(argv, environ), silent)


def choose(
    setting: str, there: Iterable[Installation], linked: Sequence[Mpi], silent: Sequence[str] = ()
) -> Installation:
    """The first of `there` that will do: as `setting` names, or as the program is `linked`; either is in order.

    Looks no further than it must: every node of a gang waits for this. `silent` are launchers that do not say what they
    are, for the error's text; it may grow while `there` is read.

    Raises
    ------
    LaunchError
        None of `there` will do.

    """
    wanted = [setting] if setting != AUTO else linked
    seen = []
    for installation in there:
        if not wanted or installation.mpi == wanted[0]:
            return installation
        seen.append(installation)
    for installation in seen:
        if installation.mpi in wanted:
            return installation
    names = ", ".join(str(i) for i in seen) or "no MPI"
    if silent:
        names += f", and what does not run here: {'; '.join(silent)}"
    if setting != AUTO:
        raise LaunchError(
            f"mpi: got {setting}; this image has {names}. Choose one that it has (--mpi auto does), "
            f"or an image with {setting}"
        )
    if not seen and not silent:
        raise LaunchError(
            "this image has no MPI: no mpiexec is on its PATH. Use an image with one, or --mpi none "
            "to run the program once on each node"
        )
    if not wanted:
        raise LaunchError(f"this image has {names}. Mend it, or --mpi none to run the program once on each node")
    raise LaunchError(
        f"the program is linked with {' or '.join(linked)}, and this image has {names}. "
        "Build it with an MPI of the image, or name one (--mpi) to try"
    )


def installations(environ: Mapping[str, str], silent: list[str] | None = None) -> Iterator[Installation]:
    """The MPIs of this image, each once: those on PATH first, in its order.

    A launcher that does not say what it is goes to `silent`, with its words.
    """
    folders = [f for f in environ.get("PATH", os.defpath).split(os.pathsep) if f]
    folders += [f"{root}/bin" for root in (environ.get("I_MPI_ROOT"), *PREFIXES) if root]
    seen: set[Path] = set()
    known: set[tuple[Mpi, str]] = set()
    for folder in folders:
        for name in LAUNCHERS:
            path = shutil.which(name, path=folder)
            if path is None or (real := Path(path).resolve()) in seen:
                continue
            seen.add(real)
            found, said = ask_version(path, environ)
            if found is None and silent is not None:
                silent.append(f"{path}: {said}")
            if found and (found.mpi, found.version) not in known:
                known.add((found.mpi, found.version))
                yield found


def ask_version(mpiexec: str, environ: Mapping[str, str]) -> tuple[Installation | None, str]:
    """What `mpiexec` is, or None and the first line of what it says instead."""
    try:
        answer = subprocess.run(
            [mpiexec, "--version"],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=VERSION_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, str(error)
    text = (answer.stdout + answer.stderr).decode("utf-8", "replace")
    for mpi, signature in SIGNATURES:
        if match := signature.search(text):
            return Installation(mpi=mpi, mpiexec=str(Path(mpiexec).absolute()), version=match.group(1)), text
    said = next((line.strip() for line in text.splitlines() if line.strip()), "nothing")
    return None, f"--version says {said[:200]!r} (exit code {answer.returncode})"


def linked_mpis(argv: Sequence[str], environ: Mapping[str, str]) -> tuple[Mpi, ...]:
    """The MPIs with which the program may run, by the libraries that it is linked with; empty: any.

    A script, an interpreter, a static program and one that is not found say nothing.
    """
    program = shutil.which(argv[0], path=environ.get("PATH", os.defpath)) if argv else None
    if program is None:
        return ()
    for soname in elf.needed(Path(program)):
        if soname in SONAMES:
            return SONAMES[soname]
    return ()
