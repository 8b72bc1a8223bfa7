"""A shared stack's network: what it lacks is told in the preview, before anything is changed."""

from __future__ import annotations

from typing import Any

import pytest


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


@pytest.mark.parametrize(
    ("keys", "outputs", "said"),
    [
        (
            {"zones": ["us-west-2c"]},
            shared(),
            "zones: got us-west-2c; the shared stack acme/tutti/shared has subnets in",
        ),
        ({"egress": "endpoints"}, shared(), "mend with: pulumi config set egress nat"),
        ({}, {"acme/tutti/shared": {}}, "exports no network; it must be a tutti stack"),
    ],
)
def test_what_does_not_fit_is_told(stack: Any, keys: dict[str, Any], outputs: Any, said: str) -> None:
    with pytest.raises(Exception, match=said):
        stack("astro", shared="acme/tutti/shared", stacks=outputs, **keys)


def test_a_shared_stack_exports_what_its_groups_read(stack: Any) -> None:
    d = stack("shared", pools=[])
    assert set(d.outputs) == {"network", "images"}
    built_on = {"org/tutti/shared": d.outputs}
    group = stack("astro", shared="org/tutti/shared", images=[{"name": "tutti", "shared": True}], stacks=built_on)
    assert group.outputs["images"]["tutti"] == d.outputs["images"]["tutti"]["uri"]
    assert {g.inputs["vpcId"] for g in group.of("SecurityGroup")} == {d.outputs["network"]["vpcId"]}
