"""The Python of docs/python.md runs as it stands, on a twin."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "python.md"


def test_the_page_s_programs_run_one_after_the_other(tmp_path: Path) -> None:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "TUTTI_"))}
    environ = {**kept, "TUTTI_HOME": str(tmp_path / "home")}
    tutti = [sys.executable, "-m", "tutti", "twin"]
    subprocess.run([*tutti, "up", "--isolation", "process"], env=environ, check=True, capture_output=True, timeout=60)
    try:
        told = [
            subprocess.run(
                [sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True, timeout=60
            ).stdout
            for program in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
        ]
    finally:
        subprocess.run([*tutti, "down"], env=environ, check=True, capture_output=True, timeout=60)
    first, second = told
    assert first.splitlines()[0] == "SUCCEEDED 0"
    assert set(first.splitlines()[1:]) == {"0 0 hello from rank 0", "1 1 hello from rank 1"}
    assert "no job 'no-such-job'" in second
