"""Endpoints: the S3 gateway always, and exactly the services that gangs cannot start without."""

from __future__ import annotations

from typing import Any

import pytest

NEEDED = {"ecs", "ecs-agent", "ecs-telemetry", "ecr.api", "ecr.dkr", "logs", "secretsmanager"}


def services(deployed: Any, kind: str) -> set[str]:
    found = [r.inputs for r in deployed.of("VpcEndpoint") if r.inputs["vpcEndpointType"] == kind]
    return {i["serviceName"].removeprefix("com.amazonaws.us-west-2.") for i in found}


def test_endpoints_are_exactly_those_that_gangs_need(stack: Any) -> None:
    assert services(stack(egress="endpoints"), "Interface") == NEEDED
    assert services(stack(egress="endpoints", debug=True), "Interface") == NEEDED | {"ssmmessages"}
    assert services(stack(), "Interface") == set()


def test_endpoints_are_in_every_subnet_and_found_by_name(stack: Any) -> None:
    d = stack(egress="endpoints")
    for r in d.of("VpcEndpoint"):
        if r.inputs["vpcEndpointType"] == "Interface":
            assert len(r.inputs["subnetIds"]) == 2
            assert r.inputs["privateDnsEnabled"] is True
    rule = d.one("SecurityGroupIngressRule", "-endpoints").inputs
    assert (rule["cidrIpv4"], rule["fromPort"], rule["toPort"]) == ("10.0.0.0/16", 443, 443)


@pytest.mark.parametrize("egress", ["nat", "endpoints"])
def test_s3_never_costs_what_a_nat_gateway_asks(stack: Any, egress: str) -> None:
    d = stack(egress=egress)
    assert services(d, "Gateway") == {"s3"}


def test_endpoints_in_an_existing_vpc_use_its_route_tables(stack: Any, variations: dict[str, dict[str, Any]]) -> None:
    d = stack(**variations["existing-endpoints"])
    gateway = next(r for r in d.of("VpcEndpoint") if r.inputs["vpcEndpointType"] == "Gateway")
    assert gateway.inputs["routeTableIds"] == ["rtb-1", "rtb-2"]
    assert d.one("SecurityGroupIngressRule", "-endpoints").inputs["cidrIpv4"] == "10.99.0.0/16"
