"""Network and its endpoints: private subnets for nodes, one NAT gateway or exactly the endpoints that gangs need."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pytest

from infra.network import Network, NetworkArgs

NEEDED = {"ecs", "ecs-agent", "ecs-telemetry", "ecr.api", "ecr.dkr", "logs", "secretsmanager"}


def services(deployed: Any, kind: str) -> set[str]:
    found = [r.inputs for r in deployed.of("VpcEndpoint") if r.inputs["vpcEndpointType"] == kind]
    return {i["serviceName"].removeprefix("com.amazonaws.us-west-2.") for i in found}


def test_nodes_have_no_public_address(varied: Any) -> None:
    assert {s.inputs["mapPublicIpOnLaunch"] for s in varied.of("ec2/subnet:Subnet")} <= {False}


def test_one_nat_gateway_serves_all_zones(stack: Any) -> None:
    d = stack(zones=["us-west-2a", "us-west-2b", "us-west-2c"])
    gateway = d.one("NatGateway")
    public = d.one("ec2/subnet:Subnet", "public-us-west-2a")
    assert gateway.inputs["subnetId"] == f"subnet-{public.name}"
    private = d.one("ec2/route:Route", "-private")
    assert (private.inputs["destinationCidrBlock"], private.inputs["natGatewayId"]) == (
        "0.0.0.0/0",
        f"{gateway.name}-0000000",
    )
    assert len([s for s in d.of("ec2/subnet:Subnet") if "-private-" in s.name]) == 3


def test_subnets_lie_where_the_plan_says(stack: Any) -> None:
    blocks = {s.name.rsplit("dev-", 1)[1]: s.inputs["cidrBlock"] for s in stack().of("ec2/subnet:Subnet")}
    assert blocks == {
        "private-us-west-2a": "10.0.0.0/20",
        "private-us-west-2b": "10.0.32.0/20",
        "public-us-west-2a": "10.0.16.0/28",
    }


def test_with_endpoints_nothing_leads_out(stack: Any) -> None:
    d = stack(egress="endpoints")
    for kind in ("NatGateway", "InternetGateway", "Eip", "ec2/route:Route"):
        assert d.of(kind) == []


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


def test_an_existing_vpc_stays_as_it_is(stack: Any, variations: dict[str, dict[str, Any]]) -> None:
    d = stack(**variations["existing"])
    for kind in ("Vpc", "ec2/subnet:Subnet", "ec2/route:Route", "NatGateway", "VpcEndpoint", "DefaultSecurityGroup"):
        assert d.of(kind) == []
    assert {g.inputs["vpcId"] for g in d.of("SecurityGroup")} == {"vpc-0123456789abcdef0"}
    assert [t.inputs["subnetId"] for t in d.of("MountTarget")] == ["subnet-a", "subnet-b"]


def test_endpoints_in_an_existing_vpc_use_its_route_tables(stack: Any, variations: dict[str, dict[str, Any]]) -> None:
    d = stack(**variations["existing-endpoints"])
    gateway = next(r for r in d.of("VpcEndpoint") if r.inputs["vpcEndpointType"] == "Gateway")
    assert gateway.inputs["routeTableIds"] == ["rtb-1", "rtb-2"]
    assert d.one("SecurityGroupIngressRule", "-endpoints").inputs["cidrIpv4"] == "10.99.0.0/16"


def args(**changes: Any) -> NetworkArgs:
    given: dict[str, Any] = {
        "cidr": IPv4Network("10.0.0.0/16"),
        "zones": ["us-west-2a"],
        "nat": True,
        "flow_log_days": 0,
        "account": "123456789012",
        "tags": {},
    }
    return NetworkArgs(**{**given, **changes})


def test_flow_logs_on_request_alone(build: Any) -> None:
    assert build(lambda: Network("n", args())).of("FlowLog") == []
    d = build(lambda: Network("n", args(flow_log_days=7)))
    assert d.one("FlowLog").inputs["trafficType"] == "REJECT"
    assert d.one("LogGroup").inputs["retentionInDays"] == 7


def test_two_networks_stand_side_by_side(build: Any) -> None:
    def both() -> None:
        Network("one", args())
        Network("two", args(cidr=IPv4Network("10.1.0.0/16")))

    urns = [r.urn for r in build(both).resources]
    assert len(urns) == len(set(urns))
