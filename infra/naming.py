"""Names and tags of everything in a stack. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from workload.contract import QueuePriority, Tag, card_parameter, metric_namespace

# Long enough for people, short enough for what AWS adds: an IAM role's name has 64 characters, Pulumi's suffix 8.
STACK_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,23}")
PART_NAME: Final = re.compile(r"[a-z][a-z0-9]{0,15}")  # pools, images, access points: no dash, so that names stay apart


@dataclass(frozen=True, kw_only=True)
class Names:
    """The names that people and policies see; everything else is named by Pulumi after its component."""

    stack: str
    group: str

    @property
    def base(self) -> str:
        """The name that components give what Pulumi names."""
        return f"tutti-{self.stack}"

    @property
    def card(self) -> str:
        return card_parameter(self.stack)

    @property
    def log_group(self) -> str:
        return f"/tutti/{self.stack}/jobs"

    @property
    def event_log_group(self) -> str:
        """EventBridge writes only to log groups below /aws/events/."""
        return f"/aws/events/tutti/{self.stack}"

    @property
    def gang_secret(self) -> str:
        """Not below `secrets`: the job role reads those, and the gang's secret is the execution role's alone."""
        return f"tutti-gang/{self.stack}"

    @property
    def secrets(self) -> str:
        """The prefix of the secrets that jobs may fetch with `--secret`."""
        return f"tutti/{self.stack}/"

    @property
    def prefix(self) -> str:
        """The group's own part of the bucket. The slash keeps `astro` out of `astro2/`."""
        return f"{self.group}/"

    @property
    def waiting(self) -> str:
        """Where submissions wait for jobs' ends. Not below `prefix`: jobs write there, and what lies here is submitted.

        The underscore keeps it apart from every group's prefix.
        """
        return f"_after/{self.group}/"

    @property
    def follower(self) -> str:
        """The function that submits them."""
        return f"{self.base}-after"

    @property
    def schedule_group(self) -> str:
        return self.base

    @property
    def namespace(self) -> str:
        return metric_namespace(self.stack)

    def repository(self, image: str) -> str:
        return f"tutti/{self.stack}/{image}"

    def queue(self, pool: str, priority: QueuePriority) -> str:
        return f"{self.stack}-{pool}-{priority.name.lower()}"

    def definition(self, kind: str, *, image: str, pool: str) -> str:
        """`STACK-mpi`, with the image's and the pool's name in it where they are not the first of their kind ("")."""
        return "-".join(part for part in (self.stack, image, pool, kind) if part)

    def tags(self, more: Mapping[str, str]) -> dict[str, str]:
        """Tags of every resource; the stack's own win over the operator's."""
        return {**more, Tag.STACK.value: self.stack, Tag.GROUP.value: self.group}
