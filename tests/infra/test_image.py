"""Images: built and pushed once for each content, used by digest, and never taken from under a revision."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.foundation import shared_image
from infra.image import lifecycle
from infra.image_config import ImageConfig

DIGEST = "sha256:" + "0" * 64
GIVEN = "123456789012.dkr.ecr.us-west-2.amazonaws.com/team/wrf@sha256:" + "2" * 64


def test_a_built_image_is_used_by_digest(stack: Any) -> None:
    d = stack()
    uri = f"123456789012.dkr.ecr.us-west-2.amazonaws.com/tutti/dev/tutti@{DIGEST}"
    assert d.outputs["images"] == {"tutti": uri}
    assert (
        json.loads(d.one("JobDefinition", "dev-mpi").inputs["nodeProperties"])["nodeRangeProperties"][0]["container"][
            "image"
        ]
        == uri
    )


def test_the_build_has_a_platform_and_a_tag_of_its_content(stack: Any) -> None:
    image = stack().one("index/image:Image").inputs
    assert image["build"]["platform"] == "linux/amd64"
    assert image["build"]["target"] == "runtime"
    name, tag = image["imageName"].rsplit(":", 1)
    assert name.endswith("/tutti/dev/tutti")
    assert len(tag) == 16
    assert int(tag, 16)


def test_the_registrys_password_is_a_secret(stack: Any) -> None:
    assert "registry" in stack().one("index/image:Image").secrets or "password" in str(
        stack().one("index/image:Image").secrets
    )


def test_repositories_are_immutable_and_scanned(stack: Any) -> None:
    repository = stack().one("ecr/repository:Repository").inputs
    assert repository["imageTagMutability"] == "IMMUTABLE"
    assert repository["imageScanningConfiguration"] == {"scanOnPush": True}


def test_no_tagged_image_ever_expires() -> None:
    assert [rule["selection"]["tagStatus"] for rule in lifecycle()["rules"]] == ["untagged"]  # type: ignore[index]  # JSON


def test_a_given_image_builds_nothing_and_may_be_pulled(stack: Any) -> None:
    d = stack(images=[{"name": "wrf", "uri": GIVEN}])
    assert d.of("index/image:Image") == d.of("ecr/repository:Repository") == []
    (execution,) = [r.json("policy") for r in d.of("RolePolicy") if r.name.endswith("-execution")]
    pulls = [s["Resource"] for s in execution["Statement"] if "ecr:BatchGetImage" in s["Action"]]
    assert pulls == [["arn:aws:ecr:us-west-2:123456789012:repository/team/wrf"]]


def test_an_image_of_another_registry_needs_no_right(stack: Any) -> None:
    d = stack(images=[{"name": "gcc", "uri": "docker.io/library/gcc:14"}])
    (execution,) = [r.json("policy") for r in d.of("RolePolicy") if r.name.endswith("-execution")]
    assert not [s for s in execution["Statement"] if "ecr:BatchGetImage" in s["Action"]]


def test_a_shared_image_is_the_shared_stacks(stack: Any, variations: dict[str, dict[str, Any]]) -> None:
    d = stack("astro", **variations["group"])
    assert d.of("index/image:Image") == []
    assert d.outputs["images"]["tutti"].startswith("123456789012.dkr.ecr.us-west-2.amazonaws.com/tutti/shared/tutti@")


EXPORTED = {"tutti": {"uri": "x@sha256:0", "repositoryArn": "arn", "platform": "linux/amd64"}}


def test_what_the_shared_stack_lacks_is_told() -> None:
    with pytest.raises(ValueError, match="images: got cuda, shared; the shared stack acme/tutti/shared has: tutti"):
        shared_image(ImageConfig(name="cuda", shared=True), "acme/tutti/shared", "uri", EXPORTED)
    with pytest.raises(ValueError, match="has: none"):
        shared_image(ImageConfig(name="cuda", shared=True), "acme/tutti/shared", "uri", None)


def test_a_shared_image_of_another_platform_is_told() -> None:
    arm = ImageConfig(name="tutti", shared=True, platform="linux/arm64")
    with pytest.raises(ValueError, match="is for linux/amd64; got linux/arm64"):
        shared_image(arm, "acme/tutti/shared", "uri", EXPORTED)
