"""Access points of the shared file system: the group's own and the operator's. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from infra.naming import PART_NAME
from infra.reading import Problems

OWNER: Final = 1000  # the images' user
MODE: Final = re.compile(r"0?[0-7]{3,4}")
PATH: Final = re.compile(r"(/[A-Za-z0-9._-]+){1,4}")  # EFS: at most four levels
MOST_ID: Final = 2**32 - 1


@dataclass(frozen=True, kw_only=True)
class AccessPoint:
    name: str
    path: str
    uid: int = OWNER
    gid: int = OWNER
    mode: str = "0755"


def own(group: str) -> AccessPoint:
    """The group's own access point: what jobs see as the shared folder."""
    return AccessPoint(name="own", path=f"/{group}")


def check_access_points(points: Sequence[AccessPoint], group: str, problems: Problems) -> None:
    names, paths = {"own"}, {f"/{group}"}
    for i, point in enumerate(points):
        at = f"accessPoints[{i}]"
        if not PART_NAME.fullmatch(point.name) or point.name in names:
            allowed = "lower-case letters and digits, 16 at most, each name once, not `own`"
            problems.refuse(f"{at}.name", point.name, allowed, example="data")
        if not PATH.fullmatch(point.path) or ".." in point.path.split("/") or point.path in paths:
            allowed = f"an absolute path of at most four folders, each once, not /{group}"
            problems.refuse(f"{at}.path", point.path, allowed, example="/data")
        for field, value in (("uid", point.uid), ("gid", point.gid)):
            if not 1 <= value <= MOST_ID:
                problems.refuse(f"{at}.{field}", value, f"1-{MOST_ID}: not root", example=OWNER)
        if not MODE.fullmatch(point.mode):
            problems.refuse(f"{at}.mode", point.mode, "an octal mode", example="0755")
        names.add(point.name)
        paths.add(point.path)
