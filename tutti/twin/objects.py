"""Objects that survive the twin: a copy of each in a folder, put back into moto's S3 when it starts again.

Kept are buckets and the latest version of each object, with its metadata; not bucket settings, tags and old versions.
Above 1 GiB an object is kept by name only, and is missing after a restart.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote
from xml.etree import ElementTree as ET

from tutti.twin.front import Call

LARGEST: Final = 1 << 30
_CHUNK: Final = 16 << 20


class ObjectMirror:
    """Called after each request to S3, and once at the start."""

    def __init__(self, folder: Path, account: str) -> None:
        self._folder = folder
        self._account = account
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def restore(self) -> list[str]:
        """Put back what is kept; returns the names of objects of which only the name is."""
        backend = self._backend()
        missing = []
        for bucket_folder in sorted(self._folder.iterdir()):
            bucket = unquote(bucket_folder.name)
            if bucket not in backend.buckets:
                backend.create_bucket(bucket, "us-east-1")
            for meta in sorted(bucket_folder.glob("*.json")):
                about = json.loads(meta.read_text(encoding="utf-8"))
                data = meta.with_suffix(".data")
                if not data.exists():
                    missing.append(f"s3://{bucket}/{about['key']}")
                    continue
                key = backend.put_object(
                    bucket, about["key"], data.read_bytes(), etag=about["etag"], disable_notification=True
                )
                key.set_metadata(about["metadata"], replace=True)
        return missing

    def note(self, call: Call) -> None:
        """Follow a request that changed something."""
        if call.method not in {"PUT", "POST", "DELETE"} or "partNumber" in call.query:
            return
        bucket, _, key = call.path.lstrip("/").partition("/")
        with self._lock:
            if not key:
                self._note_bucket(bucket, call)
            elif call.method != "POST" or "uploadId" in call.query:
                self._copy(bucket, key)

    def _note_bucket(self, bucket: str, call: Call) -> None:
        place = self._folder / quote(bucket, safe="")
        if call.method == "PUT" and not call.query:
            place.mkdir(exist_ok=True)
        elif call.method == "DELETE" and not call.query:
            shutil.rmtree(place, ignore_errors=True)
        elif call.method == "POST" and "delete" in call.query:
            for key in _deleted_keys(call.body):
                self._copy(bucket, key)

    def _copy(self, bucket: str, key: str) -> None:
        """Make the kept copy like moto's object, also where there is none any more."""
        place = self._folder / quote(bucket, safe="")
        # Keys may be longer than a file's name.
        stem = place / hashlib.sha256(key.encode()).hexdigest()
        data, meta = stem.with_suffix(".data"), stem.with_suffix(".json")
        backend = self._backend()
        found = backend.buckets[bucket].keys.get(key) if bucket in backend.buckets else None
        if found is None or not hasattr(found, "_value_buffer"):  # none, or a delete marker
            for path in (data, meta):
                path.unlink(missing_ok=True)
            return
        place.mkdir(exist_ok=True)
        about = {"key": key, "etag": found.etag.strip('"'), "metadata": dict(found.metadata), "size": found.size}
        if found.size <= LARGEST:
            new = data.with_suffix(".new")
            with new.open("wb") as file:
                file.writelines(_blocks(found))
            new.replace(data)
        else:
            data.unlink(missing_ok=True)
        new = meta.with_suffix(".newmeta")
        new.write_text(json.dumps(about), encoding="utf-8")
        os.replace(new, meta)  # noqa: PTH105  Path.replace would hide that this is the commit

    def _backend(self) -> Any:
        from moto.s3.models import s3_backends  # noqa: PLC0415  moto is loaded late on purpose

        return s3_backends[self._account]["aws"]


def _blocks(key: Any) -> Iterator[bytes]:
    """An object's bytes, under moto's own lock on its buffer."""
    offset = 0
    while True:
        with key.lock:
            key._value_buffer.seek(offset)  # noqa: SLF001  its `value` would hold all of it in memory
            block = key._value_buffer.read(_CHUNK)  # noqa: SLF001
        if not block:
            return
        offset += len(block)
        yield block


def _deleted_keys(body: bytes) -> list[str]:
    """The keys that a DeleteObjects names."""
    with contextlib.suppress(ET.ParseError):
        root = ET.fromstring(body)  # noqa: S314  signed by the twin's own keys
        return [e.text or "" for e in root.iter() if e.tag.rpartition("}")[2] == "Key"]
    return []
