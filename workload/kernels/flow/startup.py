"""Compiled code: where it is kept, and for which processor it is made. To be used before numba is imported.

numba keeps compiled code under a key that has the processor's name and features, so what was compiled on one instance
type is not found on another. Here code is made for a few named targets, the best that the processor has, and lies in
a folder whose name has the target and a checksum of the sources that it is made from.
"""

import hashlib
import importlib.metadata
import os
import platform
import shutil
import tempfile
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CACHE_VARIABLE: Final = "TUTTI_KERNEL_CACHE"
_V2: Final = "+cx16,+popcnt,+sahf,+sse,+sse2,+sse3,+sse4.1,+sse4.2,+ssse3"
_V3: Final = f"{_V2},+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+xsave"
# The kernel's vectors are as wide as the registers: LLVM would split them in two for this target.
_V4: Final = f"{_V3},+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl,-prefer-256-bit"
_NEEDED: Final = {  # as /proc/cpuinfo names what a target needs
    "x86-64-v4": ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx2", "fma", "bmi2"),
    "x86-64-v3": ("avx2", "fma", "bmi1", "bmi2", "f16c", "movbe"),
    "neoverse-v1": ("sve", "bf16"),
}
FEATURES: Final = {"x86-64-v4": _V4, "x86-64-v3": _V3, "neoverse-v1": "+neon,+fullfp16,+bf16"}
_ARCHITECTURES: Final = {"x86-64-v4": "x86_64", "x86-64-v3": "x86_64", "neoverse-v1": "aarch64"}


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is compiled for, and the folder where the code lies."""

    name: str
    cache: Path

    def has(self, dtype: str) -> bool:
        """Whether the code for populations of `dtype` was compiled before."""
        return self._mark(dtype).exists()

    def keep(self, dtype: str) -> None:
        """Note that it was."""
        self._mark(dtype).touch()

    def _mark(self, dtype: str) -> Path:
        return self.cache / f"{dtype}.compiled"


def choose(machine: str, flags: frozenset[str]) -> str:
    """The best target of a machine ("x86_64", "aarch64") with these flags; "host" where none fits."""
    for name, needed in _NEEDED.items():
        if _ARCHITECTURES[name] == machine and flags.issuperset(needed):
            return name
    return "host"


def processor_flags(cpuinfo: str) -> frozenset[str]:
    """Flags of the first processor in the text of /proc/cpuinfo."""
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def fingerprint() -> str:
    """A checksum of all that compiled code depends on but the target."""
    digest = hashlib.sha256(f"{platform.python_version()} {importlib.metadata.version('numba')}".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def cache_root(environ: Mapping[str, str]) -> Path:
    """Where compiled code is kept: TUTTI_KERNEL_CACHE (images set it), else the user's cache folder."""
    if given := environ.get(CACHE_VARIABLE):
        return Path(given)
    return Path(environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME", "/tmp"), ".cache"), "tutti", "kernels")  # noqa: S108 - a user without a home


def prepare(environ: MutableMapping[str, str], target: str | None = None) -> Target:
    """Set numba's variables in `environ` for `target`, or the best one of this processor, and its cache.

    Raises
    ------
    ValueError
        There is no such target.
    """
    name = target
    if name is None:
        cpuinfo = Path("/proc/cpuinfo")
        name = choose(platform.machine(), processor_flags(cpuinfo.read_text()) if cpuinfo.exists() else frozenset())
    elif name not in FEATURES:
        raise ValueError(f"got {name!r}; allowed: {', '.join(FEATURES)}")
    if name in FEATURES:
        environ["NUMBA_CPU_NAME"], environ["NUMBA_CPU_FEATURES"] = name, FEATURES[name]
    cache = cache_root(environ) / f"flow-{name}-{fingerprint()}"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        writable = os.access(cache, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        # numba refuses a folder that it cannot write to, as one of an image may be: it gets a copy.
        copy = Path(tempfile.mkdtemp(prefix="tutti-kernels-"))
        if cache.is_dir():
            shutil.copytree(cache, copy, dirs_exist_ok=True)
        cache = copy
    environ["NUMBA_CACHE_DIR"] = str(cache)
    return Target(name=name, cache=cache)
