"""Card: the client's own reader reads it, and it says what the stack has."""

from __future__ import annotations

import json
from typing import Any

from workload.contract import CARD_VERSION, Card


def test_the_card_is_one_that_the_client_reads(varied: Any, variation: dict[str, Any]) -> None:
    if not variation.get("pools", True):
        assert "card" not in varied.outputs
        return
    parameter = varied.one("ssm/parameter:Parameter")
    assert parameter.inputs["name"] == "/tutti/dev/card"
    card = Card.from_json(json.loads(parameter.inputs["value"]))
    assert card.version == CARD_VERSION
    assert {d.name for d in card.definitions} == {j.inputs["name"] for j in varied.of("JobDefinition")}
    assert {q.name for q in card.queues} == {q.inputs["name"] for q in varied.of("JobQueue")}
    assert card.to_json() == Card.from_json(varied.outputs["card"]).to_json()


def test_queues_come_in_the_order_of_the_pools_high_before_low(stack: Any) -> None:
    queues = stack().outputs["card"]["queues"]
    assert [q["name"] for q in queues] == ["dev-mpi-high", "dev-mpi-low", "dev-single-high", "dev-single-low"]
    assert [q["priority"] for q in queues] == [10, 1, 10, 1]


def test_a_node_is_told_by_cores_and_by_what_a_job_may_ask(stack: Any) -> None:
    gang = stack().outputs["card"]["queues"][0]
    assert (gang["vcpus"], gang["cores"], gang["memory_mib"]) == (8, 4, 15073)
    assert (gang["zone"], gang["capacity"], gang["instance_types"]) == ("us-west-2a", "on-demand", ["c7i.2xlarge"])


def test_cards_that_drop_idle_connections_are_told(stack: Any) -> None:
    pools = [{"name": "mpi", "kind": "mpi", "instance_types": ["c8i.2xlarge"]}]
    assert {q["nitro"] for q in stack(pools=pools).outputs["card"]["queues"]} == {6}


def test_definitions_name_their_pool_and_their_images_mpis(stack: Any, variations: dict[str, dict[str, Any]]) -> None:
    card = stack(**variations["three-pools"]).outputs["card"]
    found = {d["name"]: d for d in card["definitions"]}
    assert (found["dev-cuda-gpu-mpi"]["pool"], found["dev-cuda-gpu-mpi"]["mpis"]) == ("gpu", ["openmpi"])
    assert (found["dev-mpi"]["pool"], found["dev-mpi"]["mpis"]) == ("mpi", ["mpich", "openmpi"])


def test_the_grace_is_what_every_pool_gives(stack: Any, variations: dict[str, dict[str, Any]]) -> None:
    assert stack(**variations["three-pools"]).outputs["card"]["grace_s"] == 25
