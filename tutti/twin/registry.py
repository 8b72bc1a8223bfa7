"""Queues, environments and job definitions, in the API's own spelling; kept in the store, and read by the engine."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tutti.twin.instances import Shape
from tutti.twin.placement import Environment, Queue
from tutti.twin.store import Store

QUEUE: Final = "queue"
ENVIRONMENT: Final = "environment"
DEFINITION: Final = "definition"
SHAPE: Final = "tuttiNodeShape"  # of an environment: what its instance offers a job; never shown


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the twin says that it is."""

    region: str
    account: str

    def arn(self, kind: str, name: str) -> str:
        return f"arn:aws:batch:{self.region}:{self.account}:{kind}/{name}"


@dataclass(kw_only=True)
class Registry:
    store: Store
    place: Place
    queues: dict[str, dict[str, Any]] = field(default_factory=dict)  # by name
    environments: dict[str, dict[str, Any]] = field(default_factory=dict)  # by name
    definitions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # by name, by revision
    shortages: set[str] = field(default_factory=set)  # environments without capacity: a drill
    lock: threading.RLock = field(default_factory=threading.RLock)

    @classmethod
    def load(cls, store: Store, place: Place) -> Registry:
        registry = cls(store=store, place=place)
        registry.queues = {d["jobQueueName"]: d for d in store.resources(QUEUE)}
        registry.environments = {d["computeEnvironmentName"]: d for d in store.resources(ENVIRONMENT)}
        for document in store.resources(DEFINITION):
            registry.definitions.setdefault(document["jobDefinitionName"], []).append(document)
        for revisions in registry.definitions.values():
            revisions.sort(key=lambda d: int(d["revision"]))
        return registry

    def keep(self, kind: str, document: dict[str, Any]) -> None:
        """Add or replace a resource."""
        with self.lock:
            if kind == QUEUE:
                self.queues[document["jobQueueName"]] = document
            elif kind == ENVIRONMENT:
                self.environments[document["computeEnvironmentName"]] = document
            else:
                revisions = self.definitions.setdefault(document["jobDefinitionName"], [])
                if document not in revisions:
                    revisions.append(document)
        self.store.save_resource(kind, _arn(document), document)

    def drop(self, document: Mapping[str, Any]) -> None:
        with self.lock:
            self.queues.pop(document.get("jobQueueName", ""), None)
            self.environments.pop(document.get("computeEnvironmentName", ""), None)
        self.store.remove_resource(_arn(document))

    def queue(self, name_or_arn: str) -> dict[str, Any] | None:
        return self.queues.get(name_or_arn.rpartition("/")[2])

    def environment(self, name_or_arn: str) -> dict[str, Any] | None:
        return self.environments.get(name_or_arn.rpartition("/")[2])

    def definition(self, reference: str) -> dict[str, Any] | None:
        """By name, name:revision or ARN; without a revision the latest that is ACTIVE."""
        name, _, revision = reference.rpartition("/")[2].partition(":")
        found = self.definitions.get(name, [])
        if revision:
            return next((d for d in found if str(d["revision"]) == revision), None)
        return next((d for d in reversed(found) if d["status"] == "ACTIVE"), None)

    def by_arn(self, arn: str) -> dict[str, Any] | None:
        """A resource that may have tags."""
        kind = arn.rpartition(":")[2].partition("/")[0] if ":job-definition/" not in arn else "job-definition"
        match kind:
            case "job-queue":
                return self.queue(arn)
            case "compute-environment":
                return self.environment(arn)
            case "job-definition":
                return self.definition(arn)
        return None

    def placement_queues(self) -> list[Queue]:
        with self.lock:
            return [
                Queue(
                    name=name,
                    priority=int(d["priority"]),
                    environments=tuple(
                        e["computeEnvironment"].rpartition("/")[2]
                        for e in sorted(d["computeEnvironmentOrder"], key=lambda e: int(e["order"]))
                    ),
                    enabled=d["state"] == "ENABLED",
                )
                for name, d in self.queues.items()
            ]

    def placement_environments(self) -> list[Environment]:
        with self.lock:
            return [self._environment(name, d) for name, d in self.environments.items()]

    def shape(self, name: str) -> Shape | None:
        """What the instances of an environment are; None for Fargate, and for what Batch does not manage."""
        document = self.environment(name) or {}
        resources = document.get("computeResources", {})
        if resources.get("type") not in {"EC2", "SPOT"}:
            return None
        offer = document.get(SHAPE, {})
        return Shape(
            cluster=document["ecsClusterArn"],
            type=next((t for t in resources.get("instanceTypes", ()) if "." in t), ""),  # not "optimal", nor a family
            zone=offer.get("zone", f"{self.place.region}a"),
            vcpus=offer.get("node_vcpus", 0),
            memory_mib=offer.get("node_memory_mib", 0),
        )

    def clusters(self) -> list[str]:
        """ARNs of the ECS clusters below the environments."""
        with self.lock:
            return [d["ecsClusterArn"] for d in self.environments.values()]

    def _environment(self, name: str, document: Mapping[str, Any]) -> Environment:
        resources = document.get("computeResources", {})
        shape = document.get(SHAPE, {})
        limits = {key: int(shape[key]) for key in ("node_vcpus", "node_memory_mib", "node_gpus") if key in shape}
        return Environment(
            name=name,
            capacity=resources.get("type", "") if document["type"] == "MANAGED" else "",
            max_vcpus=int(resources.get("maxvCpus", document.get("unmanagedvCpus", 0))),
            enabled=document["state"] == "ENABLED",
            shortage=name in self.shortages,
            instance_types=",".join(resources.get("instanceTypes", ())),
            **limits,
        )


def _arn(document: Mapping[str, Any]) -> str:
    for key in ("jobQueueArn", "computeEnvironmentArn", "jobDefinitionArn"):
        if key in document:
            return str(document[key])
    raise KeyError("a resource without an ARN")
