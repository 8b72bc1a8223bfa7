"""Job definitions: golden documents that fit Batch's own model, and hold what gangs, singles and Fargate need."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.validate import ParamValidator

from workload.contract import Limits, Variable

GOLDEN = Path(__file__).with_name("golden")
MODEL: Any = (
    boto3.client("batch", region_name="us-east-1")
    .meta.service_model.operation_model("RegisterJobDefinition")
    .input_shape
)
JSON_KEYS = ("nodeProperties", "containerProperties")


def request(made: Any) -> dict[str, Any]:
    """What the provider sends for a JobDefinition resource."""
    inputs = made.inputs
    retry = inputs["retryStrategy"]
    found = {
        "jobDefinitionName": inputs["name"],
        "type": inputs["type"],
        "retryStrategy": {"attempts": retry["attempts"], "evaluateOnExit": retry["evaluateOnExits"]},
        "timeout": inputs["timeout"],
        "propagateTags": inputs["propagateTags"],
        "tags": inputs["tags"],
        **{key: made.json(key) for key in JSON_KEYS if inputs.get(key)},
    }
    return found | {key: inputs[key] for key in ("parameters", "platformCapabilities") if inputs.get(key)}


def requests(deployed: Any) -> dict[str, dict[str, Any]]:
    return {made.inputs["name"]: request(made) for made in deployed.of("JobDefinition")}


@pytest.mark.parametrize("name", ["dev", "three-pools", "fargate", "lustre"])
def test_definitions_are_the_golden_ones(name: str, stack: Any, variations: dict[str, dict[str, Any]]) -> None:
    """A change here changes what every job gets: look at the difference, then GOLDEN=write."""
    found = requests(stack(**variations[name]))
    path = GOLDEN / f"definitions-{name}.json"
    if os.environ.get("GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    assert found == json.loads(path.read_text())


def test_every_definition_fits_batchs_model(varied: Any) -> None:
    for name, asked in requests(varied).items():
        assert ParamValidator().validate(asked, MODEL).generate_report() == "", name


def test_the_model_bites() -> None:
    assert ParamValidator().validate({"jobDefinitionName": 1}, MODEL).generate_report()


def test_every_definition_is_within_batchs_limits(varied: Any) -> None:
    for asked in requests(varied).values():
        assert len(json.dumps({k: asked[k] for k in JSON_KEYS if k in asked})) < Limits.DEFINITION_BYTES
        assert len(asked["retryStrategy"]["evaluateOnExit"]) <= Limits.RETRY_CONDITIONS


def container(deployed: Any, name: str) -> dict[str, Any]:
    asked = requests(deployed)[name]
    if "nodeProperties" in asked:
        (node,) = asked["nodeProperties"]["nodeRangeProperties"]
        assert node["targetNodes"] == "0:"
        found: dict[str, Any] = node["container"]
        return found
    only: dict[str, Any] = asked["containerProperties"]
    return only


def environment(deployed: Any, name: str) -> dict[str, str]:
    return {pair["name"]: pair["value"] for pair in container(deployed, name)["environment"]}


def test_names_leave_out_the_first_image_and_pool(stack: Any, variations: dict[str, dict[str, Any]]) -> None:
    assert set(requests(stack())) == {"dev-mpi", "dev-mpi-parameterized", "dev-single", "dev-array"}
    three = set(requests(stack(**variations["three-pools"])))
    assert {"dev-cuda-gpu-mpi", "dev-cuda-mpi", "dev-mpi", "dev-single"} <= three
    two = [{"name": "mpi", "kind": "mpi"}, {"name": "big", "kind": "mpi", "instance_types": ["c7i.8xlarge"]}]
    assert {"dev-mpi", "dev-big-mpi"} <= set(requests(stack(pools=two)))


def test_the_defaults_of_the_issue(stack: Any) -> None:
    asked = requests(stack())
    assert asked["dev-mpi"]["nodeProperties"]["numNodes"] == 2
    assert asked["dev-mpi"]["timeout"] == {"attemptDurationSeconds": 3600}
    assert asked["dev-mpi-parameterized"]["nodeProperties"]["numNodes"] == 4
    assert asked["dev-mpi-parameterized"]["timeout"] == {"attemptDurationSeconds": 7200}
    assert asked["dev-mpi-parameterized"]["parameters"] == {
        "inputDataPath": "/mnt/efs/input",
        "outputDataPath": "/mnt/efs/output",
        "computeIntensity": "medium",
    }
    needs = container(stack(), "dev-single")["resourceRequirements"]
    assert {n["type"]: n["value"] for n in needs} == {"VCPU": "4", "MEMORY": "8192"}
    assert {a["retryStrategy"]["attempts"] for a in asked.values()} == {3}
    assert all(a["propagateTags"] for a in asked.values())


def test_parameters_stand_in_the_command_alone(stack: Any) -> None:
    document = container(stack(), "dev-mpi-parameterized")
    assert document["command"][-6:] == [
        *("--input", "Ref::inputDataPath"),
        *("--output", "Ref::outputDataPath"),
        *("--intensity", "Ref::computeIntensity"),
    ]
    assert "Ref::" not in json.dumps(document["environment"])


def test_a_gang_gets_what_the_instance_offers_a_task(stack: Any) -> None:
    """8 vCPUs and 0.92 of 16,384 MiB of a c7i.2xlarge, half of it as shared memory."""
    document = container(stack(), "dev-mpi")
    assert {n["type"]: n["value"] for n in document["resourceRequirements"]} == {"VCPU": "8", "MEMORY": "15073"}
    assert document["linuxParameters"]["sharedMemorySize"] == 7536


def test_efa_and_gpus_where_the_pool_has_them(stack: Any, variations: dict[str, dict[str, Any]]) -> None:
    three = stack(**variations["three-pools"])
    gpu = container(three, "dev-cuda-gpu-mpi")
    assert [d["hostPath"] for d in gpu["linuxParameters"]["devices"]] == [
        f"/dev/infiniband/uverbs{i}" for i in range(4)
    ]
    assert {"type": "GPU", "value": "8"} in gpu["resourceRequirements"]
    assert environment(three, "dev-cuda-gpu-mpi")[Variable.GPUS] == "8"
    assert environment(three, "dev-mpi")[Variable.EFA] == "1"
    assert Variable.EFA not in environment(three, "dev-single")


def test_the_place_is_told_as_imds_is_blocked(stack: Any) -> None:
    told = environment(stack(), "dev-mpi")
    assert told["AWS_DEFAULT_REGION"] == "us-west-2"
    assert told[Variable.POOL] == "mpi"
    assert told[Variable.ZONE] == "us-west-2a"
    assert told[Variable.INSTANCE_TYPE] == "c7i.2xlarge"
    assert Variable.ZONE not in environment(stack(), "dev-single")


def test_how_often_a_pools_nodes_fail_is_told_where_it_is_known(stack: Any) -> None:
    pools = [{"name": "mpi", "kind": "mpi", "node_mtbf_days": 200}, {"name": "single", "kind": "single"}]
    told = stack(pools=pools)
    assert environment(told, "dev-mpi")[Variable.NODE_MTBF] == str(200 * 86_400)
    assert Variable.NODE_MTBF not in environment(told, "dev-single")


def test_a_longer_time_to_stop_is_a_longer_grace(stack: Any, variations: dict[str, dict[str, Any]]) -> None:
    assert environment(stack(**variations["three-pools"]), "dev-mpi")["TUTTI_GRACE"] == "115"
    assert "TUTTI_GRACE" not in environment(stack(), "dev-mpi")


def test_fargate_gets_nothing_that_it_refuses(stack: Any, variations: dict[str, dict[str, Any]]) -> None:
    document = container(stack(**variations["fargate"]), "dev-single")
    assert not {"privileged", "linuxParameters", "ulimits"} & set(document)
    assert all("host" not in volume for volume in document["volumes"])
    assert document["runtimePlatform"]["cpuArchitecture"] == "X86_64"


def test_lustre_is_a_volume_of_its_own(stack: Any, variations: dict[str, dict[str, Any]]) -> None:
    paths = {m["containerPath"] for m in container(stack(**variations["lustre"]), "dev-mpi")["mountPoints"]}
    assert paths == {"/mnt/efs", "/scratch", "/mnt/lustre"}


def test_a_shell_only_where_the_operator_allows_it(stack: Any) -> None:
    assert "enableExecuteCommand" not in container(stack(), "dev-mpi")
    assert container(stack(debug=True), "dev-mpi")["enableExecuteCommand"] is True
