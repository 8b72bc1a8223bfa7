"""The sonames of a program are read from the file alone."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from workload import elf


def test_the_c_library_is_found_in_a_real_program() -> None:
    assert "libc.so.6" in elf.needed(Path(shutil.which("sh") or "/bin/sh").resolve())


def test_a_script_a_folder_and_a_missing_file_need_nothing(tmp_path: Path) -> None:
    script = tmp_path / "x.sh"
    script.write_text("#!/bin/sh\n", encoding="ascii")
    assert [elf.needed(p) for p in (script, tmp_path, tmp_path / "none")] == [(), (), ()]


def test_it_says_what_the_loader_says(tmp_path: Path) -> None:
    program = Path("/bin/ls").resolve()
    told = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    assert set(elf.needed(program)) <= {line.split()[0] for line in told.splitlines() if line.strip()}


@given(cut=st.integers(0, 4096), flip=st.integers(64, 4000))
def test_damage_is_no_error(cut: int, flip: int) -> None:
    data = bytearray(Path("/bin/ls").resolve().read_bytes()[: 4096 + cut])
    data[flip] ^= 0xFF
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        assert isinstance(elf.needed(Path(file.name)), tuple)
