"""A shared stack's network: what it lacks is told in the preview, before anything is changed."""

from __future__ import annotations

from typing import Any

import pytest

from infra.place import field_of, subnet_of


def shared(**changes: Any) -> dict[str, dict[str, Any]]:
    network = {
        "vpcId": "vpc-shared",
        "cidr": "10.0.0.0/16",
        "subnets": {"us-west-2a": "subnet-sa", "us-west-2b": "subnet-sb"},
        "s3PrefixList": "pl-s3",
        "egress": "nat",
    }
    return {"acme/tutti/shared": {"network": {**network, **changes}}}


def test_a_group_uses_the_shared_subnets(stack: Any) -> None:
    d = stack("astro", shared="acme/tutti/shared", stacks=shared())
    assert [t.inputs["subnetId"] for t in d.of("MountTarget")] == ["subnet-sa", "subnet-sb"]
    assert d.of("Vpc") == d.of("LogResourcePolicy") == []


def test_what_does_not_fit_is_told() -> None:
    """Tested without the engine: under mocks an error inside `apply` shakes the whole interpreter."""
    network, stack = shared()["acme/tutti/shared"]["network"], "acme/tutti/shared"
    with pytest.raises(ValueError, match="zones: got us-west-2c; the shared stack acme/tutti/shared has subnets in"):
        subnet_of(stack, "us-west-2c", network)
    with pytest.raises(ValueError, match="mend with: pulumi config set egress nat"):
        field_of(stack, "endpoints", "vpcId", network)
    with pytest.raises(ValueError, match="exports no network; it must be a tutti stack"):
        field_of(stack, "nat", "vpcId", None)


def test_a_shared_stack_exports_what_its_groups_read(stack: Any) -> None:
    d = stack("shared", pools=[])
    assert set(d.outputs) == {"network", "images"}
    built_on = {"org/tutti/shared": d.outputs}
    group = stack("astro", shared="org/tutti/shared", images=[{"name": "tutti", "shared": True}], stacks=built_on)
    assert group.outputs["images"]["tutti"] == d.outputs["images"]["tutti"]["uri"]
    assert {g.inputs["vpcId"] for g in group.of("SecurityGroup")} == {d.outputs["network"]["vpcId"]}
