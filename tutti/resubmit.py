"""A described job -> the request that submits it again. Pure.

DescribeJobs gives the job after its overrides, not the overrides: they are written again from what it says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tutti.errors import InputError, Problem
from tutti.jobs import ENDED, container_of
from workload.contract import BATCH_PREFIX, Limits, Tag, Variable
from workload.documents import OPEN_RANGE, name_values
from workload.settings import variable
from workload.vault.lock import next_line

SCHEDULE: Final = variable("schedule")
# What the definition, the platform and the schedule say, and not the submission.
NOT_OURS: Final = frozenset(
    {Variable.SECRET, Variable.PORT, Variable.SHARED, Variable.STACK, Variable.BUCKET, SCHEDULE}
)
CHECKPOINT: Final = variable("checkpoint")


def resumption(item: Mapping[str, Any], *, nodes: int | None = None) -> dict[str, Any]:
    """The request that goes on with an ended job from its checkpoints.

    Raises
    ------
    InputError
        it has not ended, keeps no checkpoints, or cannot have so many nodes.
    """
    problems = []
    job_id = item["jobId"]
    if item.get("status") not in ENDED:
        what = f"is {item.get('status')}; only a job that has ended can be resumed"
        problems.append(
            Problem(where=job_id, what=what, remedy=f"Stop it with a checkpoint: tutti checkpoints stop {job_id}")
        )
    if CHECKPOINT not in environment_of(item):
        what = "was submitted without --checkpoint: there is nothing to go on from"
        problems.append(Problem(where=job_id, what=what, remedy="Submit it again"))
    problems += _wrong_nodes(item, nodes)
    if problems:
        raise InputError(problems)
    line = {Variable.LINE.value: next_line(environment_of(item), job_id)}
    document = again(item, nodes=nodes, more=line)
    return {**document, "tags": {**document["tags"], Tag.RESUMES.value: job_id}}


def again(
    item: Mapping[str, Any], *, nodes: int | None = None, more: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The request that submits a described job once more, with variables on top (`more`).

    Raises
    ------
    InputError
        It cannot have so many nodes.
    """
    if problems := _wrong_nodes(item, nodes):
        raise InputError(problems)
    document: dict[str, Any] = {
        "jobName": item["jobName"],
        "jobQueue": item["jobQueue"],
        "jobDefinition": item["jobDefinition"],
        "tags": {name: value for name, value in item.get("tags", {}).items() if name != Tag.SCHEDULE},
        "propagateTags": True,
    }
    for key in ("parameters", "timeout", "retryStrategy"):
        if item.get(key):
            document[key] = item[key]
    if size := (item.get("arrayProperties") or {}).get("size"):
        document["arrayProperties"] = {"size": size}
    container = container_of(item)
    overrides: dict[str, Any] = {"environment": name_values({**environment_of(item), **(more or {})})}
    if container.get("command"):
        overrides["command"] = container["command"]
    if container.get("resourceRequirements"):
        overrides["resourceRequirements"] = container["resourceRequirements"]
    gang = item.get("nodeProperties")
    if not gang:
        return {**document, "containerOverrides": overrides}
    if container.get("instanceType"):
        overrides["instanceType"] = container["instanceType"]
    properties = [{"targetNodes": OPEN_RANGE, "containerOverrides": overrides}]
    return {**document, "nodeOverrides": {"numNodes": nodes or gang["numNodes"], "nodePropertyOverrides": properties}}


def _wrong_nodes(item: Mapping[str, Any], nodes: int | None) -> list[Problem]:
    if nodes is None:
        return []
    if not item.get("nodeProperties"):
        return [Problem(where="--nodes", what=f"{item['jobId']} is no multi-node job")]
    if nodes not in Limits.NODES:
        return [Problem(where="--nodes", what=f"got {nodes}; allowed: a whole number from 1 to 1,000")]
    return []


def environment_of(item: Mapping[str, Any]) -> dict[str, str]:
    """The variables that a submission gave (or a definition of the same cluster gives anyway)."""
    pairs = {e["name"]: e.get("value", "") for e in container_of(item).get("environment", [])}
    return {n: v for n, v in pairs.items() if not n.startswith(BATCH_PREFIX) and n not in NOT_OURS}
