"""What is known of a job and its cluster when one asks why: plain values, gathered by `tutti.why.gather`.

A part that could not be asked (no permission, no such service) is None, and `unasked` says why: a cause that needs it
stays silent, so that nothing is blamed on a guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tutti.jobs import Details, Node
from workload.contract import Card, CardQueue


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A compute environment, as DescribeComputeEnvironments tells it."""

    name: str
    state: str  # ENABLED, DISABLED
    status: str  # VALID, INVALID, CREATING ...
    reason: str = ""
    kind: str = "EC2"  # EC2, SPOT, FARGATE, FARGATE_SPOT; empty: unmanaged
    max_vcpus: int = 0
    instance_types: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    instance_profile: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)  # of its instances


@dataclass(frozen=True, kw_only=True)
class Queue:
    """A job queue, its environments in their order, and who stands at its head."""

    name: str
    state: str
    status: str
    reason: str = ""
    environments: tuple[Environment, ...] = ()
    head: str = ""  # the job at the front, by GetJobQueueSnapshot
    head_since: float = 0.0  # Unix seconds, where that is ours
    ahead: int = 0  # jobs before ours
    busy_vcpus: int | None = 0  # of the pool, by jobs that start or run; None: not known


@dataclass(frozen=True, kw_only=True)
class Subnet:
    id: str
    zone: str
    free_addresses: int
    nat: bool  # 0.0.0.0/0 leads elsewhere than to an internet gateway: a NAT, a transit gateway, a VPN, a firewall
    public: bool  # 0.0.0.0/0 leads to an internet gateway
    s3_gateway: bool


@dataclass(frozen=True, kw_only=True)
class SecurityGroup:
    id: str
    self_in: bool  # all traffic from itself
    self_out: bool  # all traffic to itself, or to everywhere
    out_all: bool


@dataclass(frozen=True, kw_only=True)
class Network:
    subnets: tuple[Subnet, ...]
    groups: tuple[SecurityGroup, ...]
    endpoints: frozenset[str]  # of the VPC, by service: `ecr.api`


@dataclass(frozen=True, kw_only=True)
class FileSystem:
    """EFS: state, zones with a mount target that is ready, whether the pool's lets NFS in from the nodes' group.

    Where those are not known (a launch template's), it is taken to.
    """

    id: str
    state: str
    zones: frozenset[str]
    nfs_open: bool
    policy_allows: bool | None = None  # None: no policy, or not to be seen


@dataclass(frozen=True, kw_only=True)
class Quota:
    """A running-instances quota of EC2, in vCPUs, and what of it is used, by the pool's own instances too."""

    code: str
    name: str
    vcpus: float
    used: float
    own: float | None = 0.0  # None: which instances are the pool's is not known


@dataclass(frozen=True, kw_only=True)
class Image:
    """The job's image in ECR. `found` is None where it is not in ECR, or cannot be seen."""

    uri: str
    found: bool | None
    processors: frozenset[str] = frozenset()  # `amd64`, `arm64`; empty: not known


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All of it. `log` holds the last lines of main's log, without the runtime's events."""

    card: Card
    now: float
    job: Details | None = None
    nodes: tuple[Node, ...] = ()
    vcpus: int = 0  # asked for, a node
    memory_mib: int = 0
    container_reason: str = ""  # of its last attempt
    stopped: bool = False  # cancelled or terminated, by somebody's request or by a rule of AWS's
    dependencies: Mapping[str, str] = field(default_factory=dict)  # id -> state
    card_queue: CardQueue | None = None
    queue: Queue | None = None
    network: Network | None = None
    file_system: FileSystem | None = None
    quota: Quota | None = None
    image: Image | None = None
    processors: frozenset[str] = frozenset()  # of the pool's instances, as in `Image`
    secret: str | None = None  # why the gang's secret cannot be read; "": it can
    log: tuple[str, ...] = ()
    unasked: tuple[str, ...] = ()

    @property
    def total_vcpus(self) -> int:
        return self.vcpus * ((self.job.nodes if self.job else None) or 1)

    @property
    def idle_vcpus(self) -> float | None:
        """Of the pool's instances that boot or have no work: a waiting job gets them. None: not known."""
        busy = self.queue.busy_vcpus if self.queue else 0
        if self.quota is None or self.quota.own is None or busy is None:
            return None
        return max(0.0, self.quota.own - busy)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One cause and one remedy. `code` names the cause for machines and for the docs."""

    code: str
    cause: str
    remedy: str
    evidence: str = ""
