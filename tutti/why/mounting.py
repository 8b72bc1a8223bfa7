"""Whether a file system's policy lets a container mount it: as much of IAM's rules as such policies use. Pure.

What is not known (a condition, a principal of another kind) counts for the container, so that nothing is blamed on a
guess: an Allow applies, a Deny does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

MOUNT: Final = "elasticfilesystem:ClientMount"
SAME: Final = frozenset({"StringEquals", "StringLike", "ArnEquals", "ArnLike"})


@dataclass(frozen=True, kw_only=True)
class Mount:
    """Who mounts, and by which access point; empty where it is not known, or there is none."""

    role: str = ""  # its ARN
    access_point: str = ""  # its id
    encrypted: bool | None = None


def mount_of(container: Mapping[str, Any], file_system: str) -> Mount:
    """How a container of a job or a definition mounts this file system."""
    role = str(container.get("jobRoleArn", ""))
    for volume in container.get("volumes", []):
        efs = volume.get("efsVolumeConfiguration") or {}
        if efs.get("fileSystemId") == file_system:
            point = (efs.get("authorizationConfig") or {}).get("accessPointId", "")
            return Mount(role=role, access_point=point, encrypted=efs.get("transitEncryption") == "ENABLED")
    return Mount(role=role)


def policy_allows(policy: Mapping[str, Any], mount: Mount) -> bool:
    """Whether a statement allows this mount and none denies it."""
    allowed = False
    for statement in _listed(policy.get("Statement", [])):
        applies = _all(_action(statement), _principal(statement, mount), _conditions(statement, mount))
        if statement.get("Effect") == "Deny":
            if applies is True:
                return False
        elif applies is not False:
            allowed = True
    return allowed


def _all(*answers: bool | None) -> bool | None:
    """Yes where all are yes, no where one is no, else None."""
    return False if False in answers else None if None in answers else True


def _action(statement: Mapping[str, Any]) -> bool:
    """Whether it speaks of mounting; actions have no case."""
    named = _listed(statement.get("Action", statement.get("NotAction", [])))
    found = any(fnmatchcase(MOUNT.lower(), str(action).lower()) for action in named)
    return found if "Action" in statement else not found


def _principal(statement: Mapping[str, Any], mount: Mount) -> bool | None:
    if "NotPrincipal" in statement:
        return None
    principal = statement.get("Principal", "*")
    if not isinstance(principal, str) and "AWS" not in principal:
        return False  # a service, or somebody of elsewhere
    named = [str(p) for p in _listed(principal if isinstance(principal, str) else principal["AWS"])]
    if "*" in named:
        return True
    if not mount.role:
        return None
    account = mount.role.split(":")[4] if mount.role.count(":") >= 5 else ""
    return any(
        name == mount.role or name in {account, f"{mount.role.partition('::')[0]}::{account}:root"} for name in named
    )


def _conditions(statement: Mapping[str, Any], mount: Mount) -> bool | None:
    known = {
        "aws:securetransport": mount.encrypted,
        "elasticfilesystem:accessedviamounttarget": True,  # containers mount no other way
    }
    answers: list[bool | None] = []
    for operator, keys in statement.get("Condition", {}).items():
        for key, value in keys.items():
            wanted = [str(v) for v in _listed(value)]
            if operator == "Bool" and known.get(key.lower()) is not None:
                answers.append(str(known[key.lower()]).lower() in {v.lower() for v in wanted})
            elif key.lower() == "elasticfilesystem:accesspointarn" and operator in SAME and mount.access_point:
                # the access point's ARN but for its account and region: the id alone is unique
                answers.append(any(fnmatchcase(mount.access_point, v.rpartition("/")[2]) for v in wanted))
            else:
                answers.append(None)
    return _all(*answers)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
