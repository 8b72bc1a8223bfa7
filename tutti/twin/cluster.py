"""What the twin has from the start: pools, queues, definitions, card - as a stack's, from the same documents."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tutti.twin.api.batch_resources import BatchResources
from tutti.twin.jobs import Stuck
from tutti.twin.registry import ENVIRONMENT, SHAPE, Place, Registry
from workload import documents
from workload.contract import (
    Card,
    CardDefinition,
    CardQueue,
    CardTwin,
    Mpi,
    PoolKind,
    QueuePriority,
    Variable,
)
from workload.contract import Path as ContainerPath

STACK: Final = "twin"
REGION: Final = "us-east-1"
ACCOUNT: Final = "123456789012"  # moto's
BUCKET: Final = "tutti-twin"
PREFIX: Final = f"{STACK}/"
LOG_GROUP: Final = f"/tutti/{STACK}/jobs"
SECRET_ARN: Final = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:tutti-gang/{STACK}-Twin00"
ZONE: Final = f"{REGION}a"
ROLE: Final = f"arn:aws:iam::{ACCOUNT}:role/tutti-{STACK}-job"
# Who hears of jobs' ends, and what submits later or again and again.
TOPIC: Final = f"arn:aws:sns:{REGION}:{ACCOUNT}:tutti-{STACK}-notices"
ENDED_RULE: Final = f"tutti-{STACK}-ended"
SCHEDULES: Final = f"tutti-{STACK}"
SCHEDULER_ROLE: Final = f"arn:aws:iam::{ACCOUNT}:role/tutti-{STACK}-scheduler"
# What submits what waits for jobs' ends (`--after ID:any`), and where that lies.
WAITING: Final = f"_after/{STACK}/"
FOLLOWER: Final = f"tutti-{STACK}-after"
# A node of the twin: one physical core and what an instance of 4 GiB offers a job.
NODE_TYPE: Final = "c7i.large"
NODE_VCPUS: Final = 2
NODE_CORES: Final = 1
NODE_MEMORY_MIB: Final = documents.usable_memory_mib(4096)
TIME_LIMIT_S: Final = 3600


@dataclass(frozen=True, kw_only=True)
class Pool:
    name: str
    kind: PoolKind
    capacity: str  # of the environment: EC2, SPOT
    zone: str
    gpus: int = 0


@dataclass(frozen=True, kw_only=True)
class _Definition:
    kind: str
    pool: PoolKind
    nodes: int
    timeout_s: int


DEFINITIONS: Final = (
    _Definition(kind="mpi", pool=PoolKind.MPI, nodes=2, timeout_s=3600),
    _Definition(kind="mpi-parameterized", pool=PoolKind.MPI, nodes=4, timeout_s=7200),
    _Definition(kind="gpu-mpi", pool=PoolKind.GPU, nodes=2, timeout_s=3600),
    _Definition(kind="single", pool=PoolKind.SINGLE, nodes=1, timeout_s=3600),
    _Definition(kind="array", pool=PoolKind.SINGLE, nodes=1, timeout_s=3600),
)
ATTEMPTS: Final = 3


def pools(mpi_pools: int, gpus: int) -> list[Pool]:
    """`mpi`, `mpi2` ..., each in a zone of its own; `gpu` where there is one; `single`."""
    gangs = [
        Pool(name=f"mpi{n + 1 if n else ''}", kind=PoolKind.MPI, capacity="EC2", zone=f"{REGION}{'abcdef'[n % 6]}")
        for n in range(mpi_pools)
    ]
    gpu = [Pool(name="gpu", kind=PoolKind.GPU, capacity="EC2", zone=ZONE, gpus=gpus)] if gpus else []
    return [*gangs, *gpu, Pool(name="single", kind=PoolKind.SINGLE, capacity="EC2", zone=ZONE)]


def create(
    resources: BatchResources, registry: Registry, wanted: Sequence[Pool], *, max_vcpus: int, shared: str, image: str
) -> None:
    """Make environments, queues and definitions, or bring them up to date. What others made stays as it is."""
    for pool in wanted:
        _environment(resources, registry, pool, max_vcpus)
        for priority in QueuePriority:
            name = queue_name(pool, priority)
            if registry.queue(name) is None:
                order = [{"order": 1, "computeEnvironment": environment_name(pool)}]
                limits = [
                    {"reason": reason, "state": "RUNNABLE", "action": "CANCEL", "maxTimeSeconds": TIME_LIMIT_S}
                    for reason in (Stuck.MAX_RESOURCE, Stuck.REQUIREMENT)
                ]
                resources.CreateJobQueue(
                    {
                        "jobQueueName": name,
                        "priority": int(priority),
                        "computeEnvironmentOrder": order,
                        "jobStateTimeLimitActions": limits,
                    }
                )
    for definition in DEFINITIONS:
        its_pool = next((p for p in wanted if p.kind is definition.pool), None)
        request = definition_request(definition, its_pool, shared, image)
        latest = registry.definition(request["jobDefinitionName"])
        if latest is None or any(latest.get(key) != value for key, value in request.items()):
            resources.RegisterJobDefinition(request)


def definition_request(definition: _Definition, pool: Pool | None, shared: str, image: str) -> dict[str, Any]:
    """The RegisterJobDefinition of one kind. `shared` stands where AWS has /mnt/efs."""
    environment = {
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        Variable.STACK.value: STACK,
        Variable.POOL.value: pool.name if pool else "",
        Variable.ZONE.value: pool.zone if pool else "",
        Variable.INSTANCE_TYPE.value: NODE_TYPE,
        Variable.BUCKET.value: BUCKET,
    }
    node = documents.Container(
        image=image,
        command=documents.DEFAULT_COMMANDS[definition.kind],
        vcpus=NODE_VCPUS,
        memory_mib=NODE_MEMORY_MIB,
        gpus=(pool.gpus if pool else 1) if definition.pool is PoolKind.GPU else 0,
        job_role_arn=ROLE,
        execution_role_arn=ROLE,
        secret_arn=SECRET_ARN,
        environment=environment,
        log_group=LOG_GROUP,
        log_prefix=definition.kind,
        region=REGION,
    )
    multinode = definition.pool is not PoolKind.SINGLE
    properties = (
        {"nodeProperties": documents.node_properties(node, nodes=definition.nodes)}
        if multinode
        else {"containerProperties": documents.container_properties(node)}
    )
    return {
        "jobDefinitionName": f"{STACK}-{definition.kind}",
        "type": "multinode" if multinode else "container",
        "parameters": _parameters(definition, shared),
        "retryStrategy": documents.retry_strategy(ATTEMPTS),
        "timeout": documents.timeout(definition.timeout_s),
        "propagateTags": True,
        "tags": {"tutti:stack": STACK},
        **properties,
    }


def card(
    place: Place,
    wanted: Sequence[Pool],
    registry: Registry,
    twin: CardTwin,
    *,
    max_vcpus: int,
    mpis: tuple[Mpi, ...],
    group: str,
    shared: str,
    image: str,
) -> Card:
    """All that the client needs to know."""
    queues = tuple(
        CardQueue(
            name=queue_name(pool, priority),
            arn=place.arn("job-queue", queue_name(pool, priority)),
            pool=pool.name,
            kind=pool.kind,
            priority=int(priority),
            instance_types=(NODE_TYPE,),
            zone=pool.zone,
            max_vcpus=max_vcpus,
            vcpus=NODE_VCPUS,
            cores=NODE_CORES,
            memory_mib=NODE_MEMORY_MIB,
            gpus=pool.gpus,
        )
        for pool in wanted
        for priority in QueuePriority
    )
    return Card(
        stack=STACK,
        group=group,
        region=place.region,
        account=place.account,
        queues=queues,
        definitions=tuple(
            _card_definition(d, registry, wanted, mpis=mpis, shared=shared, image=image) for d in DEFINITIONS
        ),
        bucket=BUCKET,
        prefix=PREFIX,
        file_system="",
        log_group=LOG_GROUP,
        topic=TOPIC,
        scheduler_role=SCHEDULER_ROLE,
        schedule_group=SCHEDULES,
        waiting=WAITING,
        twin=twin,
    )


def mpis_on(path: str) -> tuple[Mpi, ...]:
    """MPI implementations that a node finds on `path`, the first that it finds first."""
    said = ""
    for folder in path.split(os.pathsep):
        if mpiexec := shutil.which("mpiexec", path=folder):
            said += subprocess.run(
                [mpiexec, "--version"], capture_output=True, text=True, check=False, timeout=10
            ).stdout
    return mpis_in(said)


def mpis_in(said: str) -> tuple[Mpi, ...]:
    """The implementations that `mpiexec --version` named, in that order."""
    marks = {"HYDRA": Mpi.MPICH, "Open MPI": Mpi.OPENMPI, "OpenRTE": Mpi.OPENMPI, "Intel(R) MPI": Mpi.INTEL}
    found = sorted((said.index(mark), mpi) for mark, mpi in marks.items() if mark in said)
    return tuple(dict.fromkeys(mpi for _, mpi in found))


def queue_name(pool: Pool, priority: QueuePriority) -> str:
    return f"{STACK}-{pool.name}-{priority.name.lower()}"


def environment_name(pool: Pool) -> str:
    return f"{STACK}-{pool.name}"


def _environment(resources: BatchResources, registry: Registry, pool: Pool, max_vcpus: int) -> None:
    name = environment_name(pool)
    compute = {
        "type": pool.capacity,
        "allocationStrategy": "BEST_FIT_PROGRESSIVE",
        "minvCpus": 0,
        "maxvCpus": max_vcpus,
        "instanceTypes": [NODE_TYPE],
        "subnets": [f"subnet-{pool.zone}"],
        "securityGroupIds": ["sg-twin"],
        "instanceRole": ROLE,
    }
    if registry.environment(name) is None:
        request: dict[str, Any] = {"computeEnvironmentName": name, "type": "MANAGED", "computeResources": compute}
        resources.CreateComputeEnvironment(request)
    else:
        resources.UpdateComputeEnvironment({"computeEnvironment": name, "computeResources": compute})
    document = registry.environment(name) or {}
    shape: Mapping[str, Any] = {
        "zone": pool.zone,
        "node_vcpus": NODE_VCPUS,
        "node_memory_mib": NODE_MEMORY_MIB,
        "node_gpus": pool.gpus,
    }
    registry.keep(ENVIRONMENT, {**document, SHAPE: shape})


def _card_definition(
    definition: _Definition,
    registry: Registry,
    wanted: Sequence[Pool],
    *,
    mpis: tuple[Mpi, ...],
    shared: str,
    image: str,
) -> CardDefinition:
    name = f"{STACK}-{definition.kind}"
    document = registry.definition(name) or {}
    pool = next((p for p in wanted if p.kind is definition.pool), None)
    return CardDefinition(
        name=name,
        arn=str(document["jobDefinitionArn"]),
        kind=definition.kind,
        image="desk",
        image_uri=image,
        mpis=mpis,
        nodes=definition.nodes,
        timeout_s=definition.timeout_s,
        attempts=ATTEMPTS,
        vcpus=NODE_VCPUS,
        memory_mib=NODE_MEMORY_MIB,
        gpus=(pool.gpus if pool else 1) if definition.pool is PoolKind.GPU else 0,
        parameters=_parameters(definition, shared),
    )


def _parameters(definition: _Definition, shared: str) -> dict[str, str]:
    if definition.kind != "mpi-parameterized":
        return {}
    return {n: v.replace(ContainerPath.SHARED, shared) for n, v in documents.DEFAULT_PARAMETERS.items()}
