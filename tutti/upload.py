"""`--upload DIR`: a folder of code travels into the bucket, once for each content, and from there to every node.

Files keep their paths below DIR; `.tuttiignore` (lines as in .gitignore: globs, `dir/`, `!keep`) leaves some at home.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tutti.aws import told
from tutti.core.events import size as in_bytes
from tutti.errors import InputError, Problem

if TYPE_CHECKING:
    from tutti.cluster import Cluster
    from workload.contract import Card

IGNORE_FILE: Final = ".tuttiignore"
ALWAYS: Final = (
    ".git/",
    "__pycache__/",
    ".venv/",
    ".mypy_cache/",
    ".ruff_cache/",
    ".pytest_cache/",
    "*.pyc",
    IGNORE_FILE,
)
MOST_FILES: Final = 5_000
MOST_BYTES: Final = 1 << 30
EXECUTABLE: Final = "tutti-executable"  # user metadata; workload.staging.download gives the bit back
THREADS: Final = 16
MARK: Final = ".complete"


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """The files of a folder, and what they are together: `digest` changes with any path, content or executable bit."""

    root: Path
    files: tuple[Path, ...]
    digest: str

    @property
    def size(self) -> int:
        return sum(f.stat().st_size for f in self.files)


def bundle(root: Path, where: str = "upload") -> Bundle:
    """What of a folder travels.

    Raises
    ------
    InputError
        No such folder, nothing in it, or more than code is.
    """
    if not root.is_dir():
        raise InputError([Problem(where=where, what=f"{root} is no folder")])
    rules = _rules(root)
    files = sorted(_walk(root, root, rules))
    remedy = f"Leave out what is no code, in {root / IGNORE_FILE}; data travel with: tutti data put"
    if not files:
        raise InputError([Problem(where=where, what=f"{root} has no file to upload")])
    if len(files) > MOST_FILES:
        what = f"{root} has {len(files):,} files; allowed: {MOST_FILES:,}"
        raise InputError([Problem(where=where, what=what, remedy=remedy)])
    if (size := sum(f.stat().st_size for f in files)) > MOST_BYTES:
        largest = max(files, key=lambda f: f.stat().st_size)
        what = f"{root} has {in_bytes(size)} (largest: {largest}); allowed: {in_bytes(MOST_BYTES)}"
        raise InputError([Problem(where=where, what=what, remedy=remedy)])
    return Bundle(root=root, files=tuple(files), digest=_digest(root, files))


def place(bundle: Bundle, card: Card) -> str:
    """Where the files of a bundle lie: the prefix to stage in, which ends in a slash."""
    return f"s3://{card.bucket}/{_prefix(bundle, card)}"


@told
def send(bundle: Bundle, cluster: Cluster) -> str:
    """Put the files into the bucket unless they are there; their `place`."""
    card, s3 = cluster.card, cluster.s3
    prefix, uri = _prefix(bundle, card), place(bundle, card)
    mark = f"{prefix.rstrip('/')}{MARK}"
    if s3.list_objects_v2(Bucket=card.bucket, Prefix=mark, MaxKeys=1).get("KeyCount"):
        return uri

    def put(file: Path) -> None:
        metadata = {EXECUTABLE: "1"} if os.access(file, os.X_OK) else {}
        key = prefix + file.relative_to(bundle.root).as_posix()
        s3.upload_file(str(file), card.bucket, key, ExtraArgs={"Metadata": metadata})

    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        list(pool.map(put, bundle.files))
    s3.put_object(Bucket=card.bucket, Key=mark, Body=b"")  # last: whoever sees it may rely on the files
    return uri


def _prefix(bundle: Bundle, card: Card) -> str:
    return f"{card.prefix}code/{bundle.digest}/"


def ignored(path: str, is_folder: bool, rules: Sequence[str]) -> bool:
    """Whether the rules leave a path (relative, with /) at home; the last rule that fits decides."""
    out = False
    for rule in rules:
        keep = rule.startswith("!")
        pattern = rule.removeprefix("!")
        if pattern.endswith("/") and not is_folder:
            continue
        pattern = pattern.rstrip("/")
        anchored = "/" in pattern
        target = path if anchored else path.rpartition("/")[2]
        if fnmatch.fnmatchcase(target, pattern.lstrip("/")):
            out = not keep
    return out


def _rules(root: Path) -> tuple[str, ...]:
    file = root / IGNORE_FILE
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return (*ALWAYS, *(line.strip() for line in lines if line.strip() and not line.startswith("#")))


def _walk(root: Path, folder: Path, rules: Sequence[str]) -> Iterator[Path]:
    for entry in os.scandir(folder):
        path = Path(entry.path)
        relative = path.relative_to(root).as_posix()
        if ignored(relative, entry.is_dir(), rules):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(root, path, rules)
        elif entry.is_file():
            yield path


def _digest(root: Path, files: Sequence[Path]) -> str:
    whole = hashlib.sha256()
    for file in files:
        bit = "x" if os.access(file, os.X_OK) else "-"
        whole.update(f"{file.relative_to(root).as_posix()}\0{bit}\0".encode())
        with file.open("rb") as data:
            whole.update(hashlib.file_digest(data, "sha256").digest())
    return whole.hexdigest()[:16]
