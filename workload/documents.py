"""The documents that AWS Batch is given, as pure functions: the stack registers them, and so does the twin.

Plain values in, JSON-able dictionaries in the API's own spelling out. Sources: RegisterJobDefinition in the API model
2016-08-10 and aws-batch-facts sections 2 and 5. Standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from workload.contract import NODE_COMMAND, RETRIED_CODES, Limits, Path, Variable

OPEN_RANGE: Final = "0:"  # one open range alone: any numNodes >= 1 may be asked for (B9)
USABLE_MEMORY: Final = 0.92  # of an instance's memory: the agent and the kernel keep the rest (traps 22)
LOG_BUFFER: Final = "64m"  # non-blocking: a slow CloudWatch must not stop MPI (traps 24)
NOFILE: Final = 65_536
UNLIMITED: Final = -1

# What the definitions of DESIGN section 7 run when a submission brings no command of its own.
DEFAULT_COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "mpi": ("python", "-m", "mpi4py", "-m", "workload", "run", "ring"),
    "gpu-mpi": ("python", "-m", "mpi4py", "-m", "workload", "run", "ring"),
    "mpi-parameterized": (
        *("python", "-m", "mpi4py", "-m", "workload", "run", "matmul"),
        *("--input", "Ref::inputDataPath", "--output", "Ref::outputDataPath"),
        *("--intensity", "Ref::computeIntensity"),
    ),
    "single": ("python", "-m", "mpi4py", "-m", "workload", "run", "montecarlo"),
    "array": ("python", "-m", "mpi4py", "-m", "workload", "run", "montecarlo"),
}
DEFAULT_PARAMETERS: Final[Mapping[str, str]] = {
    "inputDataPath": f"{Path.SHARED}/input",
    "outputDataPath": f"{Path.SHARED}/output",
    "computeIntensity": "medium",
}


@dataclass(frozen=True, kw_only=True)
class Volumes:
    """What a node mounts. An empty file system means: none (the twin, whose shared folder needs no mount)."""

    file_system_id: str = ""
    access_point_id: str = ""
    scratch_host_path: str = ""  # a folder of the host's: instance store, else gp3
    lustre_host_path: str = ""


@dataclass(frozen=True, kw_only=True)
class Container:
    """One node's container. Memory in MiB; `environment` holds what the place gives (stack, zone, pool, region ...)."""

    image: str
    command: Sequence[str]
    vcpus: int
    memory_mib: int
    gpus: int = 0
    efa_devices: int = 0
    job_role_arn: str
    execution_role_arn: str
    secret_arn: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    volumes: Volumes = field(default_factory=Volumes)
    log_group: str
    log_prefix: str
    region: str
    fargate: bool = False  # no devices, ulimits, shared memory or host volumes there
    arm: bool = False  # Fargate alone must be told; an instance is what it is
    exec_command: bool = False  # a shell in the running container (ECS Exec)


def node_command(argv: Sequence[str]) -> list[str]:
    """The container's command for a program: `tutti-node -- ARGV...`."""
    return [NODE_COMMAND, "--", *argv]


def program_of(command: Sequence[str]) -> Sequence[str]:
    """The program in a container's command: what `node_command` put its words before."""
    return command[2:] if list(command[:2]) == [NODE_COMMAND, "--"] else command


def usable_memory_mib(instance_mib: int) -> int:
    """What a job may ask of an instance's memory, MiB. Asking for more waits RUNNABLE for ever."""
    return math.floor(instance_mib * USABLE_MEMORY)


def node_mtbf(days: int) -> str:
    """What NODE_MTBF says of a pool whose nodes fail every so many days; nothing for 0: nobody has measured it."""
    return str(days * 86_400) if days else ""


def name_values(pairs: Mapping[str, str]) -> list[dict[str, str]]:
    """A mapping as Batch's list of names and values, sorted; Batch drops empty values, so they are left out."""
    return [{"name": name, "value": value} for name, value in sorted(pairs.items()) if value != ""]


def resource_requirements(*, vcpus: int, memory_mib: int, gpus: int = 0) -> list[dict[str, str]]:
    """Batch's resourceRequirements, which nodeOverrides can override (vcpus and memory at top level cannot)."""
    needs = [{"type": "VCPU", "value": str(vcpus)}, {"type": "MEMORY", "value": str(memory_mib)}]
    return needs + ([{"type": "GPU", "value": str(gpus)}] if gpus else [])


def container_properties(node: Container) -> dict[str, Any]:
    """`containerProperties` of one node. Never privileged, no init: the entrypoint is PID 1 itself (traps 18)."""
    document: dict[str, Any] = {
        "image": node.image,
        "command": node_command(node.command),
        "jobRoleArn": node.job_role_arn,
        "executionRoleArn": node.execution_role_arn,
        "resourceRequirements": resource_requirements(vcpus=node.vcpus, memory_mib=node.memory_mib, gpus=node.gpus),
        "environment": name_values(node.environment),
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": node.log_group,
                "awslogs-region": node.region,
                "awslogs-stream-prefix": node.log_prefix,
                "mode": "non-blocking",
                "max-buffer-size": LOG_BUFFER,
            },
        },
        **_mounts(node.volumes),
    }
    if node.secret_arn:
        document["secrets"] = [{"name": Variable.SECRET.value, "valueFrom": node.secret_arn}]
    if node.exec_command:
        document["enableExecuteCommand"] = True
    if node.fargate:
        architecture = "ARM64" if node.arm else "X86_64"
        return {
            **document,
            "networkConfiguration": {"assignPublicIp": "DISABLED"},
            "runtimePlatform": {"operatingSystemFamily": "LINUX", "cpuArchitecture": architecture},
        }
    return {
        **document,
        "privileged": False,
        "linuxParameters": {
            "initProcessEnabled": False,
            "sharedMemorySize": node.memory_mib // 2,
            "devices": [_efa_device(n) for n in range(node.efa_devices)],
        },
        "ulimits": [
            _ulimit("memlock", UNLIMITED),
            _ulimit("nofile", NOFILE),
            _ulimit("stack", UNLIMITED),
            _ulimit("core", 0),
        ],
    }


def node_properties(node: Container, *, nodes: int) -> dict[str, Any]:
    """`nodeProperties` of a multi-node job: main is node 0, and one open range, so that numNodes can be overridden."""
    return {
        "numNodes": nodes,
        "mainNode": 0,
        "nodeRangeProperties": [{"targetNodes": OPEN_RANGE, "container": container_properties(node)}],
    }


def retry_strategy(attempts: int, retry_on: int | None = None) -> dict[str, Any]:
    """When Batch starts another attempt: our codes 22*, a lost host, a failed image pull, one code of the user's.

    What matches nothing is retried, so the last rule ends everything else (B6). Timeout, cancel and terminate are
    never retried, whatever stands here.

    Raises
    ------
    ValueError
        `attempts` outside 1-10.
    """
    if attempts not in Limits.ATTEMPTS:
        raise ValueError(f"attempts: got {attempts}; allowed: {Limits.ATTEMPTS.start}-{Limits.ATTEMPTS.stop - 1}")
    conditions = [
        {"onExitCode": f"{RETRIED_CODES}*", "action": "RETRY"},
        {"onStatusReason": "Host EC2*", "action": "RETRY"},
        {"onReason": "CannotPullContainerError*", "action": "RETRY"},
        *([{"onExitCode": str(retry_on), "action": "RETRY"}] if retry_on is not None else []),
        {"onReason": "*", "action": "EXIT"},
    ]
    return {"attempts": attempts, "evaluateOnExit": conditions}


def timeout(seconds: int) -> dict[str, int]:
    """The job's `timeout`, counted from main's startedAt."""
    if seconds < Limits.MIN_TIMEOUT_S:
        raise ValueError(f"timeout: got {seconds} s; allowed: {Limits.MIN_TIMEOUT_S} s or more")
    return {"attemptDurationSeconds": seconds}


def _mounts(volumes: Volumes) -> dict[str, Any]:
    declared: list[dict[str, Any]] = []
    mounted = []
    if volumes.file_system_id:
        declared.append(
            {
                "name": "shared",
                "efsVolumeConfiguration": {
                    "fileSystemId": volumes.file_system_id,
                    "transitEncryption": "ENABLED",
                    "authorizationConfig": {"accessPointId": volumes.access_point_id, "iam": "ENABLED"},
                },
            }
        )
        mounted.append({"sourceVolume": "shared", "containerPath": Path.SHARED.value})
    for name, host_path, path in (
        ("scratch", volumes.scratch_host_path, Path.SCRATCH),
        ("lustre", volumes.lustre_host_path, Path.LUSTRE),
    ):
        if host_path:
            declared.append({"name": name, "host": {"sourcePath": host_path}})
            mounted.append({"sourceVolume": name, "containerPath": path.value})
    return {"volumes": declared, "mountPoints": mounted}


def _efa_device(number: int) -> dict[str, Any]:
    path = f"/dev/infiniband/uverbs{number}"
    return {"hostPath": path, "containerPath": path, "permissions": ["READ", "WRITE", "MKNOD"]}


def _ulimit(name: str, limit: int) -> dict[str, Any]:
    return {"name": name, "softLimit": limit, "hardLimit": limit}
