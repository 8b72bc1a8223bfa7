"""Checkpoints in a folder: a local disk, EFS, Lustre. Everything that counts is on the disk before it is believed."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from workload.manifest import checksum, is_folder_name
from workload.vault.store import Entry, LostError, StoreError

# Small enough for a core's second-level cache: a slice is summed and written, or read and summed, while it is hot, so
# that the checksum costs no second trip to memory. Measured: docs/adr on the choice of storage.
SLICE: Final = 512 << 10
MOST_OPEN = 100  # files of one save, of the 1,024 that a process may often have open
FOLDER_MODE = 0o777  # less the umask: a shared folder is for a group


class FolderStore:
    """A `Store` in the folder at `target`."""

    def __init__(self, target: str) -> None:
        self._root = Path(target).absolute()

    @property
    def target(self) -> str:
        return str(self._root)

    @property
    def writers(self) -> int:
        return 1  # the disk is kept busy by the kernel; measured: two writers gain nothing

    @property
    def readers(self) -> int:
        return 2  # one sums while the other waits for the disk

    @contextmanager
    def writing(self, folder: str) -> Iterator[Callable[[str, memoryview], str]]:
        # All are written before the first is waited for: each fsync of a new file waits for the journal, and the first
        # one takes the others' entries along. The descriptors stay open, because only they are told of a failed write.
        written: deque[tuple[Path, int]] = deque()

        def write(name: str, data: memoryview) -> str:
            path = self._root / folder / name
            with _explained(f"write {path}"):
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
                written.append((path, descriptor))
                crc = _write(descriptor, data)
                # Starts the writing to the disk, and waits for nothing.
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            if len(written) > MOST_OPEN:
                finish()
            return crc

        def finish() -> None:
            path, descriptor = written.popleft()
            try:
                with _explained(f"write {path}"):
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)

        try:
            yield write
            while written:
                finish()
            with _explained(f"write {self._root / folder}"):
                _sync(self._root / folder)
        finally:
            while written:
                os.close(written.popleft()[1])

    def read_piece(self, key: str, into: memoryview) -> str:
        path = self._root / key
        with _explained(f"read {path}"):
            try:
                descriptor = os.open(path, os.O_RDONLY)
            except FileNotFoundError as error:
                raise LostError(f"{path} is not there") from error
            try:
                size = os.fstat(descriptor).st_size
                if size != into.nbytes:
                    raise LostError(f"{path} has {size} bytes, it should have {into.nbytes}")
                return _read(descriptor, into, path)
            finally:
                os.close(descriptor)

    def make_folder(self, folder: str) -> None:
        with _explained(f"make the folder {self._root / folder}"):
            missing = [path for path in (self._root / folder, *(self._root / folder).parents) if not path.exists()]
            (self._root / folder).mkdir(FOLDER_MODE, parents=True, exist_ok=True)
            for path in missing:
                _sync(path.parent)

    def put(self, key: str, data: bytes) -> None:
        path = self._root / key
        with _explained(f"write {path}"), self._temporary(path, data) as temporary:
            temporary.replace(path)
            _sync(path.parent)

    def put_new(self, key: str, data: bytes) -> bool:
        path = self._root / key
        path.parent.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
        # Linked, not created with O_EXCL: it appears with all its bytes, so that nobody reads a half of it, and of
        # several who link to one name exactly one succeeds, on NFS too.
        with _explained(f"create {path}"), self._temporary(path, data) as temporary:
            try:
                path.hardlink_to(temporary)
            except FileExistsError:
                return False
            _sync(path.parent)
            return True

    def take_over(self, key: str, seen: Entry, data: bytes) -> bool:
        path = self._root / key
        aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        with _explained(f"take over {path}"):
            try:
                path.rename(
                    aside
                )  # of several who try, one moves what was seen; the others find nothing or something new
            except FileNotFoundError:
                return False
            try:
                if _tag(aside.read_bytes()) != seen.tag:
                    with suppress(FileExistsError):
                        path.hardlink_to(aside)
                    return False
            finally:
                aside.unlink()
        return self.put_new(key, data)

    def touch(self, key: str, seen: Entry) -> bool:
        with _explained(f"touch {self._root / key}"):
            try:
                descriptor = os.open(self._root / key, os.O_RDWR)
            except FileNotFoundError:
                return False
            try:
                # The descriptor is the very file that was compared: no successor's lock is touched by mistake.
                if _tag(os.pread(descriptor, len(seen.data) + 1, 0)) != seen.tag:
                    return False
                os.utime(descriptor)
                return True
            finally:
                os.close(descriptor)

    def get(self, key: str) -> Entry | None:
        path = self._root / key
        with _explained(f"read {path}"):
            try:
                with path.open("rb") as file:
                    age = max(0.0, time.time() - os.fstat(file.fileno()).st_mtime)
                    data = file.read()
                    return Entry(data=data, age=age, tag=_tag(data))
            except FileNotFoundError:
                return None

    def list(self) -> Mapping[str, int]:
        found: dict[str, int] = {}
        with _explained(f"list {self._root}"):
            for entry in _entries(self._root):
                if entry.is_file(follow_symlinks=False):
                    found[entry.name] = entry.stat(follow_symlinks=False).st_size
                elif is_folder_name(entry.name) and entry.is_dir(follow_symlinks=False):
                    for piece in _entries(Path(entry.path)):
                        with suppress(FileNotFoundError):  # somebody prunes meanwhile
                            found[f"{entry.name}/{piece.name}"] = piece.stat(follow_symlinks=False).st_size
        return found

    def delete(self, keys: Sequence[str]) -> None:
        with _explained(f"delete in {self._root}"):
            for key in keys:
                (self._root / key).unlink(missing_ok=True)
            for folder in {(self._root / key).parent for key in keys} - {self._root}:
                try:
                    folder.rmdir()
                except OSError as error:
                    if error.errno not in {errno.ENOTEMPTY, errno.ENOENT}:
                        raise

    @contextmanager
    def _temporary(self, path: Path, data: bytes) -> Iterator[Path]:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            try:
                _write(descriptor, memoryview(data))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"cannot {what}: {os.strerror(error.errno or 0)}") from error


def _write(descriptor: int, data: memoryview) -> str:
    crc = checksum(b"")
    for start in range(0, data.nbytes, SLICE):
        part = data[start : start + SLICE]
        crc = checksum(part, crc)
        while part.nbytes:
            part = part[os.write(descriptor, part) :]
    return crc


def _read(descriptor: int, into: memoryview, path: Path) -> str:
    crc = checksum(b"")
    for start in range(0, into.nbytes, SLICE):
        part = rest = into[start : start + SLICE]
        while rest.nbytes:
            count = os.readv(descriptor, [rest])
            if not count:
                raise LostError(f"{path} ends {rest.nbytes} bytes too early")
            rest = rest[count:]
        crc = checksum(part, crc)
    return crc


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _tag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []
