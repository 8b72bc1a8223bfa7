"""The contract between the parts: codes, paths on the shared folder, the card."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workload.contract import (
    CARD_VERSION,
    LOG_LINE,
    Card,
    CardDefinition,
    CardQueue,
    CardTwin,
    ExitCode,
    Mpi,
    PoolKind,
    Variable,
    reported_code,
    resolve_shared,
)


def card() -> Card:
    queue = CardQueue(
        name="q",
        arn="arn:q",
        pool="cpu",
        kind=PoolKind.MPI,
        priority=10,
        instance_types=("c7i.2xlarge",),
        zone="us-east-1a",
        max_vcpus=256,
        vcpus=8,
        cores=4,
        memory_mib=15000,
        nitro=4,
    )
    definition = CardDefinition(
        name="mpi",
        arn="arn:mpi",
        kind="mpi",
        image="default",
        image_uri="i@sha256:0",
        mpis=(Mpi.MPICH, Mpi.OPENMPI),
        nodes=2,
        timeout_s=3600,
        attempts=3,
        vcpus=8,
        memory_mib=15000,
        parameters={"a": "b"},
    )
    return Card(
        stack="dev",
        group="dev",
        region="us-east-1",
        account="123456789012",
        queues=(queue,),
        definitions=(definition,),
        bucket="b",
        prefix="dev/",
        file_system="fs-1",
        log_group="/g",
        twin=CardTwin(endpoint="http://127.0.0.1:1", access_key_id="a", secret_access_key="s", isolation="process"),
    )


def test_every_code_has_a_meaning() -> None:
    assert all(code.meaning for code in ExitCode)


def test_codes_of_lost_nodes_are_retried_and_those_of_users_are_not() -> None:
    assert {code for code in ExitCode if code.retried} == {220, 221, 223, 224}


@given(st.integers(0, 255))
def test_no_program_can_speak_in_our_name(code: int) -> None:
    reported = reported_code(code)
    assert reported not in range(210, 230)
    assert not str(reported).startswith("22")
    assert (reported == 0) == (code == 0)


def test_a_card_survives_json() -> None:
    assert Card.from_json(json.loads(json.dumps(card().to_json()))) == card()


def test_a_card_of_a_newer_stack_may_say_more() -> None:
    data = json.loads(json.dumps(card().to_json()))
    data["new"] = data["queues"][0]["new"] = 1
    assert Card.from_json(data) == card()


def test_a_card_of_another_version_is_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match=f"version 99.*reads version {CARD_VERSION}.*pip install"):
        Card.from_json({**card().to_json(), "version": 99})


def test_a_card_that_misses_a_key_is_refused() -> None:
    data = card().to_json()
    del data["queues"][0]["cores"]
    with pytest.raises(ValueError, match="cores"):
        Card.from_json(data)


def test_shared_paths_stay_on_the_shared_folder() -> None:
    environ = {Variable.SHARED.value: "/mnt/efs/"}
    assert resolve_shared("shared:input/x", environ) == "/mnt/efs/input/x"
    assert resolve_shared("/elsewhere", environ) == "/elsewhere"
    with pytest.raises(ValueError, match="leaves the shared folder"):
        resolve_shared("shared:../secret", environ)
    with pytest.raises(ValueError, match="TUTTI_SHARED is not set"):
        resolve_shared("shared:x", {})


@pytest.mark.parametrize(
    ("line", "parts"), [("[3:12] a [b] c", ("3", "12", "a [b] c")), ("[0] tutti: up", ("0", None, "tutti: up"))]
)
def test_log_lines_tell_node_and_rank(line: str, parts: tuple[str, str | None, str]) -> None:
    match = LOG_LINE.fullmatch(line)
    assert match is not None
    assert match.group("node", "rank", "text") == parts
