"""What every part of Tutti must agree on: variables, paths, exit codes, limits, log lines, the card.

Standard library only, and no code that acts: the node, the client, the twin, the functions and the Pulumi program all
import it. Settings of one job (what `tutti submit` tells the nodes) are in `workload.settings`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Any, Final, Self

from workload.record import Record

VERSION: Final = "0.1.0"  # pyproject.toml's; here too, because asking the installed package costs a node 20 ms


class BatchVariable(StrEnum):
    """Variables that AWS Batch sets on a node (DESIGN B4, B11). There is no AWS_BATCH_JOB_NODE_LIST."""

    JOB_ID = "AWS_BATCH_JOB_ID"  # with `#N` on a node of a multi-node job, `:K` on a child of an array
    ATTEMPT = "AWS_BATCH_JOB_ATTEMPT"  # from 1
    NODE_INDEX = "AWS_BATCH_JOB_NODE_INDEX"
    NUM_NODES = "AWS_BATCH_JOB_NUM_NODES"
    MAIN_NODE_INDEX = "AWS_BATCH_JOB_MAIN_NODE_INDEX"
    MAIN_NODE_ADDRESS = "AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS"  # on children alone
    QUEUE = "AWS_BATCH_JQ_NAME"
    ENVIRONMENT = "AWS_BATCH_CE_NAME"
    ARRAY_INDEX = "AWS_BATCH_JOB_ARRAY_INDEX"
    ARRAY_SIZE = "AWS_BATCH_JOB_ARRAY_SIZE"


BATCH_PREFIX: Final = "AWS_BATCH"  # no variable of a user's may start so (B13)


class Variable(StrEnum):
    """Our own variables. Those of one job's settings are listed in `workload.settings`."""

    # From the job definition: the place where the job runs.
    SECRET = "TUTTI_SECRET"  # noqa: S105  the name of the variable, not a secret
    PORT = "TUTTI_PORT"
    SHARED = "TUTTI_SHARED"
    STACK = "TUTTI_STACK"
    POOL = "TUTTI_POOL"
    ZONE = "TUTTI_ZONE"
    INSTANCE_TYPE = "TUTTI_INSTANCE_TYPE"
    BUCKET = "TUTTI_BUCKET"
    WAITING = "TUTTI_WAITING"  # a function's: the card's `waiting`
    EFA = "TUTTI_EFA"  # "1" where the pool has it
    GPUS = "TUTTI_GPUS"  # GPUs a node, absent or 0 where none
    NODE_SILENCE = "TUTTI_NODE_SILENCE"  # seconds
    NODE_MTBF = "TUTTI_NODE_MTBF"  # mean time between failures of a node of this pool, seconds; absent where unknown
    # From the twin alone: what a process on a shared host cannot find out by itself.
    ADDRESS = "TUTTI_ADDRESS"  # this node's own address
    CPUSET = "TUTTI_CPUSET"  # its share of the cores, "0-1,4", or "none": bind nothing, spin nowhere
    SHARED_HOST = "TUTTI_SHARED_HOST"  # "1": the nodes share one host name and /dev/shm
    # For the ranks, from their own node's member.
    JOB_FOLDER = "TUTTI_JOB_FOLDER"  # the job's own folder on this node: where ranks run; has input/ and output/
    PROGRESS = "TUTTI_PROGRESS"  # a Unix datagram socket: see Progress
    RANKS = "TUTTI_RANKS"  # the folder of pipes through which the rank shims speak to their member
    LOCAL_RANK = "TUTTI_LOCAL_RANK"
    RANK = "TUTTI_RANK"
    # From whoever resubmits a job: "ID/K", the id of the first job of the line and the number of the resubmission, so
    # that the lock on its checkpoints lets the successor in.
    LINE = "TUTTI_LINE"


class PlaceVariable(StrEnum):
    """Variables of others that the job definition sets: nothing else tells a program, as IMDS is blocked."""

    REGION = "AWS_REGION"
    DEFAULT_REGION = "AWS_DEFAULT_REGION"  # boto3 reads this one
    TMPDIR = "TMPDIR"


SECRET_PREFIX: Final = "TUTTI_SECRET"  # noqa: S105  no variable that starts so reaches a rank


class Path(StrEnum):
    """Where things are in a container on AWS. The twin sets TUTTI_SHARED and TMPDIR to folders of its own."""

    SHARED = "/mnt/efs"
    SCRATCH = "/scratch"
    LUSTRE = "/mnt/lustre"


SHARED_FOLDERS: Final = ("input", "output", "work")  # in TUTTI_SHARED
SHARED_SCHEME: Final = "shared:"
PASSING: Final = "passing/"  # below the group's prefix: what passes between a desk and the shared folder
NODE_COMMAND: Final = "tutti-node"
DEFAULT_PORT: Final = 7340


class ExitCode(IntEnum):
    """What the job's exit code means (DESIGN section 4). 1-209 and 230-255 are the program's own."""

    DONE = 0
    SETTINGS = 210
    REFUSED = 211
    STAGING = 212
    STOPPED = 213
    STALLED = 214
    MISSING = 220
    LOST = 221
    PREFLIGHT = 223
    GOING_AWAY = 224

    @property
    def meaning(self) -> str:
        return EXIT_MEANINGS[self]

    @property
    def retried(self) -> bool:
        """Whether the definitions' retry strategy starts another attempt (`onExitCode 22*`)."""
        return str(int(self)).startswith(RETRIED_CODES)


RETRIED_CODES: Final = "22"
RESERVED_CODES: Final = range(210, 230)
RESERVED_22: Final = 22  # matches `22*` too
EXIT_MEANINGS: Final[Mapping[int, str]] = {
    ExitCode.DONE: "done",
    ExitCode.SETTINGS: "bad settings: see the log's last lines; the same job will fail again",
    ExitCode.REFUSED: "refused: this node may not join the gang",
    ExitCode.STAGING: "staging failed: an input or output could not be moved",
    ExitCode.STOPPED: "stopped with a checkpoint, on request",
    ExitCode.STALLED: "stalled: no progress for the time that the job allows",
    ExitCode.MISSING: "nodes missing at the deadline for joining",
    ExitCode.LOST: "a node was lost",
    ExitCode.PREFLIGHT: "preflight failed: a node or the network between nodes is not fit",
    ExitCode.GOING_AWAY: "a node was going away: SIGTERM that nobody asked for",
}


def reported_code(code: int) -> int:
    """The exit code under which a program's own `code` is reported: 22 and 210-229 are ours, so they become 1."""
    return 1 if code in RESERVED_CODES or code == RESERVED_22 else code


class Limits:
    """Limits of AWS Batch (aws-batch-facts section 10) that more than one part must know."""

    NODES: Final = range(1, 1001)
    ATTEMPTS: Final = range(1, 11)
    ARRAY: Final = range(2, 10_001)
    MIN_TIMEOUT_S: Final = 60
    NODE_RANGES: Final = 5
    DEFINITION_BYTES: Final = 24 * 1024
    PAYLOAD_BYTES: Final = 30 * 1024
    DESCRIBE_IDS: Final = 100
    SUBMITS_PER_S: Final = 50
    DEPENDENCIES: Final = 20
    RETRY_CONDITIONS: Final = 5
    QUEUE_ENVIRONMENTS: Final = 3
    TAGS: Final = 50
    STATE_TIME_LIMIT_S: Final = range(600, 86_401)
    BULK_JOBS: Final = 50
    KILL_AFTER_TERM_S: Final = 30
    JOB_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


class QueuePriority(IntEnum):
    HIGH = 10
    LOW = 1


class Tag(StrEnum):
    """Tags: the stack puts the first two on everything, the client all four on every submission."""

    STACK = "tutti:stack"
    GROUP = "tutti:group"  # the cost allocation tag
    USER = "tutti:user"  # `UserId` of sts:GetCallerIdentity: IAM can compare it, so that none but its owner ends a job
    JOB = "tutti:job"  # the job's name as the user gave it
    RESUMES = "tutti:resumes"  # the job that this one goes on with
    NOTIFY = "tutti:notify"  # the address that hears of the job's end
    SWEEP = "tutti:sweep"  # the sweep that it is a point of
    SCHEDULE = "tutti:schedule"  # the schedule that submitted it; its capsule is the job's
    WAITED = "tutti:waited"  # the name under which it waited for other jobs' ends


class PoolKind(StrEnum):
    MPI = "mpi"
    GPU = "gpu"
    SINGLE = "single"


class Mpi(StrEnum):
    """MPI implementations that the gang launches."""

    MPICH = "mpich"
    OPENMPI = "openmpi"
    INTEL = "intel"


# ---------------------------------------------------------------- what stands in a log

# A member writes each line that it reads from a rank as "[NODE:RANK] text", and its own as "[NODE] text".
LOG_LINE: Final = re.compile(r"\[(?P<node>\d+)(?::(?P<rank>\d+))?\] (?P<text>.*)", re.DOTALL)
# The runtime's own lines start with the word "tutti: "; those for machines with "tutti-event " and hold one JSON object
# {"event": Event, "at": Unix time, ...}, so that the client can show phases, losses and progress from the log alone.
SAYS: Final = "tutti: "
EVENT_MARK: Final = "tutti-event "
MAX_LINE_BYTES: Final = 8 * 1024  # CloudWatch splits at 16 KiB; we cut before


class Event(StrEnum):
    """Events in the log of the node where they happen; phases are in main's. Seconds are since the phase before."""

    STARTED = "started"  # node, address
    HOST = "host"  # on each node, where known: booted (its instance); pull_began, pull_ended (its image; ISO 8601)
    ASSEMBLED = "assembled"  # nodes, seconds
    PREFLIGHT = "preflight"  # seconds
    STAGED = "staged"  # seconds, bytes
    LAUNCHED = "launched"  # seconds, mpi, ranks: every rank's process runs
    PROGRESS = "progress"  # step, total, rate, unit
    LOAD = "load"  # on each node: cores in use, memory (bytes), ranks {rank: [cores, memory]}
    LOST = "lost"  # node, address, reason, last_words; after: seconds from the last sign of life
    DRILLED = "drilled"  # action: the twin broke this node on purpose
    STOPPING = "stopping"  # reason, code
    COMPUTED = "computed"  # seconds, code: the last rank ended
    UPLOADED = "uploaded"  # seconds, bytes
    ENDED = "ended"  # code, seconds (in all)


class Progress(Record):
    """One datagram from a rank to its member on TUTTI_PROGRESS: UTF-8 JSON of these fields."""

    rank: int
    step: int
    total: int | None = None
    rate: float | None = None  # units a second
    unit: str = "steps"
    stopped: bool = False  # the program obeys a `stop` and will exit with 213, which counts as 1 without this word


class Metric(StrEnum):
    """Metrics that the runtime embeds in a log for CloudWatch; one dimension each: METRIC_DIMENSION, the job's id."""

    STEP = "Step"
    RATE = "Rate"  # units a second


METRIC_DIMENSION: Final = "Job"
METRIC_MARK: Final = '{"_aws":'  # how such a line starts; it has no tag, being one JSON object


def metric_namespace(stack: str) -> str:
    """CloudWatch's namespace of all metrics of a stack."""
    return f"Tutti/{stack}"


def resolve_shared(path: str, environ: Mapping[str, str]) -> str:
    """`shared:x/y` as a path below TUTTI_SHARED; every other path as it is.

    Raises
    ------
    ValueError
        The path leaves the shared folder, or TUTTI_SHARED is not set.
    """
    if not path.startswith(SHARED_SCHEME):
        return path
    root = environ.get(Variable.SHARED)
    if not root:
        raise ValueError(f"{path}: there is no shared folder here: {Variable.SHARED} is not set")
    below = path.removeprefix(SHARED_SCHEME).lstrip("/")
    if ".." in below.split("/"):
        raise ValueError(f"{path}: leaves the shared folder; allowed are paths below it, without '..'")
    return f"{root.rstrip('/')}/{below}"


# ---------------------------------------------------------------- the cluster card

CARD_VERSION: Final = 1


def card_parameter(stack: str) -> str:
    """The SSM parameter that holds a stack's card."""
    return f"/tutti/{stack}/card"


class CardQueue(Record):
    """A job queue: one pool at one priority. Cores are physical; memory in MiB is what one job may ask of a node."""

    name: str
    arn: str
    pool: str
    kind: PoolKind
    priority: int
    instance_types: tuple[str, ...]
    zone: str
    max_vcpus: int
    vcpus: int  # a node's
    cores: int  # a node's
    memory_mib: int  # a node's, for a job
    gpus: int = 0
    efa: bool = False
    nitro: int = 0  # the Nitro generation; 0: unknown
    capacity: str = "on-demand"  # on-demand, spot, fargate
    node_mtbf_days: int = 0  # mean time between failures of one node; 0: nobody has measured it


class CardDefinition(Record):
    """A job definition: kind is mpi, mpi-parameterized, gpu-mpi, single or array."""

    name: str
    arn: str
    kind: str
    image: str  # the image's name on the card; the first is the default
    image_uri: str
    mpis: tuple[Mpi, ...]
    nodes: int
    timeout_s: int
    attempts: int
    vcpus: int
    memory_mib: int
    pool: str = ""  # made for this pool's instances; "": fits any of its kind
    gpus: int = 0
    parameters: Mapping[str, str] = MappingProxyType({})
    architecture: str = "x86_64"


class CardTwin(Record):
    """Only on a twin's card: where it answers, and with which keys."""

    endpoint: str
    access_key_id: str
    secret_access_key: str
    isolation: str


class Card(Record):
    """All that the client knows about a cluster (DESIGN section 7)."""

    version: int = CARD_VERSION
    stack: str
    group: str
    region: str
    account: str
    queues: tuple[CardQueue, ...]  # in order of preference
    definitions: tuple[CardDefinition, ...]
    bucket: str
    prefix: str  # the group's own, ends in "/"
    file_system: str
    log_group: str
    lustre: str = ""
    dashboard_url: str = ""
    topic: str = ""  # SNS, for --notify
    scheduler_role: str = ""  # for --at and --every
    schedule_group: str = ""  # where their schedules are; "": Scheduler's default group
    waiting: str = ""  # keys below it are submissions that wait for jobs' ends, ends in "/"; "": none submits them
    grace_s: int = 25
    twin: CardTwin | None = None

    def to_json(self) -> dict[str, Any]:
        return self.plain()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The card in `data`. Unknown keys of the same version are left out: a newer stack may say more.

        Raises
        ------
        ValueError
            A version that this program does not know, or a key that is missing.
        """
        if (version := data.get("version")) != CARD_VERSION:
            raise ValueError(
                f"the cluster card has version {version!r}; this tutti reads version {CARD_VERSION}. "
                "A newer stack needs a newer client: pip install --upgrade tutti",
            )
        try:
            twin = data.get("twin")
            queues = tuple(
                CardQueue(
                    **_known(CardQueue, {**q, "kind": PoolKind(q["kind"]), "instance_types": (*q["instance_types"],)})
                )
                for q in data["queues"]
            )
            definitions = tuple(
                CardDefinition(**{**_known(CardDefinition, d), "mpis": tuple(Mpi(m) for m in d["mpis"])})
                for d in data["definitions"]
            )
            return cls(
                **{
                    **_known(cls, data),
                    "queues": queues,
                    "definitions": definitions,
                    "twin": CardTwin(**_known(CardTwin, twin)) if twin else None,
                }
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"the cluster card is not complete: {error}") from error


def _known(cls: type[Record], data: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in data.items() if k in cls.FIELDS}
