"""What the configuration may say of an image: built here, given, or a shared stack's. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from infra.naming import PART_NAME
from infra.reading import Problems
from workload.contract import Mpi

PLATFORMS: Final = {"linux/amd64": "x86_64", "linux/arm64": "arm64"}
# registry/path:tag or registry/path@sha256:digest; a name alone would mean `latest`, which is another image each day.
URI: Final = re.compile(r"[a-z0-9.:_/-]+[a-z0-9](:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}|@sha256:[0-9a-f]{64})")
ECR: Final = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com[.a-z]*/(?P<path>[^:@]+)"
)


@dataclass(frozen=True, kw_only=True)
class ImageConfig:
    name: str
    context: str = "."
    dockerfile: str = "workload/images/Dockerfile"
    target: str = "runtime"
    build_args: Mapping[str, str] = field(default_factory=dict)
    uri: str = ""
    shared: bool = False
    platform: str = "linux/amd64"
    mpi: tuple[Mpi, ...] = (Mpi.MPICH, Mpi.OPENMPI)

    @property
    def architecture(self) -> str:
        return PLATFORMS.get(self.platform, "x86_64")

    @property
    def built(self) -> bool:
        return not self.uri and not self.shared


def ecr_repository_arn(uri: str, partition: str) -> str | None:
    """The ARN of the ECR repository that `uri` names; None where it is in another registry."""
    if (match := ECR.match(uri)) is None:
        return None
    return f"arn:{partition}:ecr:{match['region']}:{match['account']}:repository/{match['path']}"


def check_images(images: Sequence[ImageConfig], *, shared: str, problems: Problems) -> None:
    seen: set[str] = set()
    for i, image in enumerate(images):
        at = f"images[{i}]"
        if not PART_NAME.fullmatch(image.name):
            problems.refuse(f"{at}.name", image.name, "lower-case letters and digits, 16 at most", example="tutti")
        if image.name in seen:
            problems.refuse(f"{at}.name", image.name, "a name that no other image has", example=f"{image.name}2")
        seen.add(image.name)
        if image.platform not in PLATFORMS:
            problems.refuse(f"{at}.platform", image.platform, " or ".join(PLATFORMS), example="linux/amd64")
        if image.uri and not URI.fullmatch(image.uri):
            problems.refuse(
                f"{at}.uri",
                image.uri,
                "an image with a tag or, better, a digest",
                example=f"{image.uri.split('@')[0]}@sha256:...",
            )
        if image.uri and image.shared:
            problems.refuse(f"{at}.shared", True, "false where `uri` names an image", example=False)
        if image.shared and not shared:
            problems.refuse(f"{at}.shared", True, "false, as `shared` names no stack", example=False)
        if not image.mpi:
            problems.refuse(f"{at}.mpi", [], f"one or more of {', '.join(Mpi)}", example=["mpich", "openmpi"])
