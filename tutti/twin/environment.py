"""A node's environment: what Batch sets (B4, B11), what the definition says, and what only a twin must. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tutti.twin.jobs import Job, Kind
from tutti.twin.nodes import Isolation
from tutti.twin.nodes.processes import MARKER
from workload.contract import BatchVariable, Variable

NODE_SILENCE_S: Final = "5"
# What a node's programs need of the desk's own environment. Nothing else is passed on.
INHERITED: Final = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "USER", "LOGNAME", "LD_LIBRARY_PATH")


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What is the same for all nodes of a twin."""

    isolation: Isolation
    marker: str
    path: str  # PATH, the twin's own programs first
    inherited: Mapping[str, str]
    region: str
    shared: str
    endpoint: str  # as nodes reach it
    credentials: str  # as nodes reach it


@dataclass(frozen=True, kw_only=True)
class NodePlace:
    """What is one node's own."""

    index: int
    address: str
    main_address: str
    scratch: str
    cpus: str
    credentials_path: str
    metadata_path: str
    token: str
    secrets: Mapping[str, str]


def node_environment(job: Job, around: Surroundings, place: NodePlace) -> dict[str, str]:
    """All variables of one node. What Batch sets wins over the definition, and the definition over the desk."""
    container = job.spec.container(place.index)
    defined = {p["name"]: p.get("value", "") for p in container.get("environment", ())}
    twin = {
        MARKER: around.marker,
        "PATH": around.path,
        "TMPDIR": place.scratch,
        Variable.SHARED: around.shared,
        Variable.CPUSET: place.cpus,
        Variable.NODE_SILENCE: NODE_SILENCE_S,
        "AWS_REGION": around.region,
        "AWS_DEFAULT_REGION": around.region,
        "AWS_ENDPOINT_URL": around.endpoint,
        "AWS_EC2_METADATA_DISABLED": "true",
        # The desk's own keys and profiles would win over the node's.
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{around.credentials}{place.credentials_path}",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": place.token,
        "ECS_CONTAINER_METADATA_URI_V4": f"{around.credentials}{place.metadata_path}",
    }
    if around.isolation is Isolation.PROCESS:
        twin |= {Variable.ADDRESS: place.address, Variable.SHARED_HOST: "1"}
    # What the definition says of places on AWS does not hold here, so the twin's word is the last but Batch's.
    if around.isolation is Isolation.DOCKER:
        del twin["PATH"]  # the image's own
    desk = {} if around.isolation is Isolation.DOCKER else around.inherited
    merged = {**desk, **defined, **place.secrets, **twin, **_batch(job, place)}
    if Variable.NODE_SILENCE in defined:
        merged[Variable.NODE_SILENCE] = defined[Variable.NODE_SILENCE]
    return {str(name): value for name, value in merged.items()}


def _batch(job: Job, place: NodePlace) -> dict[str, str]:
    found = {
        BatchVariable.JOB_ID: f"{job.id}#{place.index}" if job.kind is Kind.MULTINODE else job.id,
        BatchVariable.ATTEMPT: str(job.attempt),
        BatchVariable.QUEUE: job.spec.queue,
        BatchVariable.ENVIRONMENT: job.environment,
    }
    if job.kind is Kind.MULTINODE:
        found |= {
            BatchVariable.NODE_INDEX: str(place.index),
            BatchVariable.NUM_NODES: str(job.spec.nodes),
            BatchVariable.MAIN_NODE_INDEX: str(job.spec.main),
        }
        if place.index != job.spec.main:
            found[BatchVariable.MAIN_NODE_ADDRESS] = place.main_address
    if job.array_index is not None:
        found |= {
            BatchVariable.ARRAY_INDEX: str(job.array_index),
            BatchVariable.ARRAY_SIZE: str(job.spec.array_size),
        }
    return {str(k): v for k, v in found.items()}
