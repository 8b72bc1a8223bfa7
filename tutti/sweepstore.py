"""A sweep's place in the bucket, so that another machine can go on with it, and never two at once.

sweep.json    what was asked; written once
journal.json  when points were last being submitted: jobs sent just before a client died show a little later
state.json    what became of the points: AWS forgets jobs, a sweep does not
lock.json     who drives it, renewed while it does
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tutti.errors import NotFoundError, TuttiError

if TYPE_CHECKING:
    from tutti.cluster import Cluster

LOCK_S: Final = 60.0  # a lock that was not renewed for so long is nobody's


class BusyError(TuttiError):
    """Somebody else drives this sweep."""


@dataclass
class SweepStore:
    """The objects of one sweep. `etag`: of the lock, while it is ours."""

    cluster: Cluster
    sweep_id: str
    etag: str = ""
    renewed: float = 0.0

    def __post_init__(self) -> None:
        self._prefix = f"{self.cluster.card.prefix}sweeps/{self.sweep_id}/"

    def read(self, name: str) -> dict[str, Any] | None:
        """An object, or None where there is none."""
        found = self._get(name)
        return None if found is None else found[0]

    def write(self, name: str, value: Mapping[str, Any]) -> None:
        """An object, whatever was there."""
        self._put(name, value)

    def create(self, name: str, value: Mapping[str, Any]) -> bool:
        """An object that is not there yet; False where it is."""
        return self._put(name, value, IfNoneMatch="*") is not None

    def lock(self) -> None:
        """Become the one who drives the sweep.

        Raises
        ------
        BusyError
            Somebody else does.
        """
        self.etag = self._put("lock.json", _me(), IfNoneMatch="*") or ""
        if not self.etag:
            found = self._get("lock.json")
            if found is None:
                self.lock()
                return
            holder, etag = found
            if not _gone(holder):
                raise BusyError(
                    f"sweep {self.sweep_id} is driven by process {holder['pid']} on {holder['host']}, "
                    f"last seen {time.time() - holder['at']:.0f} s ago. Wait for it or end it"
                )
            self.etag = self._put("lock.json", _me(), IfMatch=etag) or ""
            if not self.etag:
                raise BusyError(f"sweep {self.sweep_id} was just taken over by somebody else")
        self.renewed = time.time()

    def renew(self) -> None:
        """Say that we are still here.

        Raises
        ------
        BusyError
            Somebody took over: this machine was asleep or cut off.
        """
        if time.time() - self.renewed < LOCK_S / 4:
            return
        self.etag = self._put("lock.json", _me(), IfMatch=self.etag) or ""
        if not self.etag:
            raise BusyError(f"sweep {self.sweep_id} was taken over by somebody else while this machine was away")
        self.renewed = time.time()

    def unlock(self) -> None:
        """Let others drive."""
        if self.etag:
            self.cluster.s3.delete_object(Bucket=self.cluster.card.bucket, Key=f"{self._prefix}lock.json")
            self.etag = ""

    def _get(self, name: str) -> tuple[dict[str, Any], str] | None:
        s3 = self.cluster.s3
        try:
            answer = s3.get_object(Bucket=self.cluster.card.bucket, Key=self._prefix + name)
        except s3.exceptions.NoSuchKey:
            return None
        return json.loads(answer["Body"].read()), answer["ETag"]

    def _put(self, name: str, value: Mapping[str, Any], **condition: str) -> str | None:
        """The new ETag; None where the condition did not hold."""
        from botocore.exceptions import ClientError  # noqa: PLC0415  heavy: only for commands that speak to AWS

        body = json.dumps(value, separators=(",", ":"), default=str).encode()
        try:
            answer = self.cluster.s3.put_object(
                Bucket=self.cluster.card.bucket,
                Key=self._prefix + name,
                Body=body,
                ContentType="application/json",
                **condition,  # type: ignore[arg-type]  # IfMatch or IfNoneMatch
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}:
                return None
            raise
        return answer["ETag"]


def known_sweeps(cluster: Cluster) -> list[str]:
    """Ids of the sweeps in the bucket."""
    prefix = f"{cluster.card.prefix}sweeps/"
    pages = cluster.s3.get_paginator("list_objects_v2").paginate(
        Bucket=cluster.card.bucket, Prefix=prefix, Delimiter="/"
    )
    return [p["Prefix"].removeprefix(prefix).rstrip("/") for page in pages for p in page.get("CommonPrefixes", [])]


def stored(cluster: Cluster, sweep_id: str) -> dict[str, Any]:
    """What was asked of a sweep that somebody started.

    Raises
    ------
    NotFoundError
        None of this id.
    """
    found = SweepStore(cluster, sweep_id).read("sweep.json")
    if found is None:
        names = ", ".join(known_sweeps(cluster)[:10]) or "none"
        raise NotFoundError(f"no sweep {sweep_id!r} in the bucket, and no such file; known sweeps: {names}")
    return found


def _me() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "at": time.time()}


def _gone(holder: Mapping[str, Any]) -> bool:
    """Whether the holder of a lock is certainly no longer there."""
    if time.time() - holder["at"] > LOCK_S:
        return True
    if holder["host"] != socket.gethostname():
        return False
    try:
        os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
