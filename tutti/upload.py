"""`--upload PATH`: folders of code and single files travel into the bucket, once for each content, and to every node.

A folder's files keep their paths below it, a file its name; `.tuttiignore` in a folder (lines as in .gitignore: globs,
`dir/`, `!keep`) leaves some at home.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
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
    """Files by the names that they have where they run; `digest` changes with any name, content or executable bit."""

    roots: tuple[Path, ...]
    files: Mapping[str, Path]
    digest: str


def bundle(*roots: Path, where: str = "upload") -> Bundle:
    """What of some folders and files travels.

    Raises
    ------
    InputError
        One is not there, or has nothing in it; two of one name; more than code is.
    """
    files: dict[str, Path] = {}
    for root in roots:
        found = _files(root)
        if not found:
            what = "has no file to upload" if root.is_dir() else "is neither a folder nor a file that is here"
            raise InputError([Problem(where=where, what=f"{root} {what}")])
        if twice := sorted(files.keys() & found.keys()):
            what = f"{files[twice[0]]} and {found[twice[0]]} would both be {twice[0]}; rename one, or leave it out"
            raise InputError([Problem(where=where, what=what)])
        files |= found
    said = ", ".join(map(str, roots))
    remedy = f"Leave out what is no code, in a folder's {IGNORE_FILE}; data travel with: tutti data put"
    if len(files) > MOST_FILES:
        what = f"{said} has {len(files):,} files; allowed: {MOST_FILES:,}"
        raise InputError([Problem(where=where, what=what, remedy=remedy)])
    if (size := sum(f.stat().st_size for f in files.values())) > MOST_BYTES:
        largest = max(files.values(), key=lambda f: f.stat().st_size)
        what = f"{said} has {in_bytes(size)} (largest: {largest}); allowed: {in_bytes(MOST_BYTES)}"
        raise InputError([Problem(where=where, what=what, remedy=remedy)])
    ordered = {name: files[name] for name in sorted(files)}
    return Bundle(roots=roots, files=ordered, digest=_digest(ordered))


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

    def put(name: str, file: Path) -> None:
        metadata = {EXECUTABLE: "1"} if os.access(file, os.X_OK) else {}
        s3.upload_file(str(file), card.bucket, prefix + name, ExtraArgs={"Metadata": metadata})

    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        list(pool.map(put, bundle.files.keys(), bundle.files.values()))
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


def _files(root: Path) -> dict[str, Path]:
    """What of a folder travels, or a file, by name; nothing where it is neither."""
    if root.is_file():
        return {root.name: root}
    if not root.is_dir():
        return {}
    return {file.relative_to(root).as_posix(): file for file in _walk(root, root, _rules(root))}


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


def _digest(files: Mapping[str, Path]) -> str:
    whole = hashlib.sha256()
    for name, file in files.items():
        bit = "x" if os.access(file, os.X_OK) else "-"
        whole.update(f"{name}\0{bit}\0".encode())
        with file.open("rb") as data:
            whole.update(hashlib.file_digest(data, "sha256").digest())
    return whole.hexdigest()[:16]
