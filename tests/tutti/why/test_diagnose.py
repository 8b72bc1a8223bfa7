"""One cause for each state that a job can be stuck or have failed in, and none where nothing is wrong.

Each row changes one thing about a healthy cluster; so a rule that fires too easily shows as a wrong cause of another row.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tutti.jobs import Details
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
