"""Files in a bucket: what is there, one file to an object, one object to a file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from tutti.data.crew import ChangedError, Moved
from tutti.data.differences import LONGEST_KEY, SECOND, Item
from tutti.data.onnode import half_name, open_half, publish
from tutti.data.place import Entry, Place, Tell
from tutti.errors import ServiceError
from tutti.upload import EXECUTABLE

if TYPE_CHECKING:
    from tutti.cluster import Cluster

DELETE_AT_ONCE: Final = 1000  # DeleteObjects' limit
AT_ONCE: Final = 8 << 20  # put and got in one call; also what boto3 cuts into parts above
_READ: Final = 1 << 18


@dataclass(frozen=True, kw_only=True)
class Object:
    bucket: str
    key: str


def one_level(cluster: Cluster, place: Place) -> list[Entry]:
    """What is in a folder, or the one file of this name."""
    found = _level(cluster, place.bucket, place.prefix)
    if not found and place.prefix != place.key:
        found = [e for e in _level(cluster, place.bucket, place.key) if e.size is not None and e.name == _last(place)]
    return found


def _last(place: Place) -> str:
    return place.key.rpartition("/")[2]


def _level(cluster: Cluster, bucket: str, prefix: str) -> list[Entry]:
    pages = cluster.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
    found = []
    for page in pages:
        found += [Entry(name=p["Prefix"].removeprefix(prefix), size=None) for p in page.get("CommonPrefixes", [])]
        found += [
            Entry(name=o["Key"].rpartition("/")[2], size=o["Size"], modified=o["LastModified"].timestamp())
            for o in page.get("Contents", [])
            if o["Key"] != prefix or not prefix.endswith("/")
        ]
    return found


def objects(cluster: Cluster, bucket: str, prefix: str) -> Iterator[Any]:
    """All objects whose keys begin so, as S3 lists them."""
    for page in cluster.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from page.get("Contents", [])


def item_of(listed: Any, prefix: str) -> Item:
    """A listed object as a file below a prefix."""
    return Item(
        name=listed["Key"].removeprefix(prefix),
        size=listed["Size"],
        modified_ns=int(listed["LastModified"].timestamp()) * SECOND,
        mark=listed["ETag"].strip('"'),
    )


def items(cluster: Cluster, place: Place) -> list[Item]:
    """The files of a folder; the empty objects that consoles make for folders are none."""
    found = (item_of(o, place.prefix) for o in objects(cluster, place.bucket, place.prefix))
    return [item for item in found if item.name and not (item.name.endswith("/") and not item.size)]


class _Watched:
    """A file that is read for S3: a change in mid-reading is an error before the last byte is given, so that no object
    is made of two halves.
    """

    def __init__(self, data: IO[bytes], file: Path) -> None:
        self._data, self._file = data, file
        self._before = os.fstat(data.fileno())

    def read(self, count: int = -1) -> bytes:
        chunk = self._data.read(count)
        if self._data.tell() >= self._before.st_size:
            self.check()
        return chunk

    def check(self) -> None:
        now, before = os.fstat(self._data.fileno()), self._before
        if (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise ChangedError(f"{self._file} changed while it was read: not sent. Sync again when it is complete")

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._data.seek(offset, whence)

    def tell(self) -> int:
        return self._data.tell()

    def seekable(self) -> bool:
        return True


def send(cluster: Cluster, file: Path, target: Object, moved: Moved) -> None:
    """A file to an object, whole or not at all.

    Raises
    ------
    OSError
        It cannot be read, or S3 takes no such key.
    ChangedError
        It changed while it was read.
    """
    if len(target.key.encode()) > LONGEST_KEY:
        raise OSError(f"its key has {len(target.key.encode())} bytes; S3 allows {LONGEST_KEY}")
    with file.open("rb") as data:
        facts, watched = os.fstat(data.fileno()), _Watched(data, file)
        metadata = {EXECUTABLE: "1"} if facts.st_mode & 0o100 else {}
        if facts.st_size > AT_ONCE:
            cluster.s3.upload_fileobj(
                watched,  # type: ignore[arg-type]  # of a file, boto3 uses what it has
                target.bucket,
                target.key,
                ExtraArgs={"Metadata": metadata},
                Callback=moved,
            )
            return
        body = data.read()
        watched.check()
    cluster.s3.put_object(Bucket=target.bucket, Key=target.key, Body=body, Metadata=metadata)
    moved(len(body))


def fetch(
    cluster: Cluster, source: Object, item: Item, file: Path, moved: Moved, *, program: bool | None = None
) -> None:
    """An object to a file, which gets its name once it is whole, and the item's time.

    `program`: whether it may be executed; where that is not known, the object says.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    half = file.parent / half_name(file.name)
    with open_half(str(half)) as data:
        try:
            said = _read(cluster, source, item, data, moved)
            data.flush()
            publish(str(half), str(file), item.modified_ns, said if program is None else program)
        except BaseException:
            half.unlink(missing_ok=True)
            raise


def _read(cluster: Cluster, source: Object, item: Item, data: IO[bytes], moved: Moved) -> bool:
    """Write an object's content; whether it is a program."""
    where: dict[str, Any] = {"Bucket": source.bucket, "Key": source.key}
    only: dict[str, Any] = {"IfMatch": f'"{item.mark}"'} if item.mark else {}
    if item.size > AT_ONCE:
        head = cluster.s3.head_object(**where, **only)
        cluster.s3.download_fileobj(**where, Fileobj=data, Callback=moved)
        if cluster.s3.head_object(**where)["ETag"] != head["ETag"]:
            raise ChangedError("it changed while it was read: not fetched. Sync again when it is complete")
        return head["Metadata"].get(EXECUTABLE) == "1"
    answer = cluster.s3.get_object(**where, **only)
    for chunk in answer["Body"].iter_chunks(_READ):
        data.write(chunk)
        moved(len(chunk))
    return answer["Metadata"].get(EXECUTABLE) == "1"


def delete(cluster: Cluster, bucket: str, keys: Sequence[str], tell: Tell) -> None:
    """Remove objects."""
    # what XML cannot say is removed one by one
    plain = [key for key in keys if key.isprintable()]
    for start in range(0, len(plain), DELETE_AT_ONCE):
        some = plain[start : start + DELETE_AT_ONCE]
        answer = cluster.s3.delete_objects(
            Bucket=bucket, Delete={"Objects": [{"Key": key} for key in some], "Quiet": True}
        )
        if errors := answer.get("Errors"):
            raise ServiceError(f"s3://{bucket}/{errors[0].get('Key')} stays: {errors[0].get('Message')}")
    for key in keys:
        if not key.isprintable():
            cluster.s3.delete_object(Bucket=bucket, Key=key)
        tell(f"s3://{bucket}/{key} is gone")
