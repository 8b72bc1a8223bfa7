"""The half of Batch that describes: environments, queues, job definitions, tags."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from typing import Any, Final

from tutti.twin.api.errors import ApiError
from tutti.twin.api.paging import paged, start_of
from tutti.twin.api.submission import check_environment, check_ranges, check_retry, check_timeout
from tutti.twin.jobs import Stuck
from tutti.twin.registry import DEFINITION, ENVIRONMENT, QUEUE, SHAPE, Registry
from workload.contract import Limits

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_PAGE: Final = 100
_TIME_LIMIT_REASONS: Final = frozenset({Stuck.CAPACITY, Stuck.MAX_RESOURCE, Stuck.REQUIREMENT})


class BatchResources:
    """Operations by the API's own names: each takes the request's parameters and gives the response's."""

    def __init__(self, registry: Registry, changed: Callable[[], None], terminate_queue: Callable[[str], None]) -> None:
        """`changed` is called after queues or environments did; `terminate_queue` ends the jobs of a queue by name."""
        self._registry = registry
        self._changed = changed
        self._terminate_queue = terminate_queue

    # ------------------------------------------------------------ environments

    def CreateComputeEnvironment(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802  the API's own name
        name = _checked_name(request["computeEnvironmentName"])
        if self._registry.environment(name):
            raise ApiError("Object already exists")
        if request["type"].upper() not in {"MANAGED", "UNMANAGED"}:
            raise ApiError(f"type must be MANAGED or UNMANAGED, got {request['type']}")
        if request["type"].upper() == "MANAGED" and "computeResources" not in request:
            raise ApiError("a MANAGED compute environment needs computeResources")
        place, own = self._registry.place, str(uuid.uuid4())
        arn = place.arn("compute-environment", name)
        document = {
            **request,
            "type": request["type"].upper(),
            "computeEnvironmentArn": arn,
            "state": request.get("state", "ENABLED"),
            "status": "VALID",
            "statusReason": "ComputeEnvironment Healthy",
            "ecsClusterArn": f"arn:aws:ecs:{place.region}:{place.account}:cluster/AWSBatch-{name}-{own}",
            "containerOrchestrationType": "ECS",
            "uuid": own,
        }
        self._registry.keep(ENVIRONMENT, document)
        self._changed()
        return {"computeEnvironmentName": name, "computeEnvironmentArn": arn}

    def DescribeComputeEnvironments(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        found = _chosen(self._registry.environments, request.get("computeEnvironments"))
        shown = [{k: v for k, v in d.items() if k != SHAPE} for d in found]
        return _page("computeEnvironments", shown, request)

    def UpdateComputeEnvironment(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        document = _present(self._registry.environment(request["computeEnvironment"]), request["computeEnvironment"])
        changed = {k: v for k, v in request.items() if k not in {"computeEnvironment", "computeResources"}}
        resources = {**document.get("computeResources", {}), **request.get("computeResources", {})}
        self._registry.keep(ENVIRONMENT, {**document, **changed, "computeResources": resources})
        self._changed()
        return _names(document, "computeEnvironment")

    def DeleteComputeEnvironment(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        document = self._registry.environment(request["computeEnvironment"])
        if document is None:
            return {}
        arn = document["computeEnvironmentArn"]
        for queue in self._registry.queues.values():
            if arn in {e["computeEnvironment"] for e in queue["computeEnvironmentOrder"]}:
                raise ApiError("Cannot delete, found existing JobQueue relationship")
        if document["state"] != "DISABLED":
            raise ApiError("Cannot delete, resource is not DISABLED")
        self._registry.drop(document)
        self._changed()
        return {}

    # ------------------------------------------------------------ queues

    def CreateJobQueue(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        name = _checked_name(request["jobQueueName"])
        if self._registry.queue(name):
            raise ApiError("Object already exists")
        arn = self._registry.place.arn("job-queue", name)
        document = {
            **request,
            "jobQueueArn": arn,
            "computeEnvironmentOrder": self._order(request.get("computeEnvironmentOrder", [])),
            "jobStateTimeLimitActions": _time_limits(request.get("jobStateTimeLimitActions", [])),
            "state": request.get("state", "ENABLED"),
            "status": "VALID",
            "statusReason": "JobQueue Healthy",
            "jobQueueType": "ECS",
        }
        self._registry.keep(QUEUE, document)
        self._changed()
        return {"jobQueueName": name, "jobQueueArn": arn}

    def DescribeJobQueues(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return _page("jobQueues", _chosen(self._registry.queues, request.get("jobQueues")), request)

    def UpdateJobQueue(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        document = _present(self._registry.queue(request["jobQueue"]), request["jobQueue"])
        changed = {k: v for k, v in request.items() if k != "jobQueue"}
        if "computeEnvironmentOrder" in changed:
            changed["computeEnvironmentOrder"] = self._order(changed["computeEnvironmentOrder"])
        if "jobStateTimeLimitActions" in changed:
            changed["jobStateTimeLimitActions"] = _time_limits(changed["jobStateTimeLimitActions"])
        self._registry.keep(QUEUE, {**document, **changed})
        self._changed()
        return _names(document, "jobQueue")

    def DeleteJobQueue(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        document = self._registry.queue(request["jobQueue"])
        if document is None:
            return {}
        if document["state"] != "DISABLED":
            raise ApiError("Cannot delete, resource is not DISABLED")
        self._terminate_queue(document["jobQueueName"])
        self._registry.drop(document)
        self._changed()
        return {}

    # ------------------------------------------------------------ definitions

    def RegisterJobDefinition(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        name = _checked_name(request["jobDefinitionName"])
        size = len(json.dumps(request).encode())
        if size > Limits.DEFINITION_BYTES:
            raise ApiError(f"the job definition is larger than {Limits.DEFINITION_BYTES} bytes: {size}")
        kind = request["type"]
        if kind == "multinode":
            properties = request.get("nodeProperties")
            if properties is None:
                raise ApiError("nodeProperties is missing")
            check_ranges(properties)
            for node_range in properties["nodeRangeProperties"]:
                check_environment(node_range["container"])
        elif kind == "container":
            if "containerProperties" not in request:
                raise ApiError(
                    "containerProperties is missing; ecsProperties and eksProperties are not run by the twin"
                )
            check_environment(request["containerProperties"])
        else:
            raise ApiError(f"type must be container or multinode, got {kind}")
        check_retry(request.get("retryStrategy", {}))
        check_timeout(request.get("timeout", {}))
        with self._registry.lock:
            revision = len(self._registry.definitions.get(name, ())) + 1
            arn = self._registry.place.arn("job-definition", f"{name}:{revision}")
            document = {
                "platformCapabilities": ["EC2"],
                **request,
                "jobDefinitionArn": arn,
                "revision": revision,
                "status": "ACTIVE",
                "containerOrchestrationType": "ECS",
            }
            self._registry.keep(DEFINITION, document)
        return {"jobDefinitionName": name, "jobDefinitionArn": arn, "revision": revision}

    def DeregisterJobDefinition(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        if ":" not in request["jobDefinition"].rpartition("/")[2]:
            raise ApiError("the job definition must be named with its revision")
        document = _present(self._registry.definition(request["jobDefinition"]), request["jobDefinition"])
        document["status"] = "INACTIVE"
        self._registry.keep(DEFINITION, document)
        return {}

    def DescribeJobDefinitions(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        everything = [d for revisions in self._registry.definitions.values() for d in revisions]
        if wanted := request.get("jobDefinitions"):
            found = [d for reference in wanted for d in everything if _is_named(d, reference)]
        else:
            name = request.get("jobDefinitionName")
            found = [d for d in everything if name in {None, d["jobDefinitionName"]}]
        if status := request.get("status"):
            found = [d for d in found if d["status"] == status]
        return _page("jobDefinitions", found, request)

    # ------------------------------------------------------------ tags

    def tags_of(self, arn: str) -> dict[str, str] | None:
        """A resource's tags; None where there is no such resource."""
        document = self._registry.by_arn(arn)
        return None if document is None else document.setdefault("tags", {})

    def set_tags(self, arn: str, tags: dict[str, str]) -> None:
        document = _present(self._registry.by_arn(arn), arn)
        document["tags"] = tags
        kind = {"jobQueueArn": QUEUE, "computeEnvironmentArn": ENVIRONMENT, "jobDefinitionArn": DEFINITION}
        self._registry.keep(next(k for key, k in kind.items() if key in document), document)

    def _order(self, order: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if not 1 <= len(order) <= Limits.QUEUE_ENVIRONMENTS:
            raise ApiError(f"computeEnvironmentOrder: 1 to {Limits.QUEUE_ENVIRONMENTS} environments, got {len(order)}")
        result = []
        for entry in order:
            found = _present(self._registry.environment(entry["computeEnvironment"]), entry["computeEnvironment"])
            result.append({"order": entry["order"], "computeEnvironment": found["computeEnvironmentArn"]})
        return result


def _time_limits(actions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """B12: three reasons, RUNNABLE alone, CANCEL, 10 minutes to a day."""
    for action in actions:
        if action["reason"] not in _TIME_LIMIT_REASONS:
            raise ApiError(f"jobStateTimeLimitActions: reason {action['reason']!r} is not one of the three")
        if action["state"] != "RUNNABLE" or action["action"] != "CANCEL":
            raise ApiError("jobStateTimeLimitActions: state must be RUNNABLE and action CANCEL")
        if action["maxTimeSeconds"] not in Limits.STATE_TIME_LIMIT_S:
            raise ApiError(
                f"jobStateTimeLimitActions: maxTimeSeconds must be 600 to 86400, got {action['maxTimeSeconds']}"
            )
    return actions


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ApiError(f"{name!r}: names have 1-128 letters, digits, - and _")
    return name


def _present(document: dict[str, Any] | None, name: str) -> dict[str, Any]:
    if document is None:
        raise ApiError(f"{name} does not exist")
    return document


def _names(document: dict[str, Any], stem: str) -> dict[str, str]:
    return {f"{stem}Name": document[f"{stem}Name"], f"{stem}Arn": document[f"{stem}Arn"]}


def _chosen(documents: dict[str, dict[str, Any]], wanted: list[str] | None) -> list[dict[str, Any]]:
    if not wanted:
        return list(documents.values())
    return [documents[name] for w in wanted if (name := w.rpartition("/")[2]) in documents]


def _page(name: str, rows: list[dict[str, Any]], request: dict[str, Any]) -> dict[str, Any]:
    return paged(name, rows, start_of(request.get("nextToken")), max(1, min(request.get("maxResults", _PAGE), _PAGE)))


def _is_named(document: dict[str, Any], reference: str) -> bool:
    name, _, revision = reference.rpartition("/")[2].partition(":")
    return document["jobDefinitionName"] == name and revision in {"", str(document["revision"])}
