"""Wiring of what a stack stands on: its network and its images, made, given, or a shared stack's. No component."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws as aws

from infra.config import Egress, StackConfig
from infra.endpoints import FOR_DEBUG, NEEDED, Endpoints, EndpointsArgs
from infra.facts import Facts
from infra.image import BuiltImage, BuiltImageArgs
from infra.image_config import ImageConfig, ecr_repository_arn
from infra.network import Network, NetworkArgs
from infra.place import Place, shared_place


@dataclass(frozen=True, kw_only=True)
class Images:
    """Images by name: what to run, and the repository that may be pulled from ("" outside ECR)."""

    uris: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    repository_arns: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    repository_urls: Mapping[str, pulumi.Output[str]] = field(default_factory=dict)


def network(config: StackConfig, facts: Facts, shared: pulumi.StackReference | None) -> Place:
    """Where nodes run. Makes a VPC, or endpoints in an existing one, or nothing."""
    keys = config.keys
    if shared is not None:
        return shared_place(shared.get_output("network"), keys.shared, config.zones, keys.egress)
    endpoints_only = keys.egress is Egress.ENDPOINTS
    if config.vpc is not None:
        place = Place(vpc_id=config.vpc.id, cidr=config.vpc.cidr, subnets=config.subnets)
        if not endpoints_only:
            return place
        tables: pulumi.Input[Sequence[pulumi.Input[str]]] = aws.ec2.get_route_tables(vpc_id=config.vpc.id).ids
    else:
        made = Network(
            config.names.base,
            NetworkArgs(
                cidr=keys.vpc_cidr,
                zones=config.zones,
                nat=not endpoints_only,
                flow_log_days=keys.log_retention_days if keys.flow_logs else 0,
                account=facts.account,
                tags=config.tags,
            ),
        )
        place = Place(vpc_id=made.vpc_id, cidr=str(keys.vpc_cidr), subnets=made.subnets)
        tables = list(made.route_table_ids)
    endpoints = Endpoints(
        config.names.base,
        EndpointsArgs(
            vpc_id=place.vpc_id,
            cidr=place.cidr,
            subnets=place.subnets,
            route_table_ids=tables,
            interfaces=(*NEEDED, *(FOR_DEBUG if keys.debug else ())) if endpoints_only else (),
            region=facts.region,
            account=facts.account,
            partition=facts.partition,
            tags=config.tags,
        ),
    )
    return Place(vpc_id=place.vpc_id, cidr=place.cidr, subnets=place.subnets, s3_prefix_list=endpoints.s3_prefix_list)


def images(config: StackConfig, facts: Facts, shared: pulumi.StackReference | None, root: Path) -> Images:
    """Build what is to be built; take the rest as it is. `root`: the project's folder."""
    uris: dict[str, pulumi.Input[str]] = {}
    arns: dict[str, pulumi.Input[str]] = {}
    urls: dict[str, pulumi.Output[str]] = {}
    for image in config.keys.images:
        if image.built:
            built = BuiltImage(
                f"{config.names.base}-{image.name}",
                BuiltImageArgs(
                    image=image,
                    repository=config.names.repository(image.name),
                    root=root,
                    keep=config.keys.keep_data,
                    tags=config.tags,
                ),
            )
            uris[image.name], arns[image.name] = built.uri, built.repository_arn
            urls[image.name] = built.repository_url
        elif image.shared and shared is not None:
            exported = shared.get_output("images")
            uris[image.name] = exported.apply(partial(shared_image, image, config.keys.shared, "uri"))
            arns[image.name] = exported.apply(partial(shared_image, image, config.keys.shared, "repositoryArn"))
        else:
            uris[image.name] = image.uri
            arns[image.name] = ecr_repository_arn(image.uri, facts.partition) or ""
    return Images(uris=uris, repository_arns=arns, repository_urls=urls)


def share(config: StackConfig, place: Place, made: Images) -> dict[str, pulumi.Input[Any]]:
    """What a shared stack exports, and `network` and `images` read in the groups' stacks."""
    return {
        "network": {
            "vpcId": place.vpc_id,
            "cidr": place.cidr,
            "subnets": dict(place.subnets),
            "s3PrefixList": place.s3_prefix_list,
            "egress": config.keys.egress.value,
        },
        "images": {
            image.name: {
                "uri": made.uris[image.name],
                "repositoryArn": made.repository_arns[image.name],
                "platform": image.platform,
            }
            for image in config.keys.images
        },
    }


def shared_image(image: ImageConfig, stack: str, what: str, exported: Any) -> str:
    """The field `what` of an image in a shared stack's `images`.

    Raises
    ------
    ValueError
        It has no image of that name, or one for another platform.
    """
    found = (exported or {}).get(image.name)
    if found is None:
        have = ", ".join(sorted(exported or {})) or "none"
        raise ValueError(f"images: got {image.name}, shared; the shared stack {stack} has: {have}")
    if found["platform"] != image.platform:
        raise ValueError(
            f"images: {image.name} of the shared stack {stack} is for {found['platform']}; got {image.platform}; "
            f"set `platform` of the image to {found['platform']}"
        )
    return str(found[what])
