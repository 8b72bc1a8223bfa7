"""Amazon ECS, as far as it tells of the instances below Batch's environments. All other clusters are moto's."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from tutti.twin.api import model
from tutti.twin.api.errors import ApiError
from tutti.twin.api.paging import paged, start_of
from tutti.twin.instances import Instance, Instances

TARGET: Final = "AmazonEC2ContainerServiceV20141113."
_PAGE: Final = 100
_UNITS: Final = 1024  # of CPU, a vCPU


class Ecs:
    """Operations by the API's own names."""

    def __init__(self, instances: Instances, clusters: Callable[[], Iterable[str]]) -> None:
        """`clusters`: ARNs of the environments' clusters now."""
        self._instances = instances
        self._clusters = clusters

    def owns(self, body: bytes) -> bool:
        """Whether a request is about the cluster of an environment of ours."""
        try:
            cluster = json.loads(body or b"{}").get("cluster", "")
        except (ValueError, AttributeError):
            return False
        return any(cluster in {arn, arn.rpartition("/")[2]} for arn in self._clusters())

    def answer(self, operation: str, body: bytes) -> dict[str, Any]:
        """The response to one request.

        Raises
        ------
        ApiError
            What the service would refuse, and every operation but the two that describe instances.

        """
        handler: Callable[[dict[str, Any]], dict[str, Any]] | None = getattr(self, operation, None)
        if handler is None or not operation[:1].isupper():
            raise ApiError(
                f"the twin does not do {operation} on an environment's cluster",
                code="NotImplementedException",
                status=501,
            )
        request = json.loads(body or b"{}")
        model.check("ecs", operation, request)
        return handler(request)

    def ListContainerInstances(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802  the API's own name
        if request.get("filter"):
            raise ApiError("the twin does not filter container instances", code="InvalidParameterException")
        found = [i.arn for i in self._of(request) if request.get("status", "ACTIVE") == "ACTIVE"]
        start = start_of(request.get("nextToken"), code="InvalidParameterException")
        return paged("containerInstanceArns", found, start, min(request.get("maxResults", _PAGE), _PAGE))

    def DescribeContainerInstances(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        wanted = request["containerInstances"]
        if not 1 <= len(wanted) <= _PAGE:
            raise ApiError(f"containerInstances: 1 to {_PAGE} are described at once", code="InvalidParameterException")
        known = {i.arn.rpartition("/")[2]: i for i in self._of(request)}
        named = [(name, known.get(name.rpartition("/")[2])) for name in wanted]
        return {
            "containerInstances": [_described(instance) for _, instance in named if instance],
            "failures": [{"arn": name, "reason": "MISSING"} for name, instance in named if not instance],
        }

    def _of(self, request: dict[str, Any]) -> list[Instance]:
        return self._instances.of(request["cluster"], time.time())


def _described(instance: Instance) -> dict[str, Any]:
    shape = instance.shape
    vcpus, memory = shape.vcpus or instance.used_vcpus, shape.memory_mib or instance.used_memory_mib
    attributes = {"ecs.instance-type": shape.type, "ecs.availability-zone": shape.zone, "ecs.os-type": "linux"}
    return {
        "containerInstanceArn": instance.arn,
        "ec2InstanceId": instance.id,
        "status": "ACTIVE",
        "agentConnected": True,
        "runningTasksCount": len(instance.nodes),
        "pendingTasksCount": 0,
        "registeredAt": instance.launched,
        "registeredResources": _resources(vcpus, memory),
        "remainingResources": _resources(vcpus - instance.used_vcpus, memory - instance.used_memory_mib),
        "attributes": [{"name": name, "value": value} for name, value in attributes.items() if value],
        "attachments": [],
        "tags": [],
    }


def _resources(vcpus: int, memory_mib: int) -> list[dict[str, Any]]:
    amounts = {"CPU": vcpus * _UNITS, "MEMORY": memory_mib}
    return [
        {"name": name, "type": "INTEGER", "integerValue": amount, "doubleValue": 0.0, "longValue": 0}
        for name, amount in amounts.items()
    ]
