"""Which job definitions a stack has, and what each says: plain values in, plain values out. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from infra.image_config import ImageConfig
from infra.naming import Names
from infra.pool_config import PoolPlan
from workload import documents, settings
from workload.contract import Path, PlaceVariable, PoolKind, Variable

MPI: Final = "mpi"
PARAMETERIZED: Final = "mpi-parameterized"
GPU_MPI: Final = "gpu-mpi"
SINGLE: Final = "single"
ARRAY: Final = "array"
LOG_SECONDS: Final = 5
KINDS: Final[Mapping[PoolKind, tuple[str, ...]]] = {
    PoolKind.MPI: (MPI, PARAMETERIZED),
    PoolKind.GPU: (GPU_MPI,),
    PoolKind.SINGLE: (SINGLE, ARRAY),
}


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """What a submission need not say. Timeouts in minutes, memory in MiB."""

    mpi_nodes: int
    mpi_minutes: int
    parameterized_nodes: int
    parameterized_minutes: int
    parameters: Mapping[str, str]
    single_vcpus: int
    single_memory_mib: int
    single_minutes: int
    attempts: int


@dataclass(frozen=True, kw_only=True)
class Definition:
    """One job definition, before AWS has given ids to what it names."""

    name: str
    kind: str
    image: ImageConfig
    pool: PoolPlan
    nodes: int
    minutes: int
    vcpus: int
    memory_mib: int
    gpus: int
    attempts: int
    parameters: Mapping[str, str]

    @property
    def multi_node(self) -> bool:
        return self.pool.config.multi_node


@dataclass(frozen=True, kw_only=True)
class Given:
    """What AWS gave: ids and ARNs that a document names."""

    image_uri: str
    job_role_arn: str
    execution_role_arn: str
    secret_arn: str
    file_system: str
    access_point: str
    bucket: str
    log_group: str
    region: str
    stack: str


def definitions(
    pools: Sequence[PoolPlan], images: Sequence[ImageConfig], names: Names, defaults: Defaults
) -> list[Definition]:
    """Every definition: each kind of each pool for each image that runs there.

    The first image and the first pool of a kind leave their names out: `STACK-mpi` is what most people need.
    """
    found = []
    seen: set[PoolKind] = set()
    for pool in pools:
        first = pool.config.kind not in seen
        seen.add(pool.config.kind)
        for image in pool.images:
            for kind in KINDS[pool.config.kind]:
                name = names.definition(
                    kind, image="" if image is images[0] else image.name, pool="" if first else pool.name
                )
                found.append(_definition(name, kind, image, pool, defaults))
    return found


def node_environment(definition: Definition, given: Given) -> dict[str, str]:
    """What a program needs to know of the place where it runs; the instance cannot be asked, IMDS is blocked."""
    pool = definition.pool
    # Between SIGTERM and SIGKILL a job has what the host gives it, less what the runtime needs for the log.
    grace = settings.Settings(grace=pool.config.stop_timeout - LOG_SECONDS).to_environment()
    return {
        PlaceVariable.DEFAULT_REGION.value: given.region,
        PlaceVariable.REGION.value: given.region,
        Variable.STACK.value: given.stack,
        Variable.POOL.value: pool.name,
        Variable.ZONE.value: pool.zones[0] if len(pool.zones) == 1 else "",
        Variable.INSTANCE_TYPE.value: pool.types[0].name if len(pool.types) == 1 else "",
        Variable.BUCKET.value: given.bucket,
        Variable.SHARED.value: Path.SHARED.value,
        PlaceVariable.TMPDIR.value: "" if pool.config.fargate else Path.SCRATCH.value,
        Variable.EFA.value: "1" if pool.efa_interfaces else "",
        Variable.GPUS.value: str(definition.gpus) if definition.gpus else "",
        Variable.NODE_MTBF.value: documents.node_mtbf(pool.config.node_mtbf_days),
        **grace,
    }


def container(definition: Definition, given: Given, *, lustre: bool, debug: bool) -> documents.Container:
    pool = definition.pool
    host = not pool.config.fargate
    return documents.Container(
        image=given.image_uri,
        command=documents.DEFAULT_COMMANDS[definition.kind],
        vcpus=definition.vcpus,
        memory_mib=definition.memory_mib,
        gpus=definition.gpus,
        efa_devices=pool.efa_interfaces,
        job_role_arn=given.job_role_arn,
        execution_role_arn=given.execution_role_arn,
        secret_arn=given.secret_arn,
        environment=node_environment(definition, given),
        volumes=documents.Volumes(
            file_system_id=given.file_system,
            access_point_id=given.access_point,
            scratch_host_path=Path.SCRATCH.value if host else "",
            lustre_host_path=Path.LUSTRE.value if lustre and host else "",
        ),
        log_group=given.log_group,
        log_prefix=definition.kind,
        region=given.region,
        fargate=pool.config.fargate,
        arm=definition.image.architecture == "arm64",
        exec_command=debug,
    )


def document(definition: Definition, given: Given, *, lustre: bool, debug: bool) -> dict[str, Any]:
    """NodeProperties or containerProperties, as RegisterJobDefinition wants them."""
    node = container(definition, given, lustre=lustre, debug=debug)
    if definition.multi_node:
        return documents.node_properties(node, nodes=definition.nodes)
    return documents.container_properties(node)


def _definition(name: str, kind: str, image: ImageConfig, pool: PoolPlan, defaults: Defaults) -> Definition:
    gang = pool.config.multi_node
    nodes, minutes = {
        MPI: (defaults.mpi_nodes, defaults.mpi_minutes),
        GPU_MPI: (defaults.mpi_nodes, defaults.mpi_minutes),
        PARAMETERIZED: (defaults.parameterized_nodes, defaults.parameterized_minutes),
    }.get(kind, (1, defaults.single_minutes))
    return Definition(
        name=name,
        kind=kind,
        image=image,
        pool=pool,
        nodes=min(nodes, pool.most_nodes),  # more than the pool can hold would wait RUNNABLE for ever
        minutes=minutes,
        vcpus=pool.vcpus if gang else defaults.single_vcpus,
        memory_mib=pool.memory_mib if gang else defaults.single_memory_mib,
        gpus=pool.gpus if gang else 0,
        attempts=defaults.attempts,
        parameters=defaults.parameters if kind == PARAMETERIZED else {},
    )
