"""The configuration: its schema, and every bad value refused before a resource is registered, all at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from infra.access import AccessPoint
from infra.config import Keys, check
from infra.facts import Facts
from infra.image_config import ImageConfig
from infra.pool_config import PoolConfig
from infra.reading import ConfigError, camel
from tests.infra import pulumi_config
from tests.infra.mocked_aws import ROOT, VPC
from workload.documents import DEFAULT_PARAMETERS

Checked = Callable[..., Any]
TYPES = {"str": "string", "int": "integer", "bool": "boolean", "IPv4Network": "string"}
ENUMS = {"Egress", "LustreType", "Intensity"}


def refused(checked: Checked, name: str = "dev", **keys: Any) -> list[str]:
    """What is said of a configuration that is refused."""
    with pytest.raises(ConfigError) as caught:
        checked(name, **keys)
    return [str(problem) for problem in caught.value.problems]


def pool(**changes: Any) -> list[dict[str, Any]]:
    return [{"name": "mpi", "kind": "mpi", **changes}]


def single(**changes: Any) -> list[dict[str, Any]]:
    return [{"name": "single", "kind": "single", **changes}]


def project() -> dict[str, Any]:
    from pathlib import Path

    import yaml

    loaded: dict[str, Any] = yaml.safe_load((Path(__file__).resolve().parents[2] / "Pulumi.yaml").read_text())
    return loaded


def test_schema_and_reader_know_the_same_keys_and_types() -> None:
    config = {k: v for k, v in project()["config"].items() if ":" not in k}
    assert {camel(f.name) for f in fields(Keys)} == set(config)
    for f in fields(Keys):
        said = str(f.type)
        expected = (
            "array"
            if said.startswith("tuple")
            else "object"
            if said.startswith("Mapping")
            else TYPES.get(said, "string")
        )
        assert config[camel(f.name)]["type"] == expected, f.name
        assert said in ENUMS or said in TYPES or expected in {"array", "object"}, said


def test_every_key_has_a_default_and_a_meaning() -> None:
    for key, entry in project()["config"].items():
        assert entry.get("value") or ("default" in entry and len(entry["description"]) > 20), key


@pytest.mark.parametrize(
    ("key", "cls"), [("pools", PoolConfig), ("images", ImageConfig), ("accessPoints", AccessPoint)]
)
def test_the_schema_names_every_field_of_an_object(key: str, cls: type) -> None:
    text = project()["config"][key]["description"]
    assert [f.name for f in fields(cls) if f.name not in text] == []


def test_defaults_of_parameters_are_the_twins() -> None:
    config = project()["config"]
    assert {name: config[name]["default"] for name in DEFAULT_PARAMETERS} == dict(DEFAULT_PARAMETERS)


def test_a_stack_of_a_group_needs_no_key_but_its_name(stack: Any) -> None:
    card = stack("astro").outputs["card"]
    assert (card["stack"], card["group"], card["prefix"]) == ("astro", "astro", "astro/")


def test_all_problems_are_told_at_once_and_nothing_is_registered(checked: Checked) -> None:
    bad: dict[str, Any] = {
        "mpiNodes": 1001,
        "egress": "vpn",
        "nonsense": 1,
        "attempts": "three",
        "logRetentionDays": 31,
    }
    problems = refused(checked, **bad)
    assert {p.split(":")[0] for p in problems} == {"mpiNodes", "egress", "nonsense", "attempts", "logRetentionDays"}
    assert all("allowed: " in p and "mend with: pulumi config" in p for p in problems)


def test_ranges_and_contradictions_are_told_together(checked: Checked) -> None:
    problems = refused(checked, mpiNodes=1001, attempts=0, logRetentionDays=31, budgetStops=True, pools=pool(efa=True))
    assert {p.split(":")[0] for p in problems} == {
        "mpiNodes",
        "attempts",
        "logRetentionDays",
        "budgetStops",
        "pools[0].efa",
    }


def test_the_command_that_mends_is_one_that_a_shell_takes(checked: Checked) -> None:
    (problem,) = refused(checked, pools=pool(zone="eu-west-1a"))
    assert problem.endswith("mend with: pulumi config set --path 'pools[0].zone' us-west-2a")
    (problem,) = refused(checked, nonsense=1)
    assert problem.endswith("mend with: pulumi config rm nonsense")


GIVEN = "registry.example/x@sha256:" + "0" * 64
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("an unknown key", {"vpcCIDR": "10.0.0.0/16"}, "vpcCIDR: got '10.0.0.0/16'; allowed: one of the keys"),
    ("a wrong type", {"mpiNodes": "two"}, "mpiNodes: got 'two'; allowed: an integer"),
    (
        "a wrong type in an object",
        {"pools": pool(max_vcpus="many")},
        "pools[0].max_vcpus: got 'many'; allowed: an integer",
    ),
    ("a number for a boolean", {"debug": 1}, "debug: got 1; allowed: true or false"),
    ("a boolean for a number", {"attempts": True}, "attempts: got True; allowed: an integer"),
    ("an unknown field", {"pools": pool(type="x")}, "pools[0].type: got 'x'; allowed: one of the keys ami,"),
    ("a missing field", {"pools": [{"name": "x"}]}, "pools[0].kind: got no value"),
    ("an unknown kind", {"pools": pool(kind="cpu")}, "pools[0].kind: got 'cpu'; allowed: mpi or gpu or single"),
    ("a network of the hosts' own", {"vpcCidr": "172.17.0.0/16"}, "does not overlap 172.17.0.0/16"),
    ("host bits", {"vpcCidr": "10.0.0.1/16"}, "vpcCidr: got '10.0.0.1/16'; allowed: a CIDR whose host bits are 0"),
    ("a small network", {"vpcCidr": "10.0.0.0/24"}, "vpcCidr: got '10.0.0.0/24'; allowed: /16 to /22"),
    ("a pool twice", {"pools": pool() * 2}, "pools[1].name: got 'mpi'; allowed: a name that no other pool has"),
    ("a pool like an image", {"pools": pool(name="tutti")}, "a name that no image has"),
    ("a zone of another region", {"zones": ["eu-west-1a"]}, "zones: got 'eu-west-1a'; allowed: zones of us-west-2"),
    ("a zone twice", {"zones": ["us-west-2a", "us-west-2a"]}, "each zone once"),
    ("a zone without a subnet", {"pools": pool(zone="us-west-2c")}, "a zone with a subnet: us-west-2a, us-west-2b"),
    ("1,001 nodes", {"mpiNodes": 1001}, "mpiNodes: got 1001; allowed: 1-1000"),
    ("no nodes", {"parameterizedNodes": 0}, "parameterizedNodes: got 0; allowed: 1-1000"),
    ("11 attempts", {"attempts": 11}, "attempts: got 11; allowed: 1-10"),
    ("too much memory", {"singleMemoryMib": 65536}, "singleMemoryMib: got 65536; allowed: 1-30146"),
    ("too many vCPUs", {"singleVcpus": 16}, "singleVcpus: got 16; allowed: 1-8"),
    ("an image without tag", {"images": [{"name": "x", "uri": "registry.example/x"}]}, "an image with a tag"),
    ("an image twice", {"images": [{"name": "x"}, {"name": "x"}]}, "a name that no other image has"),
    (
        "an image both ways",
        {"images": [{"name": "x", "uri": GIVEN, "shared": True}]},
        "false where `uri` names an image",
    ),
    ("a shared image of nobody", {"images": [{"name": "x", "shared": True}]}, "false, as `shared` names no stack"),
    ("no image", {"images": []}, "one image or more"),
    ("a platform", {"images": [{"name": "x", "platform": "linux/riscv"}]}, "allowed: linux/amd64 or linux/arm64"),
    (
        "an MPI",
        {"images": [{"name": "x", "mpi": ["lam"]}]},
        "images[0].mpi[0]: got 'lam'; allowed: mpich or openmpi or intel",
    ),
    ("Spot gangs", {"pools": pool(spot_percent=50)}, "wait RUNNABLE for ever"),
    ("gangs on Fargate", {"pools": pool(fargate=True)}, "wait RUNNABLE for ever"),
    (
        "two types in a gang",
        {"pools": pool(instance_types=["c7i.2xlarge", "c6i.2xlarge"])},
        "all nodes of a gang are alike",
    ),
    (
        "EFA where there is none",
        {"pools": pool(efa=True)},
        "pools[0].efa: got True; allowed: false: c7i.2xlarge has no EFA",
    ),
    (
        "EFA without a way to its installer",
        {"egress": "endpoints", "pools": pool(instance_types=["hpc7a.96xlarge"], efa=True)},
        "an AMI with EFA in it",
    ),
    (
        "two EFAs on hpc6id",
        {"pools": pool(instance_types=["hpc6id.32xlarge"], efa=True, efa_interfaces=2)},
        "0-1: hpc6id.32xlarge has 2 network card(s) and 2 interfaces, of which the task needs one",
    ),
    ("EFA for singles", {"pools": single(efa=True)}, "false: only gangs use it"),
    (
        "no enhanced networking",
        {"pools": single(instance_types=["t2.2xlarge"])},
        "types with enhanced networking (ENA)",
    ),
    ("no placement group", {"pools": pool(instance_types=["t3.2xlarge"])}, "a cluster placement group takes"),
    ("an unknown type", {"pools": pool(instance_types=["c99.large"])}, "instance types that the region offers"),
    ("a GPU pool without one", {"pools": pool(kind="gpu", instance_types=["c7i.2xlarge"])}, "types with a GPU"),
    ("a GPU pool without a type", {"pools": pool(kind="gpu")}, "one instance type: all nodes"),
    ("another architecture", {"pools": pool(instance_types=["hpc7g.16xlarge"])}, "no image is built for linux/arm64"),
    (
        "an image of another architecture",
        {"pools": pool(instance_types=["hpc7g.16xlarge"], images=["tutti"])},
        "images for arm64, as hpc7g.16xlarge is",
    ),
    (
        "two architectures",
        {"pools": single(instance_types=["c7i.2xlarge", "c7g.2xlarge"])},
        "types of one architecture",
    ),
    (
        "an image that is not there",
        {"pools": pool(images=["cuda"])},
        "pools[0].images: got 'cuda'; allowed: names of images",
    ),
    ("no instance store", {"pools": pool(scratch="instance-store")}, "disk: c7i.2xlarge has no instance store"),
    ("a small disk", {"pools": pool(disk_gib=8)}, "pools[0].disk_gib: got 8; allowed: 30-16384"),
    ("an AMI", {"pools": pool(ami="al2023")}, "pools[0].ami: got 'al2023'; allowed: an AMI's id"),
    ("a reservation", {"pools": pool(reservation="mine")}, "a capacity reservation's id or a resource group's ARN"),
    ("more nodes than addresses", {"vpcCidr": "10.0.0.0/22", "pools": pool(max_vcpus=1024)}, "addresses for 29 nodes"),
    ("Spot and Fargate", {"pools": single(fargate=True, spot_percent=50)}, "alone: Fargate has no"),
    (
        "a size that Fargate lacks",
        {"pools": single(fargate=True), "singleVcpus": 3},
        "singleVcpus: got 3; allowed: 1, 2, 4, 8, 16",
    ),
    (
        "memory that Fargate lacks",
        {"pools": single(fargate=True), "singleMemoryMib": 9000},
        "8192-30720 in steps of 1024, with 4 vCPUs on Fargate",
    ),
    ("a VPC without subnets", {"vpcId": "vpc-1"}, "both vpcId and subnetIds, or neither"),
    (
        "a subnet of another VPC",
        {"vpcId": "vpc-1", "subnetIds": ["subnet-a"]},
        "subnetIds: got 'subnet-a'; allowed: subnets of vpc-1",
    ),
    ("a public subnet", {"vpcId": VPC, "subnetIds": ["subnet-c"]}, "nothing leads out of a public one"),
    ("an unknown VPC", {"vpcId": "vpc-1", "subnetIds": ["subnet-a"]}, "vpcId: got 'vpc-1'; allowed: a VPC of this"),
    (
        "a VPC without names",
        {"vpcId": "vpc-0nameless000000000", "subnetIds": ["subnet-a"]},
        "DNS support and DNS host names on",
    ),
    ("an unknown subnet", {"vpcId": "vpc-1", "subnetIds": ["subnet-z"]}, "subnets of vpc-1"),
    (
        "two subnets of a zone",
        {"vpcId": "vpc-0123456789abcdef0", "subnetIds": ["subnet-b", "subnet-b2"]},
        "one subnet a zone; subnet-b is in us-west-2b already",
    ),
    ("a shared stack's name", {"shared": "shared"}, "organization/project/stack"),
    ("sharing and taking", {"shared": "a/tutti/s", "pools": []}, "a pool or more"),
    ("an audit in a group's stack", {"audit": True}, "an account has one recorder a region"),
    ("Lustre's sizes", {"lustreGib": 1000}, "0, 1200 or a multiple of 2400"),
    ("EFS's throughput", {"efsThroughputMibps": 4000}, "0-3414"),
    ("EFS's days", {"efsLifecycleDays": 8}, "efsLifecycleDays: got 8; allowed: one of 0, 1, 7, 14, 30"),
    ("retention", {"logRetentionDays": 31}, "logRetentionDays: got 31; allowed: one of 1, 3, 5, 7, 14, 30"),
    ("an intensity", {"computeIntensity": "hot"}, "computeIntensity: got 'hot'; allowed: medium or low or high"),
    ("a relative path", {"inputDataPath": "input"}, "an absolute path in the container"),
    ("an address", {"alarmAddresses": ["ops"]}, "e-mail addresses"),
    ("11 addresses", {"budgetUsd": 5, "alarmAddresses": [f"a{i}@example.org" for i in range(11)]}, "10 addresses at"),
    ("a budget that stops nobody", {"budgetUsd": 5, "budgetStops": True}, "roles of budgetStopRoles"),
    ("AWS's tags", {"tags": {"aws:x": "y"}}, "tag keys that do not start with aws:"),
    ("a group's name", {"group": "Astro Physics"}, "group: got Astro Physics; allowed: a lower-case letter"),
    ("root's access point", {"accessPoints": [{"name": "x", "path": "/x", "uid": 0}]}, "not root"),
    ("a path outside", {"accessPoints": [{"name": "x", "path": "/a/../b"}]}, "at most four folders"),
    ("the group's own folder", {"accessPoints": [{"name": "x", "path": "/dev"}]}, "not /dev"),
    ("a mode", {"accessPoints": [{"name": "x", "path": "/x", "mode": "rwx"}]}, "an octal mode"),
]


@pytest.mark.parametrize(("keys", "said"), [pytest.param(keys, said, id=id_) for id_, keys, said in BAD])
def test_bad_input_is_refused(checked: Checked, keys: dict[str, Any], said: str) -> None:
    problems = refused(checked, **keys)
    assert any(said in problem for problem in problems), problems


def own(values: dict[str, Any]) -> dict[str, str]:
    """A stack's values as the engine hands them over."""
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in values.items()}


@pytest.mark.parametrize("keys", [pytest.param(keys, id=id_) for id_, keys, _ in BAD])
def test_the_command_that_mends_does(keys: dict[str, Any], facts: Facts) -> None:
    """What it sets is of the key's type, else Pulumi itself would refuse it; and what was told is told no more."""
    schema = {k: v for k, v in project()["config"].items() if ":" not in k}
    values = {k: v["default"] for k, v in schema.items()} | keys
    with pytest.raises(ConfigError) as caught:
        check(own(values), facts, "dev")
    for problem in caught.value.problems:
        after = {k: v["default"] for k, v in schema.items()} | pulumi_config.apply(problem.fix, values)
        changed = [key for key in schema if after[key] != values[key]]
        assert all(pulumi_config.fits(schema[key], after[key]) for key in changed), problem
        if "..." in problem.fix:
            continue  # only its author knows the subnet, the AMI
        left = []
        try:
            check(own(after), facts, "dev")
        except ConfigError as error:
            left = [str(p) for p in error.problems]
        assert str(problem) not in left, problem


@pytest.mark.parametrize(
    ("key", "value", "taken"),
    [("pools", "[]", False), ("tags", "{}", False), ("budgetUsd", "2000", True), ("debug", "true", True)],
)
def test_a_plain_set_makes_a_string(key: str, value: str, *, taken: bool) -> None:
    """So the check above bites."""
    after = pulumi_config.apply(f"pulumi config set {key} '{value}'", {})
    assert pulumi_config.fits(project()["config"][key], after[key]) == taken


def documented() -> list[Any]:
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
    lines = [line.split("#")[0].strip() for page in pages for line in page.read_text().splitlines()]
    return sorted({line for line in lines if line.startswith(("pulumi config set ", "pulumi config rm "))})


@pytest.mark.parametrize("line", documented())
def test_what_the_guides_set_is_taken(line: str) -> None:
    schema = {k: v for k, v in project()["config"].items() if ":" not in k}
    own_values: dict[str, Any] = {} if " set " in line else {"pools": [{}, {}, {}]}
    after = pulumi_config.apply(line, own_values)
    assert after != own_values
    assert all(pulumi_config.fits(schema[key], value) for key, value in after.items())


def test_a_stack_name_that_aws_would_not_take_is_refused(checked: Checked) -> None:
    assert any(p.startswith("stack: got 'Astro_1'") for p in refused(checked, "Astro_1", group="astro"))


def test_a_key_without_a_value_is_named(facts: Facts) -> None:
    with pytest.raises(ConfigError, match="egress: got no value"):
        check({"group": "x"}, facts, "dev")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"pools": pool(instance_types=["c99.large"])}, "c99.large"),
        ({"vpcId": "vpc-1", "subnetIds": ["subnet-z"]}, "subnet-z"),
        ({"vpcId": "vpc-1", "subnetIds": ["subnet-a"]}, "vpc-1"),
    ],
)
def test_the_program_registers_nothing_when_it_refuses(stack: Any, keys: dict[str, Any], said: str) -> None:
    """Against the provider's own way of saying that it knows no such thing."""
    registered = []
    with pytest.raises(ConfigError, match=said):
        registered.append(stack(**keys))
    assert not registered


def test_values_that_are_just_allowed(stack: Any) -> None:
    d = stack(
        mpiNodes=1000,
        attempts=10,
        vpcCidr="10.0.0.0/22",
        singleMemoryMib=30146,
        pools=[*pool(max_vcpus=232), *single(spot_percent=0)],
    )
    assert json.loads(d.one("JobDefinition", "dev-mpi").inputs["nodeProperties"])["numNodes"] == 29
