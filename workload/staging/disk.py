"""Files on this machine: what is below a folder, whether there is room, writes that are whole."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from workload.staging.places import for_people


@dataclass(frozen=True, kw_only=True)
class FoundFile:
    """A regular file: its name below the folder that was searched, with slashes, and where it is."""

    name: str
    path: Path
    size: int
    modified_ns: int


@dataclass(kw_only=True)
class Tree:
    """What is below a folder. `notes`: what was left out and need not be missed; `problems`: what would be missed."""

    files: list[FoundFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def search(folder: Path, *, most: int | None = None) -> Tree:
    """All regular files below `folder`, or the first that it meets where there are more than `most`.

    Links to files count as the files. A link to a folder is followed where it leads outside, and once; within `folder`
    the content has its own name already. Sockets, pipes and devices have no content: noted.
    """
    tree = Tree()
    root = folder.resolve()
    seen = {_identity(root)}
    for name, path in _walk(tree, folder, "", root, seen):
        if most is not None and len(tree.files) == most:
            break
        try:
            facts = path.stat()
            if not stat.S_ISREG(facts.st_mode):
                tree.notes.append(f"{path}: neither a file nor a folder; left out")
            elif not os.access(path, os.R_OK):
                tree.problems.append(f"{path}: may not be read by user {os.geteuid()}")
            else:
                tree.files.append(FoundFile(name=name, path=path, size=facts.st_size, modified_ns=facts.st_mtime_ns))
        except OSError as error:
            tree.problems.append(f"{path}: {error.strerror}")
    return tree


def _identity(path: Path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_dev, facts.st_ino


def _walk(tree: Tree, folder: Path, below: str, root: Path, seen: set[tuple[int, int]]) -> Iterator[tuple[str, Path]]:
    """Every entry that is no folder, as (name, path); folders are entered."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        tree.problems.append(f"{folder}: {error.strerror}")
        return
    for entry in entries:
        name, path = f"{below}{entry.name}", Path(entry.path)
        if not entry.is_dir():
            yield name, path
            continue
        if entry.is_symlink() and path.resolve().is_relative_to(root):
            tree.notes.append(f"{path}: a link to {path.resolve()}, which is here under its own name; left out")
        elif (who := _identity(path)) in seen:
            tree.notes.append(f"{path}: a folder that was met already; left out")
        else:
            seen.add(who)
            yield from _walk(tree, path, f"{name}/", root, seen)


def _disk_of(folder: Path) -> tuple[Path, os.statvfs_result]:
    """The disk that holds `folder`, which need not exist yet, and the part of its path that does."""
    while not folder.exists():
        folder = folder.parent
    return folder, os.statvfs(folder)


def free_bytes(folder: Path) -> int:
    """How much a user may still write to the disk that holds `folder`."""
    _, disk = _disk_of(folder)
    return disk.f_bavail * disk.f_frsize


def shortage(folder: Path, need: int, files: int, spare: int) -> str | None:
    """What is missing on the disk that holds `folder` (which need not exist yet) for `need` bytes in `files` files."""
    folder, disk = _disk_of(folder)
    free = disk.f_bavail * disk.f_frsize
    if need + spare > free:
        return (
            f"{folder}: {for_people(need)} are needed and {for_people(spare)} must stay free, but "
            f"{for_people(free)} are free: ask for a bigger disk (stack config disk_gib), or stage once for the gang "
            "(--input-to shared)"
        )
    # Some file systems (NFS, btrfs) count no inodes: they report 0 in all.
    if disk.f_files and files > disk.f_favail:
        return f"{folder}: {files} files are needed, but the disk has room for {disk.f_favail} more (inodes)"
    return None


def write_all(descriptor: int, data: bytes, offset: int) -> None:
    """Write all of `data` at `offset`: one call may write less where the disk is nearly full."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view = view[written:]
        offset += written
