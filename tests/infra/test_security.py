"""Security groups: nodes admit each other and nobody else, and reach what they must."""

from __future__ import annotations

from typing import Any

NODES, STORAGE = "sg-tutti-dev-nodes", "sg-tutti-dev-storage"


def rules(deployed: Any, kind: str, group: str) -> list[tuple[str, str, int | None]]:
    """(where from or to, protocol, first port) of a group's rules."""
    found = []
    for rule in deployed.of(f"SecurityGroup{kind}Rule"):
        i = rule.inputs
        if i["securityGroupId"] == group:
            other = i.get("referencedSecurityGroupId") or i.get("cidrIpv4") or i.get("prefixListId")
            found.append((other, i["ipProtocol"], i.get("fromPort")))
    return sorted(found, key=str)


def test_nodes_admit_themselves_in_and_out(varied: Any, variation: dict[str, Any]) -> None:
    if variation.get("pools") == []:
        assert varied.of("SecurityGroup") == []
        return
    assert rules(varied, "Ingress", NODES) == [(NODES, "-1", None)]
    assert (NODES, "-1", None) in rules(varied, "Egress", NODES)


def test_file_systems_admit_the_nodes_alone(stack: Any) -> None:
    assert rules(stack(), "Ingress", STORAGE) == [(NODES, "tcp", 2049)]
    assert rules(stack(), "Egress", STORAGE) == []


def test_lustre_has_its_ports(stack: Any) -> None:
    d = stack(lustreGib=1200)
    assert {port for _, _, port in rules(d, "Ingress", STORAGE)} == {2049, 988, 1018}
    assert {(other, port) for other, _, port in rules(d, "Egress", STORAGE)} == {(STORAGE, 988), (STORAGE, 1018)}


def test_nodes_reach_the_internet_through_nat_and_aws_alone_without(stack: Any) -> None:
    assert ("0.0.0.0/0", "-1", None) in rules(stack(), "Egress", NODES)
    assert rules(stack(egress="endpoints"), "Egress", NODES) == sorted(
        [
            (NODES, "-1", None),
            ("10.0.0.0/16", "tcp", 443),
            ("pl-s3", "tcp", 443),
            (STORAGE, "tcp", 2049),
        ],
        key=str,
    )


def test_each_group_on_a_shared_network_has_its_own(stack: Any, variations: dict[str, dict[str, Any]]) -> None:
    d = stack("astro", **variations["group"])
    assert {g.inputs["vpcId"] for g in d.of("SecurityGroup")} == {"vpc-shared"}
    assert {g.name for g in d.of("SecurityGroup")} == {"tutti-astro-nodes", "tutti-astro-storage"}
