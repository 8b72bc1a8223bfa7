"""Inputs that are not there, told before a job is paid for that would end with 212."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from tutti.aws import is_aws_error
from tutti.errors import InputError, Problem
from tutti.listing import every

if TYPE_CHECKING:
    from tutti.cluster import Cluster
    from tutti.job import Job

_SCHEME: Final = "s3://"


def refuse_missing(job: Job, cluster: Cluster, where: Mapping[str, str]) -> None:
    """Look for a job's inputs in S3: one or two calls each, none where the job starts later, as others may write them.

    Raises
    ------
    InputError
        Some are certainly not there.
    """
    if job.after or job.at or job.every:
        return
    uris = list(dict.fromkeys(uri for uri in job.input if uri.startswith(_SCHEME)))
    lacking = [uri for uri, lacks in zip(uris, every(lambda uri: _lacks(cluster, uri), uris), strict=True) if lacks]
    if lacking:
        place, remedy = where.get("input", "input"), "What there is: tutti data ls"
        raise InputError([Problem(where=place, what=f"nothing lies at {uri}", remedy=remedy) for uri in lacking])


def _lacks(cluster: Cluster, uri: str) -> bool:
    """Whether there is neither an object of this name nor one below it; who may not look does not know."""
    bucket, _, name = uri.removeprefix(_SCHEME).partition("/")
    folder = name if name.endswith("/") or not name else f"{name}/"
    try:
        first = _first(cluster, bucket, name)
        if first in {None, name} or first.startswith(folder):
            return first is None
        return _first(cluster, bucket, folder) is None  # NAME-OTHER comes before NAME/
    except Exception as error:
        if is_aws_error(error):
            return False
        raise


def _first(cluster: Cluster, bucket: str, prefix: str) -> str | None:
    found = cluster.s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1).get("Contents", [])
    return found[0]["Key"] if found else None
