"""Where compiled code is kept, and for which processor it is made."""

import shutil
from pathlib import Path

import pytest

from workload.kernels.flow import startup

ZEN4 = "processor : 0\nflags\t\t: fpu avx avx2 fma bmi1 bmi2 f16c movbe avx512f avx512bw avx512cd avx512dq avx512vl\n"
HASWELL = "flags : avx avx2 fma bmi1 bmi2 f16c movbe\n"
GRAVITON3 = "Features\t: fp asimd sve bf16 i8mm\n"


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "target"),
    [
        ("x86_64", ZEN4, "x86-64-v4"),
        ("x86_64", HASWELL, "x86-64-v3"),
        ("x86_64", "flags : sse2\n", "host"),
        ("aarch64", GRAVITON3, "neoverse-v1"),
        ("aarch64", "Features : fp asimd\n", "host"),
        ("aarch64", "", "host"),
    ],
)
def test_the_best_target_of_a_processor_is_chosen(machine: str, cpuinfo: str, target: str) -> None:
    assert startup.choose(machine, startup.processor_flags(cpuinfo)) == target


def test_code_of_each_target_has_a_folder_of_its_own(tmp_path: Path) -> None:
    caches = set()
    for name in startup.FEATURES:
        environ = {startup.CACHE_VARIABLE: str(tmp_path)}
        target = startup.prepare(environ, name)
        assert environ["NUMBA_CPU_NAME"] == name
        assert environ["NUMBA_CPU_FEATURES"] == startup.FEATURES[name]
        assert environ["NUMBA_CACHE_DIR"] == str(target.cache)
        caches.add(target.cache)
    assert len(caches) == len(startup.FEATURES)


def test_the_folder_is_under_the_users_cache_unless_said_otherwise() -> None:
    assert startup.cache_root({"HOME": "/home/x"}) == Path("/home/x/.cache/tutti/kernels")
    assert startup.cache_root({"HOME": "/home/x", "XDG_CACHE_HOME": "/c"}) == Path("/c/tutti/kernels")
    assert startup.cache_root({startup.CACHE_VARIABLE: "/opt/k", "HOME": "/home/x"}) == Path("/opt/k")


def test_where_nothing_can_be_written_a_temporary_folder_serves(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    target = startup.prepare({startup.CACHE_VARIABLE: str(tmp_path / "file")})
    assert target.cache.is_dir()
    assert tmp_path not in target.cache.parents
    target.cache.rmdir()


def test_compiled_code_that_cannot_be_written_to_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = startup.prepare({startup.CACHE_VARIABLE: str(tmp_path)}).cache
    (kept / "code.nbc").write_bytes(b"code")
    startup.Target(name="any", cache=kept).keep("float32")
    monkeypatch.setattr("os.access", lambda *_: False)
    target = startup.prepare({startup.CACHE_VARIABLE: str(tmp_path)})
    copy = target.cache
    assert (target.has("float32"), target.has("float64")) == (True, False)
    assert copy != kept
    assert (copy / "code.nbc").read_bytes() == b"code"
    shutil.rmtree(copy)


def test_no_such_target_is_refused() -> None:
    with pytest.raises(ValueError, match="got 'pentium'; allowed: x86-64-v4, x86-64-v3, neoverse-v1"):
        startup.prepare({}, "pentium")
