"""What a run's inputs held when it staged them, written beside its capsule. Main alone does it, and only where the desk
that submitted could not know: for inputs on the shared folder, and for runs that a schedule submits.
"""

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from workload.contents import MOST_LISTED, contents
from workload.staging.crew import Failed, Limits, Meter
from workload.staging.disk import search
from workload.staging.places import S3Place, SharedPlace, read_place
from workload.staging.s3 import Lazy, S3Object, connect, persist

if TYPE_CHECKING:
    from pathlib import Path

    from types_boto3_s3 import S3Client

ATTEMPTS: Final = 4  # a record is not worth a long wait of a whole gang


def of_objects(found: list[S3Object]) -> dict[str, Any]:
    """What a place in S3 holds."""
    return contents([(one.key, one.size, one.etag) for one in found])


def of_shared(place: SharedPlace, path: "Path") -> dict[str, Any]:
    """What a path on the shared folder holds, by the sizes and times of its files; nothing where it is not there."""
    if path.is_file():
        facts = path.stat()
        return contents([(place.uri, facts.st_size, f"{facts.st_size} {facts.st_mtime_ns}")])
    if not path.is_dir():
        return contents([])
    found = search(path, most=MOST_LISTED + 1).files
    files = [(one.name, one.size, f"{one.size} {one.modified_ns}") for one in found]
    return contents(sorted(files)) if len(files) <= MOST_LISTED else contents(files, names=False)


def write_record(uri: str, document: Mapping[str, Any], *, s3: "Callable[[], S3Client]" = connect) -> str | None:
    """Put a record to an object. Returns why it could not be, where it could not: no run fails for it."""
    place = read_place(uri, None)
    if not isinstance(place, S3Place):
        return f"{uri}: is no object"
    body = json.dumps(document, indent=1).encode()
    try:
        with Lazy(s3) as client:
            persist(
                lambda: client().put_object(
                    Bucket=place.bucket, Key=place.key, Body=body, ContentType="application/json"
                ),
                uri,
                Limits(attempts=ATTEMPTS),
                Meter(),
            )
    except Failed as error:
        return str(error)
    return None
