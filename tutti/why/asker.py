"""Asking AWS part by part: one missing permission hides one part alone, and is named with what it is wanted on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeVar

from tutti.aws import DENIED, is_aws_error, permission

T = TypeVar("T")
ALL: Final = "*"  # what IAM wants of calls that know no narrower resource
# The calls that are made here, by the name that IAM gives their service: a refusal does not always name it.
ACTIONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({
    "batch": (
        *("DescribeJobs", "ListJobs", "DescribeJobQueues", "DescribeComputeEnvironments", "GetJobQueueSnapshot"),
        "DescribeJobDefinitions",
    ),
    "ec2": (
        *("DescribeSubnets", "DescribeRouteTables", "DescribeVpcEndpoints", "DescribeSecurityGroups"),
        *("DescribeInstances", "DescribeInstanceTypes"),
    ),
    "elasticfilesystem": (
        *("DescribeFileSystems", "DescribeMountTargets", "DescribeMountTargetSecurityGroups"),
        "DescribeFileSystemPolicy",
    ),
    "ecr": ("BatchGetImage", "GetDownloadUrlForLayer"),
    "secretsmanager": ("DescribeSecret",),
    "servicequotas": ("GetServiceQuota",),
    "logs": ("GetLogEvents",),
})  # fmt: skip


class Asker:
    """Asks, and remembers what could not be asked."""

    def __init__(self) -> None:
        self.unasked: list[str] = []

    def part(self, name: str, call: Callable[[], T], *, on: str = ALL) -> T | None:
        """The answer; None where AWS refuses it or does not know it. `on`: what it is asked about."""
        try:
            return call()
        except Exception as error:
            refusal = error if is_aws_error(error) else error.__cause__  # ours keep AWS's as their cause
            if refusal is None or not is_aws_error(refusal):
                raise
            self.unasked.append(f"{name} ({_why(refusal, on)})")
            return None


def _why(error: BaseException, on: str) -> str:
    code = getattr(error, "response", {}).get("Error", {}).get("Code", type(error).__name__)
    if code not in DENIED:
        return str(code)
    action, resource = permission(error)
    if ":" not in action:
        service = next((service for service, calls in ACTIONS.items() if action in calls), "")
        action = f"{service}:{action}" if service else action
    return f"no permission: {action} on {resource or on}"
