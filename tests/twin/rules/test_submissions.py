"""What a submission comes to (B8, B9): pure, with made-up definitions."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutti.twin.api.errors import ApiError
from tutti.twin.api.submission import check_ranges, parse_range, resolve

CONTAINER = {
    "image": "x",
    "command": ["run", "Ref::a"],
    "environment": [{"name": "KEEP", "value": "1"}, {"name": "CHANGE", "value": "old"}],
    "resourceRequirements": [{"type": "VCPU", "value": "2"}, {"type": "MEMORY", "value": "100"}],
}


def definition(*targets: str, nodes: int = 4, **fields: Any) -> dict[str, Any]:
    ranges = [{"targetNodes": target, "container": CONTAINER} for target in targets or ("0:",)]
    properties = {"numNodes": nodes, "mainNode": 0, "nodeRangeProperties": ranges}
    return {"type": "multinode", "jobDefinitionArn": "arn:d:1", "nodeProperties": properties, **fields}


def submit(made: dict[str, Any], **request: Any) -> Any:
    return resolve({"jobName": "j", **request}, made, "queue")


def override(target: str = "0:", **container: Any) -> dict[str, Any]:
    return {"nodePropertyOverrides": [{"targetNodes": target, "containerOverrides": container}]}


@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 40))
def test_ranges_read_as_batch_writes_them(first: int, more: int, nodes: int) -> None:
    last = first + more
    assert parse_range(f"{first}:{last}", nodes) == (first, last)
    assert parse_range(f"{first}:", nodes) == (first, nodes - 1)
    assert parse_range(f":{last}", nodes) == (0, last)
    assert parse_range(":", nodes) == (0, nodes - 1)
    assert parse_range(str(first), nodes) == (first, first)


@pytest.mark.parametrize("nodes", [1, 2, 7, 1000])
def test_an_open_range_takes_any_number_of_nodes(nodes: int) -> None:
    spec = submit(definition(), nodeOverrides={"numNodes": nodes})
    assert spec.nodes == nodes
    assert (spec.ranges[0].first, spec.ranges[0].last) == (0, nodes - 1)


def test_an_open_range_that_starts_later_needs_more_nodes_than_that() -> None:
    made = definition("0:0", "1:")
    assert submit(made, nodeOverrides={"numNodes": 2}).nodes == 2
    with pytest.raises(ApiError, match="lower boundary"):
        submit(made, nodeOverrides={"numNodes": 1})


def test_the_main_node_must_be_among_the_nodes() -> None:
    made = definition()
    made["nodeProperties"]["mainNode"] = 2
    with pytest.raises(ApiError, match="main node index"):
        submit(made, nodeOverrides={"numNodes": 2})


def test_overrides_change_command_environment_and_resources_and_drop_what_is_empty() -> None:
    spec = submit(
        definition(),
        nodeOverrides=override(
            command=["other", "Ref::b"],
            environment=[
                {"name": "CHANGE", "value": "new"},
                {"name": "EMPTY", "value": ""},
                {"name": "R", "value": "Ref::b"},
            ],
            resourceRequirements=[{"type": "VCPU", "value": "1"}],
            instanceType="c7i.large",
        ),
        parameters={"b": "given"},
    )
    container = spec.container(3)
    assert container["command"] == ["other", "given"]
    assert container["environment"] == [
        {"name": "CHANGE", "value": "new"},
        {"name": "KEEP", "value": "1"},
        {"name": "R", "value": "Ref::b"},
    ]
    assert (spec.requirement(0, "VCPU"), spec.requirement(0, "MEMORY")) == (1, 100)
    assert spec.vcpus == 4
    assert container["instanceType"] == "c7i.large"


def test_the_old_vcpus_do_not_override_resource_requirements() -> None:
    assert submit(definition(), nodeOverrides=override(vcpus=9)).requirement(0, "VCPU") == 2


@pytest.mark.parametrize("field", ["image", "privileged", "user", "ulimits"])
def test_nothing_else_can_be_overridden(field: str) -> None:
    with pytest.raises(ApiError, match="cannot be overridden"):
        submit(definition(), nodeOverrides=override(**{field: "x"}))


def test_only_one_instance_type_can_be_asked_for() -> None:
    overrides = {"nodePropertyOverrides": [{"targetNodes": "0:", "instanceTypes": ["a", "b"]}]}
    with pytest.raises(ApiError, match="limited to one"):
        submit(definition(), nodeOverrides=overrides)


def test_nested_ranges_give_a_node_the_one_that_starts_latest() -> None:
    made = definition("0:", "2:3")
    spec = submit(made, nodeOverrides=override("2:3", command=["special"]))
    assert [spec.container(n)["command"][0] for n in range(4)] == ["run", "run", "special", "special"]


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        (("0:1",), "cover every node"),
        (("0:4",), "not within"),
        (("x",), "no range"),
        (("0:",) * 6, "1 to 5 ranges"),
        (("3:1",), "not within"),
    ],
)
def test_ranges_that_batch_would_refuse_are_refused(targets: tuple[str, ...], said: str) -> None:
    with pytest.raises(ApiError, match=said):
        check_ranges(definition(*targets)["nodeProperties"])


def test_a_submissions_retry_and_timeout_win_over_the_definitions() -> None:
    made = definition(retryStrategy={"attempts": 3}, timeout={"attemptDurationSeconds": 60}, parameters={"a": "1"})
    assert (submit(made).retry["attempts"], submit(made).timeout_s) == (3, 60)
    changed = submit(made, retryStrategy={"attempts": 1}, timeout={"attemptDurationSeconds": 90}, parameters={"a": "2"})
    assert (changed.retry["attempts"], changed.timeout_s, changed.container(0)["command"]) == (1, 90, ["run", "2"])
