"""One cause for each state that a job can be stuck or have failed in, and none where nothing is wrong.

Each row changes one thing about a healthy cluster; so a rule that fires too easily shows as a wrong cause of another row.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tutti.jobs import Attempt, Details, Node
from tutti.why.diagnose import check_up, diagnose
from tutti.why.facts import Environment, Facts, FileSystem, Image, Network, Queue, Quota, SecurityGroup, Subnet
from tutti.why.network import ENDPOINTS
from workload.contract import Card, CardQueue, ExitCode, PoolKind

NOW = 10_000.0
JOB = Details(id="j1", name="run", state="RUNNABLE", queue="q", definition="d:1", created=NOW - 60, nodes=4)
ENVIRONMENT = Environment(name="ce", state="ENABLED", status="VALID", max_vcpus=256, instance_types=("c7i.2xlarge",))
QUEUE = Queue(name="q", state="ENABLED", status="VALID", environments=(ENVIRONMENT,), head="j1")
SUBNET = Subnet(id="subnet-1", zone="us-east-1a", free_addresses=4000, nat=True, public=False, s3_gateway=True)
GROUP = SecurityGroup(id="sg-1", self_in=True, self_out=True, out_all=False)
NETWORK = Network(subnets=(SUBNET,), groups=(GROUP,), endpoints=frozenset())
PRIVATE = replace(NETWORK, subnets=(replace(SUBNET, nat=False),), endpoints=frozenset(ENDPOINTS))
SYSTEM = FileSystem(id="fs-1", state="available", zones=frozenset({"us-east-1a"}), nfs_open=True, policy_allows=True)
CARD_QUEUE = CardQueue(
    name="q", arn="arn:q", pool="cpu", kind=PoolKind.MPI, priority=10, instance_types=("c7i.2xlarge",), zone="us-east-1a",
    max_vcpus=256, vcpus=8, cores=4, memory_mib=15000,
)  # fmt: skip
CARD = Card(
    stack="dev", group="dev", region="us-east-1", account="1", queues=(CARD_QUEUE,), definitions=(), bucket="b", prefix="dev/",
    file_system="fs-1", log_group="/g",
)  # fmt: skip
HEALTHY = Facts(
    card=CARD, now=NOW, job=JOB, vcpus=8, memory_mib=15000, card_queue=CARD_QUEUE, queue=QUEUE, network=NETWORK, file_system=SYSTEM,
    quota=Quota(code="L-1216C47A", name="Standard", vcpus=512, used=64), secret="",
    image=Image(uri="i", found=True, processors=frozenset({"amd64"})), processors=frozenset({"amd64"}),
)  # fmt: skip
OLD = replace(JOB, created=NOW - 7200)


def job(**changes: Any) -> dict[str, Any]:
    return {"job": replace(JOB, **changes)}


def environment(**changes: Any) -> dict[str, Any]:
    return {"queue": replace(QUEUE, environments=(replace(ENVIRONMENT, **changes),))}


def subnet(network: Network = NETWORK, **changes: Any) -> dict[str, Any]:
    return {"network": replace(network, subnets=(replace(network.subnets[0], **changes),))}


def failed(code: int | None = 1, reason: str = "Essential container in task exited", **changes: Any) -> dict[str, Any]:
    return {"job": replace(JOB, state="FAILED", exit_code=code, reason=reason), **changes}


def said(text: str) -> dict[str, Any]:
    return failed(None, "Task failed to start", container_reason=text)


WAITING: dict[str, dict[str, Any]] = {
    "starting": {},
    "dependency": {**job(state="PENDING"), "dependencies": {"j0": "RUNNING"}},
    "queue-disabled": {"queue": replace(QUEUE, state="DISABLED")},
    "queue-invalid": {"queue": replace(QUEUE, status="INVALID", reason="the role has gone")},
    "no-environment": {"queue": replace(QUEUE, environments=())},
    "environment-disabled": environment(state="DISABLED"),
    "environment-invalid": environment(status="INVALID", reason="CLIENT_ERROR - not authorized"),
    "environment-not-ready": environment(status="UPDATING"),
    "gang-on-spot": environment(kind="SPOT"),
    "too-many-vcpus": environment(max_vcpus=16),
    "vcpus-of-a-node": {"vcpus": 16},
    "memory-of-a-node": {"memory_mib": 16384},
    "no-capacity": job(reason="CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - The job cannot run"),
    "max-resource": job(reason="MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - x"),
    "resource-requirement": job(reason="MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - x"),
    "role-permissions": job(reason="MISCONFIGURATION:SERVICE_ROLE_PERMISSIONS - x"),
    "action-required": job(reason="ACTION_REQUIRED - x"),
    "undetermined": job(reason="UNDETERMINED - x"),
    "quota-L-1216C47A": {"quota": Quota(code="L-1216C47A", name="Standard", vcpus=64, used=48)},
    "quota-L-F7808C92": {"quota": Quota(code="L-F7808C92", name="HPC", vcpus=0, used=0)},
    "quota-L-417A185B": {"quota": Quota(code="L-417A185B", name="P", vcpus=8, used=0)},
    "behind-another": {"queue": replace(QUEUE, head="j0", ahead=3)},
    "pool-busy": {"queue": replace(QUEUE, busy_vcpus=240)},
    "no-addresses": subnet(free_addresses=3),
    "no-way-out": subnet(nat=False),
    "public-subnet": subnet(nat=False, public=True),
    **{
        f"no-endpoint-{name}": {"network": replace(PRIVATE, endpoints=PRIVATE.endpoints - {name})} for name in ENDPOINTS
    },
    "no-s3-gateway": subnet(PRIVATE, s3_gateway=False),
    "group-self-in": {"network": replace(NETWORK, groups=(replace(GROUP, self_in=False),))},
    "group-self-out": {"network": replace(NETWORK, groups=(replace(GROUP, self_out=False),))},
    "file-system-not-available": {"file_system": replace(SYSTEM, state="deleting")},
    "no-mount-target": {"file_system": replace(SYSTEM, zones=frozenset({"us-east-1b"}))},
    "nfs-closed": {"file_system": replace(SYSTEM, nfs_open=False)},
    "efs-policy": {"file_system": replace(SYSTEM, policy_allows=False)},
    "image-gone": {"image": Image(uri="i", found=False)},
    "architecture": {"image": Image(uri="i", found=True, processors=frozenset({"arm64"}))},
    "secret-gone": {"secret": "arn:s does not exist"},
    "not-known": {"job": OLD},
}

FAILED: dict[str, dict[str, Any]] = {
    "image-not-found": said("CannotPullContainerError: pull image manifest: x@sha256:0: not found"),
    "image-denied": said("CannotPullContainerError: Error response: pull access denied for x"),
    "image-unreachable": said("CannotPullContainerError: dial tcp 1.2.3.4:443: i/o timeout"),
    "image-too-large": said("CannotPullContainerError: write /x: no space left on device"),
    "image-pull": said("CannotPullContainerError: something else"),
    "architecture": said("exec /opt/tutti/bin/tutti-node: exec format error"),
    "secret-denied": said("ResourceInitializationError: unable to pull secrets: AccessDeniedException: not authorized"),
    "secret-not-found": said(
        "ResourceInitializationError: unable to pull secrets: Secrets Manager can't find the specified secret"
    ),
    "secret-unreachable": said(
        "ResourceInitializationError: unable to pull secrets: RequestError: send request failed"
    ),
    "efs-mount": said(
        "ResourceInitializationError: failed to invoke EFS utils commands: mount.nfs4: Connection timed out"
    ),
    "out-of-memory": said("OutOfMemoryError: Container killed due to memory usage"),
    "timeout": failed(137, "Job attempt duration exceeded timeout"),
    "no-capacity": failed(
        None, "Canceled by JobStateTimeLimit action due to reason: CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"
    ),
    "waited-too-long": failed(
        None, "Canceled by JobStateTimeLimit action due to reason: MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"
    ),
    "dependency-failed": failed(None, "Dependent Job failed"),
    "host-lost": failed(None, "Host EC2 (instance i-0) terminated."),
    "cancelled": failed(None, "cancelled by its user"),
    **{f"exit-{int(code)}": failed(int(code)) for code in ExitCode if code},
    "no-module": failed(log=("Traceback", "ModuleNotFoundError: No module named 'xarray'")),
    "no-library": failed(
        127, log=("./a.out: error while loading shared libraries: libfftw3.so.3: cannot open shared object file",)
    ),
    "illegal-instruction": failed(132, log=("Illegal instruction",)),
    "disk-full": failed(log=("OSError: [Errno 28] No space left on device",)),
    "no-file": failed(2, log=("python: can't open file 'solve.py': [Errno 2]",)),
    "not-allowed": failed(log=("ClientError: An error occurred (AccessDenied) when calling PutObject",)),
    "not-executable": failed(126),
    "not-found": failed(127),
    "killed": failed(137),
    "segfault": failed(139),
    "aborted": failed(134),
    "terminated": failed(143),
    "signal-8": failed(136),
    "program": failed(3),
    "failed": failed(None, "something new"),
}


def facts(changes: dict[str, Any]) -> Facts:
    return replace(HEALTHY, **changes)


@pytest.mark.parametrize(("code", "changes"), [*WAITING.items(), *FAILED.items()], ids=[*WAITING, *FAILED])
def test_the_cause_is_the_one_thing_that_is_wrong(code: str, changes: dict[str, Any]) -> None:
    found = diagnose(facts(changes))
    assert found is not None
    assert found.code == code
    assert found.cause
    assert found.remedy.rstrip().endswith((".", ")", "?"))


def test_a_reason_that_nobody_knows_is_told_as_it_is() -> None:
    found = diagnose(facts(said("CannotStartContainerError: no-such-program: not found")))
    assert found is not None
    assert (found.code, found.cause) == ("failed", "CannotStartContainerError: no-such-program: not found")


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (
            "image-denied",
            (
                "CannotPullContainerError: Error response from daemon: pull access denied for "
                "123456789012.dkr.ecr.us-east-1.amazonaws.com/tutti, repository does not exist or may require 'docker login': denied: "
                "User: arn:aws:sts::123456789012:assumed-role/tutti-dev-instance/i-0123456789abcdef0 is not authorized to perform: "
                "ecr:BatchGetImage on resource: arn:aws:ecr:us-east-1:123456789012:repository/tutti because no identity-based policy "
                "allows the ecr:BatchGetImage action"
            ),
        ),
        (
            "image-not-found",
            (
                "CannotPullContainerError: Error response from daemon: pull access denied for lab/solvr, repository does not exist "
                "or may require 'docker login': denied: requested access to the resource is denied"
            ),
        ),
        ("image-not-found", "CannotPullContainerError: manifest for x@sha256:a403b not found: manifest unknown"),
        ("image-denied", "CannotPullContainerError: failed to resolve reference: unexpected status: 403 Forbidden"),
    ],
)
def test_no_right_to_an_image_is_not_taken_for_no_image(code: str, text: str) -> None:
    """Docker says "repository does not exist" of both; only a registry's refusal tells them apart."""
    found = diagnose(facts(said(text)))
    assert found is not None
    assert found.code == code


OTHERS = Quota(code="L-1216C47A", name="Standard", vcpus=64, used=56)


@pytest.mark.parametrize(
    ("own", "busy", "code"),
    [
        (32, 0, "starting"),  # all four nodes boot: they are the job's own
        (16, 0, "quota-L-1216C47A"),  # two nodes: 40 are others', 24 are left for 32
        (32, 16, "quota-L-1216C47A"),  # the pool's instances are there, and half of them have work
        (None, 0, "starting"),  # which instances are the pool's is not known
    ],
)
def test_instances_that_boot_for_the_job_are_not_counted_against_it(own: float | None, busy: int, code: str) -> None:
    found = diagnose(facts({"quota": replace(OTHERS, own=own), "queue": replace(QUEUE, busy_vcpus=busy)}))
    assert found is not None
    assert found.code == code


def test_a_quota_below_the_job_is_told_whoever_uses_it() -> None:
    found = diagnose(facts({"quota": replace(OTHERS, vcpus=16, own=None)}))
    assert found is not None
    assert found.cause == "the account may run 16 vCPUs of Standard, and the job needs 32"


@pytest.mark.parametrize(
    ("state", "free", "own", "code"),
    [
        ("STARTING", 0, 32, "starting"),  # its nodes hold the addresses
        ("RUNNABLE", 4, 32, "starting"),  # the instances are there, their tasks are not
        ("RUNNABLE", 3, 32, "no-addresses"),
        ("RUNNABLE", 5, 16, "no-addresses"),
        ("RUNNABLE", 4, None, "starting"),
        ("RUNNABLE", 7, 0, "no-addresses"),
    ],
)
def test_addresses_that_the_jobs_own_nodes_hold_are_not_missed(
    state: str, free: int, own: float | None, code: str
) -> None:
    changes = {**job(state=state), **subnet(free_addresses=free), "quota": replace(OTHERS, vcpus=512, own=own)}
    found = diagnose(facts(changes))
    assert found is not None
    assert found.code == code


def test_how_far_each_missing_node_came_is_told() -> None:
    """Main's log names who is missing; Batch knows what became of them."""
    nodes = (
        Node(index=0, id="j1#0", state="FAILED", reason="Essential container in task exited", stream="s/0"),
        Node(index=1, id="j1#1", state="FAILED", reason="Host EC2 (instance i-1) terminated."),
        Node(index=2, id="j1#2", state="FAILED", stream="s/2"),
        Node(index=3, id="j1#3", state="FAILED", attempts=(Attempt(number=1, reason="CannotPullContainerError: x"),)),
    )
    log = ("[0] tutti: nodes 1, 3-4 of 5 did not join within 600 s",)
    found = diagnose(facts(failed(220, nodes=nodes, log=log)))
    assert found is not None
    assert found.cause == (
        "nodes missing at the deadline for joining; node 1 did not start and is FAILED: Host EC2 (instance i-1) terminated.; "
        "node 3 did not start and is FAILED: CannotPullContainerError: x"
    )


def test_of_many_missing_nodes_some_are_told_and_the_rest_counted() -> None:
    nodes = tuple(Node(index=n, id=f"j1#{n}", state="FAILED") for n in range(8))
    found = diagnose(facts(failed(220, nodes=nodes, log=("tutti: nodes 1-7 of 8 did not join within 600 s",))))
    assert found is not None
    assert found.cause.count("did not start") == 4
    assert found.cause.endswith("; 3 more")


def test_without_a_job_a_pool_larger_than_the_quota_is_told() -> None:
    (found,) = check_up(facts({"job": None, "quota": replace(OTHERS, vcpus=128)}))
    assert found.code == "quota-L-1216C47A"
    assert "offers 256 vCPUs" in found.cause
    assert "--desired-value 256." in found.remedy


def test_there_are_at_least_25_causes() -> None:
    assert len({*WAITING, *FAILED}) >= 25


@pytest.mark.parametrize("state", ["RUNNING", "SUCCEEDED"])
def test_nothing_is_wrong_with_a_job_that_runs_or_is_done(state: str) -> None:
    assert diagnose(facts(job(state=state))) is None


@pytest.mark.parametrize(
    "hidden",
    [
        {"network": None, "file_system": None},
        {"queue": None},
        {"quota": None, "image": None, "secret": None},
        {"card_queue": None},
    ],
)
def test_what_could_not_be_asked_is_blamed_for_nothing(hidden: dict[str, Any]) -> None:
    found = diagnose(facts({**hidden, "job": OLD, "unasked": ("the network (UnauthorizedOperation)",)}))
    assert found is not None
    assert found.code == "not-known"
    assert "UnauthorizedOperation" in found.remedy


def test_a_job_that_starts_is_not_told_of_queues() -> None:
    found = diagnose(
        facts(
            {
                **job(state="STARTING"),
                "file_system": replace(SYSTEM, nfs_open=False),
                "queue": replace(QUEUE, head="j0"),
            }
        )
    )
    assert found is not None
    assert found.code == "nfs-closed"


def test_a_single_good_environment_is_enough() -> None:
    queue = replace(QUEUE, environments=(replace(ENVIRONMENT, state="DISABLED"), ENVIRONMENT))
    found = diagnose(facts({"queue": queue}))
    assert found is not None
    assert found.code == "starting"


def test_the_numbers_are_in_the_words() -> None:
    found = diagnose(facts(environment(max_vcpus=16)))
    assert found is not None
    assert "4 x 8 = 32 vCPUs" in found.cause
    assert "at most 2 nodes" in found.remedy


def test_a_cluster_is_told_everything_at_once() -> None:
    network = replace(PRIVATE, endpoints=PRIVATE.endpoints - {"logs"}, groups=(replace(GROUP, self_in=False),))
    found = check_up(facts({"job": None, "network": network, "queue": replace(QUEUE, state="DISABLED")}))
    assert [item.code for item in found] == ["queue-disabled", "no-endpoint-logs", "group-self-in"]
    assert check_up(facts({"job": None})) == []
