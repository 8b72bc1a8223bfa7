"""Network: private subnets for nodes, one NAT gateway for all zones or none."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

from infra.network import Network, NetworkArgs


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


def test_an_existing_vpc_stays_as_it_is(stack: Any, variations: dict[str, dict[str, Any]]) -> None:
    d = stack(**variations["existing"])
    for kind in ("Vpc", "ec2/subnet:Subnet", "ec2/route:Route", "NatGateway", "VpcEndpoint", "DefaultSecurityGroup"):
        assert d.of(kind) == []
    assert {g.inputs["vpcId"] for g in d.of("SecurityGroup")} == {"vpc-0123456789abcdef0"}
    assert [t.inputs["subnetId"] for t in d.of("MountTarget")] == ["subnet-a", "subnet-b"]


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
