"""What a node's container needs before it starts, asked of ECR, EC2 and Secrets Manager: its image, a processor for it,
the gang's secret.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from tutti.why.facts import Image
from workload.contract import Variable

if TYPE_CHECKING:
    from tutti.cluster import Cluster

INDEXES: Final = frozenset(
    {"application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"}
)
MANIFESTS: Final = (
    *sorted(INDEXES),
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
PROCESSORS: Final = {"x86_64": "amd64", "arm64": "arm64"}  # EC2's name -> the image format's
TIMEOUT_S: Final = 10


def image_of(cluster: Cluster, uri: str) -> Image:
    """Whether the image is in its repository, and for which processors: only ECR's can be asked."""
    host, _, path = uri.partition("/")
    if ".dkr.ecr." not in host:
        return Image(uri=uri, found=None)
    name, at, digest = path.partition("@")
    if not at:
        name, _, tag = path.partition(":")
        wanted = {"imageTag": tag or "latest"}
    else:
        wanted = {"imageDigest": digest}
    ecr = cluster.client("ecr")
    place = {"registryId": host.split(".")[0], "repositoryName": name}
    try:
        answer = ecr.batch_get_image(**place, imageIds=[wanted], acceptedMediaTypes=list(MANIFESTS))
    except ecr.exceptions.RepositoryNotFoundException:
        return Image(uri=uri, found=False)
    if not answer.get("images"):
        return Image(uri=uri, found=False)
    manifest = json.loads(answer["images"][0]["imageManifest"])
    return Image(uri=uri, found=True, processors=_processors(ecr, place, manifest))


def _processors(ecr: Any, place: Mapping[str, str], manifest: Mapping[str, Any]) -> frozenset[str]:
    """The processors of an index's images, or of the one image, which only its configuration names."""
    if "manifests" in manifest:
        named = {m.get("platform", {}).get("architecture", "") for m in manifest["manifests"]}
        return frozenset(named - {"", "unknown"})  # `unknown`: attestations, which are no images
    digest = manifest.get("config", {}).get("digest")
    if not digest:
        return frozenset()
    link = ecr.get_download_url_for_layer(**place, layerDigest=digest)["downloadUrl"]
    return frozenset({architecture} if (architecture := _read(link).get("architecture", "")) else ())


def _read(link: str) -> Mapping[str, Any]:
    """The JSON behind one of AWS's signed links; nothing where it cannot be had."""
    from urllib.request import urlopen  # noqa: PLC0415  only for an image that is no index

    if not link.startswith("https://"):
        return {}
    try:
        with urlopen(link, timeout=TIMEOUT_S) as answer:  # noqa: S310  https, by the line above
            found: Mapping[str, Any] = json.load(answer)
    except (OSError, ValueError):
        return {}
    return found


def processors_of(cluster: Cluster, instance_types: tuple[str, ...]) -> frozenset[str]:
    """The processors of a pool's instances, in the image format's names; none for families such as `c7i`."""
    exact = [name for name in instance_types if "." in name]
    if not exact:
        return frozenset()
    found = cluster.client("ec2").describe_instance_types(InstanceTypes=exact)["InstanceTypes"]
    named = {a for item in found for a in item.get("ProcessorInfo", {}).get("SupportedArchitectures", [])}
    return frozenset(PROCESSORS[name] for name in named if name in PROCESSORS)


def secret_of(cluster: Cluster, container: Mapping[str, Any]) -> str | None:
    """Why the gang's secret cannot be read, in words; empty where it can, None for a job that has none.

    Its value is nobody's but the execution role's: only whether it is there is asked.
    """
    arn = gang_secret(container)
    if not arn:
        return None
    client = cluster.client("secretsmanager")
    try:
        found = client.describe_secret(SecretId=arn)
    except client.exceptions.ResourceNotFoundException:
        return f"{arn} does not exist"
    if deleted := found.get("DeletedDate"):
        return f"{arn} is being deleted since {deleted:%Y-%m-%d}"
    return ""


def gang_secret(container: Mapping[str, Any]) -> str:
    """The ARN of the gang's secret; empty for a job that has none."""
    return next((str(s["valueFrom"]) for s in container.get("secrets", []) if s["name"] == Variable.SECRET), "")
