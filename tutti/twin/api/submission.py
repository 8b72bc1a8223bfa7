"""A submission and its definition, put together as Batch does it (B8, B9, B11, B13). Pure: values in, a `JobSpec` out.

Raises `ApiError` with the one thing that is wrong first, as the service does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tutti.twin.api.errors import ApiError
from tutti.twin.jobs import JobSpec, Kind, NodeRange
from workload.contract import BATCH_PREFIX, Limits

_REFERENCE: Final = re.compile(r"Ref::([A-Za-z0-9_-]+)")
_OVERRIDABLE: Final = ("command", "environment", "resourceRequirements", "instanceType", "vcpus", "memory")
_GLOBS: Final = {
    "onExitCode": re.compile(r"[0-9]*\*?"),
    "onReason": re.compile(r"[A-Za-z0-9.:\s]*\*?"),
    "onStatusReason": re.compile(r"[A-Za-z0-9.:\s]*\*?"),
}


def resolve(request: Mapping[str, Any], definition: Mapping[str, Any], queue: str) -> JobSpec:
    """The job that `request` (a SubmitJob) makes of `definition` in `queue` (its name)."""
    _check_request(request)
    multinode = definition["type"] == "multinode"
    array = request.get("arrayProperties", {}).get("size")
    if multinode and array is not None:
        raise ApiError("arrayProperties cannot be used with a multi-node parallel job")
    if multinode and "containerOverrides" in request:
        raise ApiError("containerOverrides cannot be used with a multi-node parallel job; use nodeOverrides")
    if not multinode and "nodeOverrides" in request:
        raise ApiError("nodeOverrides can be used with a multi-node parallel job alone")
    parameters = {**definition.get("parameters", {}), **request.get("parameters", {})}
    nodes, main = 1, 0
    if multinode:
        nodes, main, ranges = _nodes(definition["nodeProperties"], request.get("nodeOverrides", {}))
    else:
        container = _overridden(definition["containerProperties"], request.get("containerOverrides", {}))
        ranges = (NodeRange(first=0, last=0, container=container),)
    retry = request.get("retryStrategy") or definition.get("retryStrategy") or {}
    timeout = request.get("timeout") or definition.get("timeout") or {}
    return JobSpec(
        name=request["jobName"],
        queue=queue,
        definition=definition["jobDefinitionArn"],
        kind=Kind.MULTINODE if multinode else Kind.ARRAY if array else Kind.CONTAINER,
        ranges=tuple(
            NodeRange(first=r.first, last=r.last, container=_substituted(r.container, parameters)) for r in ranges
        ),
        nodes=nodes,
        main=main,
        array_size=array or 0,
        parameters=parameters,
        depends_on=tuple(request.get("dependsOn", ())),
        retry={"attempts": retry.get("attempts", 1), "evaluateOnExit": retry.get("evaluateOnExit", [])},
        timeout_s=int(timeout.get("attemptDurationSeconds", 0)),
        tags={**(definition.get("tags", {}) if request.get("propagateTags") else {}), **request.get("tags", {})},
        propagate_tags=bool(request.get("propagateTags", definition.get("propagateTags", False))),
        share=request.get("shareIdentifier", ""),
        platforms=tuple(definition.get("platformCapabilities", ("EC2",))),
    )


def check_retry(retry: Mapping[str, Any]) -> None:
    """A retryStrategy as RegisterJobDefinition and SubmitJob take it (B6)."""
    attempts = retry.get("attempts")
    conditions = retry.get("evaluateOnExit", [])
    if attempts is None and conditions:
        raise ApiError("retryStrategy: evaluateOnExit needs attempts")
    if attempts is not None and attempts not in Limits.ATTEMPTS:
        raise ApiError(f"retryStrategy: attempts must be 1 to 10, got {attempts}")
    if len(conditions) > Limits.RETRY_CONDITIONS:
        raise ApiError(f"retryStrategy: at most {Limits.RETRY_CONDITIONS} evaluateOnExit conditions")
    for condition in conditions:
        if str(condition["action"]).upper() not in {"RETRY", "EXIT"}:
            raise ApiError(f"evaluateOnExit: action must be RETRY or EXIT, got {condition['action']}")
        if not set(condition) & set(_GLOBS):
            raise ApiError("evaluateOnExit: a condition needs onExitCode, onReason or onStatusReason")
        for name, pattern in _GLOBS.items():
            if not pattern.fullmatch(condition.get(name, "")):
                raise ApiError(f"evaluateOnExit: {name}: {condition[name]!r} is no pattern that Batch takes")


def check_timeout(timeout: Mapping[str, Any]) -> None:
    seconds = timeout.get("attemptDurationSeconds")
    if seconds is not None and seconds < Limits.MIN_TIMEOUT_S:
        raise ApiError(f"timeout must be at least {Limits.MIN_TIMEOUT_S} seconds, got {seconds}")


def check_environment(container: Mapping[str, Any]) -> None:
    for pair in container.get("environment", ()):
        if str(pair.get("name", "")).startswith(BATCH_PREFIX):
            raise ApiError(f"environment variable names must not start with {BATCH_PREFIX}: {pair['name']}")


def parse_range(text: str, nodes: int) -> tuple[int, int]:
    """`n:m`, `n:`, `:m`, `:` or `n` as first and last index, for a job of `nodes` nodes."""
    first, colon, last = text.partition(":")
    try:
        begin = int(first) if first else 0
        end = begin if not colon else int(last) if last else nodes - 1
    except ValueError:
        raise ApiError(f"targetNodes: {text!r} is no range of nodes, such as 0: or 1:3") from None
    return begin, end


def check_ranges(properties: Mapping[str, Any]) -> None:
    """NodeProperties as RegisterJobDefinition takes them: at most five ranges that cover every node."""
    nodes, main = properties["numNodes"], properties["mainNode"]
    if nodes not in Limits.NODES:
        raise ApiError(f"numNodes must be 1 to {Limits.NODES.stop - 1}, got {nodes}")
    if not 0 <= main < nodes:
        raise ApiError(f"mainNode must be fewer than numNodes: {main} of {nodes}")
    ranges = properties["nodeRangeProperties"]
    if not 1 <= len(ranges) <= Limits.NODE_RANGES:
        raise ApiError(f"nodeRangeProperties: 1 to {Limits.NODE_RANGES} ranges, got {len(ranges)}")
    covered: set[int] = set()
    for node_range in ranges:
        first, last = parse_range(node_range["targetNodes"], nodes)
        if not 0 <= first <= last < nodes:
            raise ApiError(f"targetNodes {node_range['targetNodes']} is not within 0:{nodes - 1}")
        if "container" not in node_range:
            raise ApiError("a node range needs a container; ecsProperties and eksProperties are not run by the twin")
        covered |= set(range(first, last + 1))
    if covered != set(range(nodes)):
        raise ApiError("node ranges must cover every node")


def _check_request(request: Mapping[str, Any]) -> None:
    if not Limits.JOB_NAME.fullmatch(request["jobName"]):
        raise ApiError("jobName: 1-128 letters, digits, - and _, starting with a letter or a digit")
    if len(json.dumps(request).encode()) > Limits.PAYLOAD_BYTES:
        raise ApiError(f"the request is larger than {Limits.PAYLOAD_BYTES} bytes")
    if len(request.get("tags", {})) > Limits.TAGS:
        raise ApiError(f"at most {Limits.TAGS} tags")
    size = request.get("arrayProperties", {}).get("size")
    if size is not None and size not in Limits.ARRAY:
        raise ApiError(f"the size of an array job must be 2 to 10000, got {size}")
    if len(request.get("dependsOn", ())) > Limits.DEPENDENCIES:
        raise ApiError(f"a job can depend on at most {Limits.DEPENDENCIES} jobs")
    for dependency in request.get("dependsOn", ()):
        kind = dependency.get("type", "")
        if kind not in {"", "SEQUENTIAL", "N_TO_N"}:
            raise ApiError(f"dependsOn: type must be SEQUENTIAL or N_TO_N, got {kind}")
        if kind and size is None:
            raise ApiError(f"dependsOn: {kind} is for array jobs alone")
        if not dependency.get("jobId") and kind != "SEQUENTIAL":
            raise ApiError("dependsOn: jobId is missing")
    check_retry(request.get("retryStrategy", {}))
    check_timeout(request.get("timeout", {}))
    check_environment(request.get("containerOverrides", {}))
    for override in request.get("nodeOverrides", {}).get("nodePropertyOverrides", ()):
        check_environment(override.get("containerOverrides", {}))


def _nodes(properties: Mapping[str, Any], overrides: Mapping[str, Any]) -> tuple[int, int, tuple[NodeRange, ...]]:
    """Number of nodes, main node's index, and the ranges with their overrides."""
    main = int(properties["mainNode"])
    nodes = int(overrides.get("numNodes", properties["numNodes"]))
    ranges = properties["nodeRangeProperties"]
    if "numNodes" in overrides:
        _check_resize(nodes, main, ranges)
    by_target: dict[str, Mapping[str, Any]] = {}
    known = {r["targetNodes"] for r in ranges}
    for override in overrides.get("nodePropertyOverrides", ()):
        target = override["targetNodes"]
        if target not in known:
            raise ApiError(f"NodeOverride targets should match job definition. Non matching targets - {target}")
        extra = dict(override.get("containerOverrides", {}))
        if types := override.get("instanceTypes"):
            if len(types) > 1:
                raise ApiError("instanceTypes: currently limited to one element")
            extra["instanceType"] = types[0]
        by_target[target] = extra
    found = []
    for node_range in ranges:
        first, last = parse_range(node_range["targetNodes"], nodes)
        container = _overridden(node_range["container"], by_target.get(node_range["targetNodes"], {}))
        found.append(NodeRange(first=first, last=min(last, nodes - 1), container=container))
    return nodes, main, tuple(found)


def _check_resize(nodes: int, main: int, ranges: Sequence[Mapping[str, Any]]) -> None:
    open_ranges = [r["targetNodes"] for r in ranges if r["targetNodes"].endswith(":")]
    if not open_ranges:
        raise ApiError("numNodes can be overridden only where a node range has an open upper boundary, such as 0:")
    if nodes not in Limits.NODES:
        raise ApiError(f"numNodes must be 1 to {Limits.NODES.stop - 1}, got {nodes}")
    for target in open_ranges:
        if parse_range(target, nodes)[0] >= nodes:
            raise ApiError(f"the lower boundary of {target} must be fewer than numNodes, {nodes}")
    if main >= nodes:
        raise ApiError(f"the main node index {main} must be fewer than numNodes, {nodes}")


def _overridden(container: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    if foreign := set(overrides) - set(_OVERRIDABLE):
        raise ApiError(f"these cannot be overridden: {', '.join(sorted(foreign))}")
    result = dict(container)
    if command := overrides.get("command"):
        if "" in command:
            raise ApiError("command: an element is empty")
        result["command"] = list(command)
    if "instanceType" in overrides:
        result["instanceType"] = overrides["instanceType"]
    variables = {p["name"]: p.get("value", "") for p in container.get("environment", ())}
    variables |= {p["name"]: p.get("value", "") for p in overrides.get("environment", ())}
    # Batch drops variables with empty values.
    result["environment"] = [{"name": n, "value": v} for n, v in sorted(variables.items()) if v != ""]
    needs = {r["type"]: r["value"] for r in container.get("resourceRequirements", ())}
    # The old vcpus and memory override the old fields alone, never resourceRequirements.
    for old in ("vcpus", "memory"):
        if old in overrides and old in container:
            result[old] = overrides[old]
    needs |= {r["type"]: r["value"] for r in overrides.get("resourceRequirements", ())}
    result["resourceRequirements"] = [{"type": t, "value": v} for t, v in needs.items()]
    return result


def _substituted(container: Mapping[str, Any], parameters: Mapping[str, str]) -> dict[str, Any]:
    """`Ref::name` replaced in the command, and nowhere else (B8); a name that is not a parameter stays."""

    def replace(match: re.Match[str]) -> str:
        return parameters.get(match[1], match[0])

    return {**container, "command": [_REFERENCE.sub(replace, word) for word in container.get("command", ())]}
