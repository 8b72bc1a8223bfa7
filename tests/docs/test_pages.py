"""Pages that a newcomer follows word by word really run, from the first line to the last, on a twin of their own.

Of a ```console block, lines that start with `$ ` are run by bash, all blocks of a page in one shell; a here-document goes
on until its end. A line may say `# exit 1` where it shows a failure. Other fences are shown, not run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("tutorial.md", "run-a-job.md", "data.md", "watch.md", "when-it-fails.md", "sweeps.md", "money.md")
EXIT = re.compile(r"\s+# exit (\d+)$")


def commands(page: Path) -> Iterator[tuple[str, int]]:
    """Each command of a page's console blocks, and the exit code that it is to end with."""
    for block in re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL):
        lines = iter(block.splitlines())
        for line in lines:
            if not line.startswith("$ "):
                continue
            command = line[2:]
            ending = re.search(r"<<'?(\w+)'?", command)
            while command.endswith("\\") or ending:
                following = next(lines)
                command += f"\n{following}"
                if ending and following == ending[1]:
                    break
                if not ending and not following.endswith("\\"):
                    break
            wanted = EXIT.search(command)
            yield EXIT.sub("", command), int(wanted[1]) if wanted else 0


def script_of(page: Path) -> str:
    """One shell script: each command, and a check of its code that names it."""
    parts = ["set -u"]
    for command, wanted in commands(page):
        parts.append(command)
        shown = command.replace("'", "").splitlines()[0]
        parts.append(
            f"code=$?; if [ $code != {wanted} ]; then echo '{shown}' ended with $code, not {wanted} >&2; exit 1; fi"
        )
    return "\n".join(parts)


@pytest.mark.parametrize("page", PAGES)
def test_the_page_runs(page: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "TUTTI_"))}
    binaries = Path(sys.executable).parent
    environ = {**kept, "HOME": str(home), "PATH": f"{binaries}:{kept['PATH']}", "COLUMNS": "80"}
    path = ROOT / "docs" / page
    assert list(commands(path))
    script = f"tutti twin up >/dev/null\n{script_of(path)}" if page != "tutorial.md" else script_of(path)
    try:
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=150, check=False
        )
        assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    finally:
        subprocess.run(
            [str(binaries / "tutti"), "twin", "down"], env=environ, capture_output=True, timeout=60, check=False
        )
