"""The documents that Batch is given fit its API model, and hold what a gang needs."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase

import boto3
import pytest
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st

from workload.contract import ExitCode, Limits, Variable
from workload.documents import (
    DEFAULT_COMMANDS,
    Container,
    Volumes,
    container_properties,
    name_values,
    node_properties,
    retry_strategy,
    timeout,
    usable_memory_mib,
)

MODEL = (
    boto3.client("batch", region_name="us-east-1")
    .meta.service_model.operation_model("RegisterJobDefinition")
    .input_shape
)


def container(**changes: object) -> Container:
    given_values = {
        "image": "repository@sha256:0",
        "command": DEFAULT_COMMANDS["mpi"],
        "vcpus": 8,
        "memory_mib": 14000,
        "efa_devices": 1,
        "job_role_arn": "arn:aws:iam::123456789012:role/job",
        "execution_role_arn": "arn:aws:iam::123456789012:role/exec",
        "secret_arn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:s",
        "environment": {Variable.STACK.value: "dev", "EMPTY": ""},
        "volumes": Volumes(
            file_system_id="fs-1", access_point_id="fsap-1", scratch_host_path="/scratch", lustre_host_path="/lustre"
        ),
        "log_group": "/tutti/dev",
        "log_prefix": "mpi",
        "region": "us-east-1",
    }
    return Container(**{**given_values, **changes})  # type: ignore[arg-type]  # a test's shorthand: Container checks the names


def report(**definition: object) -> str:
    assert MODEL is not None
    text: str = ParamValidator().validate({"jobDefinitionName": "d", **definition}, MODEL).generate_report()
    return text


def test_multi_node_definitions_fit_the_api() -> None:
    assert not report(
        type="multinode",
        nodeProperties=node_properties(container(), nodes=4),
        retryStrategy=retry_strategy(3, 7),
        timeout=timeout(60),
    )


@pytest.mark.parametrize("fargate", [False, True])
def test_single_definitions_fit_the_api(fargate: bool) -> None:
    assert not report(type="container", containerProperties=container_properties(container(fargate=fargate)))


def test_the_validator_bites() -> None:
    assert report(type="multinode", nodeProperties={**node_properties(container(), nodes=4), "numNodes": "four"})


def test_a_definition_is_far_below_the_limit_of_the_api() -> None:
    assert len(json.dumps(node_properties(container(), nodes=1000))) < Limits.DEFINITION_BYTES / 4


def test_one_open_range_so_that_nodes_can_be_overridden() -> None:
    assert [r["targetNodes"] for r in node_properties(container(), nodes=4)["nodeRangeProperties"]] == ["0:"]


def test_the_node_is_its_own_init_and_never_privileged() -> None:
    document = container_properties(container())
    assert document["privileged"] is False
    assert document["linuxParameters"]["initProcessEnabled"] is False
    assert document["command"][:2] == ["tutti-node", "--"]


def test_the_secret_comes_from_secrets_manager_never_in_plain() -> None:
    document = container_properties(container())
    assert [s["name"] for s in document["secrets"]] == [Variable.SECRET]
    assert Variable.SECRET not in {pair["name"] for pair in document["environment"]}


def test_parameters_stand_in_the_command_alone() -> None:
    document = container_properties(container(command=DEFAULT_COMMANDS["mpi-parameterized"]))
    assert {x for x in document["command"] if x.startswith("Ref::")} == {
        "Ref::inputDataPath",
        "Ref::outputDataPath",
        "Ref::computeIntensity",
    }
    assert "Ref::" not in json.dumps(document["environment"])


def action(code: int, reason: str = "", status_reason: str = "", retry_on: int | None = None) -> str:
    """What Batch does, by its own rule: the first condition all of whose globs match; RETRY where none does."""
    said = {"onExitCode": str(code), "onReason": reason, "onStatusReason": status_reason}
    for rule in retry_strategy(3, retry_on)["evaluateOnExit"]:
        if all(fnmatchcase(said[name], glob) for name, glob in rule.items() if name != "action"):
            return str(rule["action"])
    return "RETRY"


@given(st.integers(1, 255).filter(lambda code: code not in range(210, 230) and code != 22))
def test_a_failure_of_the_users_own_is_not_retried_unless_asked(code: int) -> None:
    assert action(code) == "EXIT"
    assert action(code, retry_on=code) == "RETRY"


@pytest.mark.parametrize("code", ExitCode)
def test_our_codes_are_retried_as_they_say(code: ExitCode) -> None:
    assert (action(code) == "RETRY") == code.retried


def test_lost_hosts_and_failed_pulls_are_retried() -> None:
    assert action(1, status_reason="Host EC2 (instance i-1) terminated.") == "RETRY"
    assert action(1, reason="CannotPullContainerError: x") == "RETRY"


def test_five_conditions_at_most() -> None:
    assert len(retry_strategy(10, 42)["evaluateOnExit"]) == Limits.RETRY_CONDITIONS


@pytest.mark.parametrize("attempts", [0, 11])
def test_attempts_outside_the_limits_are_refused(attempts: int) -> None:
    with pytest.raises(ValueError, match="allowed: 1-10"):
        retry_strategy(attempts)


def test_a_timeout_below_a_minute_is_refused() -> None:
    with pytest.raises(ValueError, match="60 s or more"):
        timeout(59)


def test_empty_values_are_left_out_as_batch_drops_them() -> None:
    assert name_values({"b": "1", "a": ""}) == [{"name": "b", "value": "1"}]


@given(st.integers(1, 10**7))
def test_a_job_never_asks_for_all_the_memory(mib: int) -> None:
    assert usable_memory_mib(mib) <= 0.92 * mib
