"""Images: one ECR repository and one build for each image of the configuration, given images as they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pulumi
import pulumi_aws as aws
import pulumi_docker as docker

from infra.context import content_tag
from infra.image_config import ImageConfig

UNTAGGED_DAYS: Final = 180  # a run capsule's life: what one names by digest is still there


@dataclass(frozen=True, kw_only=True)
class BuiltImageArgs:
    """Inputs of BuiltImage. `root`: the folder that context and Dockerfile are named from."""

    image: ImageConfig
    repository: str
    root: Path
    keep: bool
    tags: Mapping[str, str]


class BuiltImage(pulumi.ComponentResource):
    """Built here, pushed to a repository of its own, and named by digest: a new image is a new definition revision."""

    uri: pulumi.Output[str]
    repository_arn: pulumi.Output[str]
    repository_url: pulumi.Output[str]

    def __init__(self, name: str, args: BuiltImageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tutti:image:BuiltImage", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        repository = aws.ecr.Repository(
            f"{name}-repository",
            name=args.repository,
            image_tag_mutability="IMMUTABLE",
            image_scanning_configuration=aws.ecr.RepositoryImageScanningConfigurationArgs(scan_on_push=True),
            encryption_configurations=[aws.ecr.RepositoryEncryptionConfigurationArgs(encryption_type="AES256")],
            force_delete=not args.keep,
            tags={**args.tags, "Name": args.repository},
            opts=pulumi.ResourceOptions(parent=self, protect=args.keep),
        )
        aws.ecr.LifecyclePolicy(
            f"{name}-repository", repository=repository.name, policy=json.dumps(lifecycle()), opts=child
        )
        image = args.image
        tag = content_tag(
            args.root / image.context,
            args.root / image.dockerfile,
            target=image.target,
            platform=image.platform,
            build_args=image.build_args,
        )
        token = aws.ecr.get_authorization_token_output(
            registry_id=repository.registry_id, opts=pulumi.InvokeOutputOptions(parent=self)
        )
        built = docker.Image(
            f"{name}-image",
            image_name=pulumi.Output.concat(repository.repository_url, ":", tag),
            build=docker.DockerBuildArgs(
                context=str(args.root / image.context),
                dockerfile=str(args.root / image.dockerfile),
                target=image.target,
                platform=image.platform,
                args=dict(image.build_args),
                builder_version=docker.BuilderVersion.BUILDER_BUILD_KIT,
            ),
            registry=docker.RegistryArgs(
                server=repository.repository_url,
                username=token.user_name,
                password=pulumi.Output.secret(token.password),
            ),
            opts=child,
        )
        self.uri = built.repo_digest
        self.repository_arn = repository.arn
        self.repository_url = repository.repository_url
        self.register_outputs({"uri": self.uri, "repository_arn": self.repository_arn})


def lifecycle() -> dict[str, list[dict[str, object]]]:
    """What ECR may delete: images that lost their tag, after 180 days.

    Every image that a definition revision names was pushed under a tag of its own, which nothing can take away
    (immutable), so none of those is ever deleted: old revisions, reruns and queued retries find theirs.
    """
    rule = {
        "rulePriority": 1,
        "description": "untagged: no definition names it",
        "selection": {
            "tagStatus": "untagged",
            "countType": "sinceImagePushed",
            "countUnit": "days",
            "countNumber": UNTAGGED_DAYS,
        },
        "action": {"type": "expire"},
    }
    return {"rules": [rule]}
