"""What `tutti data` does on the shared folder. This file travels to a node and is run there, with an order beside it.

So nothing of ours is imported, and nothing that Python 3.9 lacks: it must run in every image. The desk walks by it too.

An order and its answer are JSON: `input/order.json` has `do`, `path` (below the shared folder) and what that needs;
`output/answer.json` has the answer. Names are as `os.fsdecode` gives them; JSON keeps them whole, whatever is in them.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import stat
import sys
from collections.abc import Callable
from typing import IO, Any, NamedTuple

HALF = re.compile(r"\.tutti-[0-9a-f]{16}\.part")
MISSING = 3  # the exit code where the path is not there
CHUNK = 1 << 20
LEADS_NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
Answer = dict[str, Any]


class Found(NamedTuple):
    """A file: its name below the folder, with slashes ("" where that was no folder), size, time, whether a program."""

    name: str
    size: int
    modified_ns: int
    executable: bool


class Tree(NamedTuple):
    """What is below a folder. `notes`: what was left out and why; `problems`: what could not be looked at."""

    files: list[Found]
    empty: list[str]  # folders with nothing in them
    notes: list[str]
    problems: list[str]


def half_name(name: str) -> str:
    """What a file is called while it is written, beside its own name: the same each time, so none is left for good."""
    return f".tutti-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}.part"


def open_half(path: str) -> IO[bytes]:
    """The file to write into, empty, and ours alone until it is closed.

    Raises
    ------
    OSError
        It cannot be made, or another command writes it at this moment.
    """
    while True:
        data = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "rb+")
        try:
            fcntl.flock(data, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            data.close()
            raise OSError(errno.EBUSY, "another command writes it at this moment") from None
        except OSError:  # a file system without locks
            pass
        if os.path.exists(path) and os.path.samestat(os.fstat(data.fileno()), os.stat(path)):
            data.truncate(0)
            return data
        data.close()  # whoever had it has given it its name meanwhile: it is no half any more


def key_of(name: str) -> str:
    """What a file is called on its way: any name would not be a key."""
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:40]


def walk(root: str, skip: Callable[[str, bool], bool] = lambda _name, _is_folder: False) -> Tree:
    """All files below `root`, in order of name; `skip(name, is_folder)` leaves some out, folders with all in them.

    Links to files count as the files. A link to a folder is followed where it leads outside, and once.
    """
    tree = Tree([], [], [], [])
    if not os.path.isdir(root):
        tree.files.append(_found("", os.stat(root)))
        return tree
    real = os.path.realpath(root)
    seen = {_identity(os.stat(root))}
    folders = [""]
    while folders:
        below = folders.pop()
        try:
            entries = sorted(os.scandir(os.path.join(root, below)), key=lambda entry: entry.name)
        except OSError as error:
            tree.problems.append(f"{below}: {error.strerror}")
            continue
        if below and not entries:
            tree.empty.append(below)
        for entry in entries:
            name = below + entry.name
            if HALF.fullmatch(entry.name):
                continue
            try:
                facts = entry.stat()
            except OSError as error:
                if skip(name, False):
                    continue
                if entry.is_symlink() and error.errno in LEADS_NOWHERE:
                    tree.notes.append(f"{name}: a link that leads nowhere; left out")
                else:
                    tree.problems.append(f"{name}: {error.strerror}")
                continue
            is_folder = stat.S_ISDIR(facts.st_mode)
            if skip(name, is_folder):
                continue
            if stat.S_ISREG(facts.st_mode):
                tree.files.append(_found(name, facts))
            elif not is_folder:
                tree.notes.append(f"{name}: neither a file nor a folder; left out")
            elif entry.is_symlink() and f"{os.path.realpath(entry.path)}/".startswith(f"{real}/"):
                tree.notes.append(f"{name}: a link to a folder that is here under its own name; left out")
            elif _identity(facts) in seen:
                tree.notes.append(f"{name}: a folder that was met already; left out")
            else:
                seen.add(_identity(facts))
                folders.append(f"{name}/")
    tree.files.sort()
    return tree


def publish(half: str, target: str, modified_ns: int, executable: bool) -> None:
    """Give a file that is whole its time, its mode and its name, at once."""
    if executable:
        mode = os.stat(half).st_mode
        os.chmod(half, mode | (mode & 0o444) >> 2)  # a program stays one, for all who may read it
    os.utime(half, ns=(modified_ns, modified_ns))
    os.replace(half, target)


def remove_files(root: str, names: list[str]) -> list[tuple[str, str]]:
    """Remove files below `root`, and folders that this leaves empty; what could not be removed, and why.

    Behind a link to a folder nothing is removed: it is somebody else's.
    """
    failed = []
    for name in names:
        folder = os.path.dirname(name)
        if link := _link_in(root, folder):
            failed.append((name, f"stays, for it lies behind a link: {link}"))
            continue
        try:
            os.remove(os.path.join(root, name))
            while folder and not os.listdir(os.path.join(root, folder)):
                os.rmdir(os.path.join(root, folder))
                folder = os.path.dirname(folder)
        except FileNotFoundError:
            pass
        except OSError as error:
            failed.append((name, str(error.strerror)))
    return failed


def _link_in(root: str, folder: str) -> str:
    """The first link on the way from `root` to a folder below it; empty where there is none."""
    way = ""
    for part in folder.split("/"):
        way = os.path.join(way, part)
        if part and os.path.islink(os.path.join(root, way)):
            return way
    return ""


def _found(name: str, facts: os.stat_result) -> Found:
    return Found(name, facts.st_size, facts.st_mtime_ns, bool(facts.st_mode & 0o100))


def _identity(facts: os.stat_result) -> tuple[int, int]:
    return facts.st_dev, facts.st_ino


# ---------------------------------------------------------------- orders


def _ls(path: str, _order: Answer) -> Answer:
    if not os.path.isdir(path):
        facts = os.stat(path)
        return {"entries": [[os.path.basename(path), facts.st_size, facts.st_mtime]]}
    entries = []
    for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
        facts = entry.stat(follow_symlinks=os.path.exists(entry.path))
        folder = stat.S_ISDIR(facts.st_mode)
        entries.append([entry.name + "/" * folder, None if folder else facts.st_size, facts.st_mtime])
    return {"entries": entries}


def _walk(path: str, order: Answer) -> Answer:
    """The tree; `sums` (name: size) asks for the MD5 of files that have this size."""
    tree = walk(path)
    wanted = order.get("sums", {})
    sums = {}
    for file in tree.files:
        if wanted.get(file.name) == file.size:
            try:
                sums[file.name] = _md5(os.path.join(path, file.name))
            except OSError as error:
                tree.problems.append(f"{file.name}: {error.strerror}")
    return {**tree._asdict(), "sums": sums}


def _get(path: str, order: Answer) -> Answer:
    """Links in output/files to the files of `names`, or to all: staging takes what they lead to, once."""
    names = order.get("names")
    tree = walk(path) if names is None else Tree(*_facts(path, names))
    os.makedirs("output/files", exist_ok=True)
    for file in tree.files:
        os.symlink(os.path.abspath(os.path.join(path, file.name) if file.name else path), _on_its_way(file.name))
    return {**tree._asdict(), "is_folder": os.path.isdir(path)}


def _facts(path: str, names: list[str]) -> tuple[list[Found], list[str], list[str], list[str]]:
    files, problems = [], []
    for name in names:
        try:
            files.append(_found(name, os.stat(os.path.join(path, name))))
        except OSError as error:
            problems.append(f"{name}: {error.strerror}")
    return files, [], [], problems


def _on_its_way(name: str) -> str:
    return os.path.join("output", "files", key_of(name))


def _put(path: str, order: Answer) -> Answer:
    failed = remove_files(path, order["remove"])
    for name, key, modified_ns, executable in order["files"]:
        target = os.path.join(path, name) if name else path
        if os.path.isdir(target) and order.get("own_name"):  # as cp does
            target = os.path.join(target, order["own_name"])
        half = os.path.join(os.path.dirname(target), half_name(name))
        try:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(os.path.join("input", "files", key), "rb") as source, open_half(half) as data:
                try:
                    shutil.copyfileobj(source, data, CHUNK)
                    data.flush()
                    os.fsync(data.fileno())
                    publish(half, target, modified_ns, executable)
                except OSError:
                    os.remove(half)
                    raise
        except OSError as error:
            failed.append((name, str(error.strerror)))
    return {"failed": failed}


def _rm(path: str, order: Answer) -> Answer:
    path = path.rstrip("/")  # with a slash behind it, a link would be the folder that it leads to
    if not os.path.isdir(path) or os.path.islink(path):
        os.remove(path)
        return {"removed": 1}
    count = len(walk(path).files)
    if not order["recursive"]:
        return {"folder_of": count}
    shutil.rmtree(path)
    return {"removed": count}


def _md5(path: str) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as data:
        for chunk in iter(lambda: data.read(CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()


ORDERS: dict[str, Callable[[str, Answer], Answer]] = {"ls": _ls, "walk": _walk, "get": _get, "put": _put, "rm": _rm}
MAKES_IT = ("put",)


def main() -> int:
    """Do the order; MISSING where its path is not there."""
    with open(os.path.join("input", "order.json"), encoding="ascii") as file:
        order = json.load(file)
    path = os.path.join(os.environ["TUTTI_SHARED"], order["path"])
    missing = not os.path.lexists(path) and order["do"] not in MAKES_IT
    answer = {"missing": True} if missing else ORDERS[order["do"]](path, order)
    with open(os.path.join("output", "answer.json"), "w", encoding="ascii") as file:
        json.dump(answer, file)
    return MISSING if missing else 0


if __name__ == "__main__":
    sys.exit(main())
