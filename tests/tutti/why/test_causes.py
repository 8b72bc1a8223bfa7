"""Each cause comes of AWS's own answers, alone: a healthy account with one thing changed, asked as `tutti why` asks it.

The words are those of AWS: of the User Guide ("Jobs stuck in a RUNNABLE status"), of ECS's stopped tasks, and as users
report them.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import tutti
import tutti.why
from tests.tutti.why.account import ACCOUNT, ARN, IMAGE, JOB, OTHER, REGION, SECRET, Account
from tutti.twin.jobs import Stuck
from tutti.why import ended, gather
from tutti.why.network import ENDPOINTS
from workload.contract import ExitCode

Change = Callable[[Account], object]
Told = Callable[..., Any]

USER = f"User: arn:aws:sts::{ACCOUNT}:assumed-role/tutti-dev-instance/i-0123456789abcdef0 is not authorized to perform:"
FETCHING = f"Fetching secret data from AWS Secrets Manager in region {REGION}: secret {SECRET}: "
FARGATE = "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve "
MOUNT = "Error response from daemon: create ecs-dev-mpi-1-shared-faf8bc8696dee78e3e00: VolumeDriver.Create: mounting volume failed: "
START = "CannotStartContainerError: Error response from daemon: "
OCI = f"{START}failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: "
LIMIT = "Canceled by JobStateTimeLimit action due to reason: "
OF_FAMILY = {
    "L-F7808C92": "hpc7a.96xlarge", "L-417A185B": "p4d.24xlarge", "L-DB2E81BA": "g5.48xlarge", "L-2C3B7624": "trn1.32xlarge",
    "L-1945791B": "inf2.48xlarge", "L-6E869C2A": "dl1.24xlarge", "L-74FC7D96": "f2.48xlarge", "L-7295265B": "x2iedn.32xlarge",
    "L-43DA4232": "u7i-12tb.224xlarge", "L-1216C47A": "c7i.2xlarge",
}  # fmt: skip


def said(text: str) -> Change:
    return lambda a: a.fail(None, "Task failed to start", said=text)


def logged(*lines: str, code: int = 1) -> Change:
    return lambda a: a.fail(code, log=lines)


def blocked(reason: str) -> Change:
    return lambda a: a.job.update(statusReason=reason)


def of_family(instance_type: str) -> Change:
    def change(account: Account) -> None:
        account.pool(instance_type)
        account.quota = 16.0

    return change


def without(endpoint: str) -> Change:
    return lambda a: a.private(*(name for name in ENDPOINTS if name != endpoint))


def depend(account: Account) -> None:
    account.job |= {"status": "PENDING", "dependsOn": [{"jobId": OTHER}]}
    account.front.clear()
    account.another(status="RUNNING")


def queue_up(account: Account) -> None:
    account.another(status="RUNNABLE")
    account.front.insert(0, {"jobArn": f"{ARN}:job/{OTHER}", "earliestTimeAtPosition": 1})


def fill_pool(account: Account) -> None:
    account.another(status="RUNNING")
    account.jobs[OTHER]["nodeProperties"]["numNodes"] = 30


def disable_for_long(account: Account) -> None:
    account.queue["state"] = "DISABLED"
    account.wait(minutes=20)


def start(account: Account) -> None:
    account.job["status"] = "STARTING"
    account.front.clear()


def disable_one_and_break_the_other(account: Account) -> None:
    other = {
        **account.environment,
        "computeEnvironmentArn": "arn:2",
        "computeEnvironmentName": "2",
        "status": "INVALID",
    }
    account.environments.append(other)
    account.queue["computeEnvironmentOrder"].append({"order": 2, "computeEnvironment": "arn:2"})
    account.environment["state"] = "DISABLED"


def fail_without_nodes(account: Account) -> None:
    account.fail(None, "Dependent Job failed")
    account.jobs = {JOB: account.job}


def terminate(code: int | None, reason: str) -> Change:
    def change(account: Account) -> None:
        account.fail(code, reason)
        account.job["isTerminated"] = True

    return change


def close_the_nearest_target(account: Account) -> None:
    """Another zone's still lets everybody in."""
    account.targets.append({**account.target, "MountTargetId": "fsmt-00000002", "AvailabilityZoneName": "us-east-1b"})
    account.target_groups["fsmt-00000002"] = {**account.nfs_group, "GroupId": "sg-0000efs2"}
    account.nfs_group["IpPermissions"] = []


# Of the pool itself: `tutti doctor` finds the same without a job.
CLUSTER: list[tuple[str, Change]] = [
    ("queue-gone", lambda a: a.queues.clear()),
    ("queue-disabled", disable_for_long),
    ("queue-invalid", lambda a: a.queue.update(status="INVALID", statusReason="CLIENT_ERROR - the environment is INVALID")),
    ("no-environment", lambda a: a.queue.update(computeEnvironmentOrder=[])),
    ("environment-disabled", lambda a: a.environment.update(state="DISABLED")),
    ("environment-disabled", disable_one_and_break_the_other),
    ("environment-invalid", lambda a: a.environment.update(status="INVALID", statusReason="CLIENT_ERROR - Not authorized")),
    ("environment-not-ready", lambda a: a.environment.update(status="UPDATING")),
    *((f"quota-{code}", of_family(kind)) for code, kind in OF_FAMILY.items()),
    ("no-addresses", lambda a: a.subnet.update(AvailableIpAddressCount=1)),
    ("no-way-out", lambda a: a.table["Routes"].remove(a.route)),
    ("no-way-out", lambda a: a.route.update(State="blackhole")),
    ("public-subnet", lambda a: (a.route.pop("NatGatewayId"), a.route.update(GatewayId="igw-1"))),
    *((f"no-endpoint-{name}", without(name)) for name in ENDPOINTS),
    ("no-endpoint-ecs", lambda a: a.private(*ENDPOINTS)[0].update(State="pending")),
    ("no-s3-gateway", lambda a: a.private(*ENDPOINTS).pop()),
    ("no-s3-gateway", lambda a: a.private(*ENDPOINTS)[-1].update(RouteTableIds=["rtb-0"])),
    ("group-self-in", lambda a: a.group.update(IpPermissions=[])),
    ("group-self-out", lambda a: a.group.update(IpPermissionsEgress=[])),
    ("file-system-not-available", lambda a: a.system.update(LifeCycleState="deleting")),
    ("file-system-not-available", lambda a: a.refuse("DescribeFileSystems", "FileSystemNotFound")),
    ("no-mount-target", lambda a: a.target.update(AvailabilityZoneName="us-east-1b")),
    ("no-mount-target", lambda a: a.target.update(LifeCycleState="creating")),
    ("nfs-closed", lambda a: a.nfs_group["IpPermissions"][0].update(FromPort=22, ToPort=22)),
    ("nfs-closed", close_the_nearest_target),
    ("efs-policy", lambda a: a.policy["Statement"][0].update(Principal={"AWS": "arn:aws:iam::999999999999:root"})),
    ("image-gone", lambda a: a.images.clear()),
    ("image-gone", lambda a: a.refuse("BatchGetImage", "RepositoryNotFoundException")),
    ("architecture", lambda a: a.index["manifests"][0]["platform"].update(architecture="arm64")),
    ("architecture", lambda a: a.pool("c7g.2xlarge")),
    ("secret-gone", lambda a: a.refuse("DescribeSecret", "ResourceNotFoundException")),
    ("secret-gone", lambda a: a.secret.update(DeletedDate=datetime(2026, 11, 1, tzinfo=UTC))),
]  # fmt: skip

# Of the job, or of the moment: nothing is wrong with the cluster.
WAITING: list[tuple[str, Change]] = [
    ("starting", lambda a: None),
    ("containers-starting", start),
    ("dependency", depend),
    ("gang-on-spot", lambda a: a.resources.update(type="SPOT")),
    ("gang-on-spot", lambda a: a.resources.update(type="FARGATE")),
    ("too-many-vcpus", lambda a: a.resources.update(maxvCpus=16)),
    ("vcpus-of-a-node", lambda a: a.need("VCPU", 16)),
    ("memory-of-a-node", lambda a: a.need("MEMORY", 16384)),
    ("no-capacity", blocked(Stuck.CAPACITY.said("c7i.2xlarge"))),
    ("max-resource", blocked(Stuck.MAX_RESOURCE.said())),
    ("resource-requirement", blocked(Stuck.REQUIREMENT.said())),
    ("role-permissions", blocked("MISCONFIGURATION:SERVICE_ROLE_PERMISSIONS - Batch service role has a permission issue.")),
    ("action-required", blocked("ACTION_REQUIRED - CE(s) associated with the job queue are invalid.")),
    ("undetermined", blocked(Stuck.UNDETERMINED.said())),
    ("behind-another", queue_up),
    ("pool-busy", fill_pool),
    ("not-known", lambda a: a.wait(minutes=120)),
]  # fmt: skip

FAILED: list[tuple[str, Change]] = [
    ("image-not-found", said(f"CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref {IMAGE}: {IMAGE}: not found")),
    ("image-not-found", said("CannotPullContainerError: Error response from daemon: manifest for lab/mpi/openmpi:5 not found: manifest unknown: Requested image not found")),
    ("image-not-found", said("CannotPullContainerError: Error response from daemon: pull access denied for lab/solvr, repository does not exist or may require 'docker login': denied: requested access to the resource is denied")),
    ("image-not-found", said('CannotPullContainerError: failed to resolve ref "docker.io/lab/solvr:1": pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed')),
    ("image-denied", said(f"CannotPullECRContainerError: AccessDeniedException: {USER} ecr:GetAuthorizationToken on resource: * because no identity-based policy allows it")),
    ("image-denied", said(f"CannotPullContainerError: Error response from daemon: pull access denied for {IMAGE}, repository does not exist or may require 'docker login': denied: {USER} ecr:BatchGetImage on resource: arn:aws:ecr:x")),
    ("image-denied", said(f"CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref {IMAGE}: unexpected status: 403 Forbidden")),
    ("image-denied", said(f"CannotPullContainerError: Error response from daemon: Head https://{IMAGE}: no basic auth credentials")),
    ("image-denied", said(f"{FARGATE}ecr registry auth: service call has been retried 3 time(s): AccessDeniedException: {USER} ecr:GetAuthorizationToken")),
    ("image-rate-limit", said("CannotPullContainerError: Error response from daemon: toomanyrequests: You have reached your pull rate limit.")),
    ("image-unreachable", said(f'CannotPullContainerError: Error response from daemon: Get "https://{IMAGE}/v2/": net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)')),
    ("image-unreachable", said(f"{FARGATE}ecr registry auth: service call has been retried 3 time(s): RequestError: send request failed caused by: Post https://api.ecr")),
    ("image-too-large", said("CannotPullContainerError: write /var/lib/docker/tmp/GetImageBlob123: no space left on device")),
    ("image-pull", said("CannotPullContainerError: something new")),
    ("architecture", said("CannotPullContainerError: image Manifest does not contain descriptor matching platform 'linux/amd64'")),
    ("architecture", logged("exec /opt/tutti/bin/tutti-node: exec format error")),
    ("secret-denied", said(f"{FETCHING}AccessDeniedException: {USER} secretsmanager:GetSecretValue on resource: {SECRET}")),
    ("secret-denied", said(f"{FARGATE}secret from asm: service call has been retried 1 time(s): failed to fetch secret {SECRET} from secrets manager: AccessDeniedException: Access to KMS is not allowed")),
    ("secret-not-found", said(f"{FETCHING}ResourceNotFoundException: Secrets Manager can't find the specified secret.")),
    ("secret-unreachable", said(f"{FETCHING}RequestError: send request failed caused by: Post https://secretsmanager.{REGION}.amazonaws.com/: dial tcp: lookup secretsmanager: no such host")),
    ("log-not-opened", said(f"{START}failed to initialize logging driver: failed to create Cloudwatch log stream: RequestError: send request failed caused by: Post https://logs.{REGION}.amazonaws.com/: i/o timeout")),
    ("efs-mount", said(f'{MOUNT}Failed to resolve "fs-1.efs.{REGION}.amazonaws.com" - check that your file system ID is correct, and ensure that the VPC has an EFS mount target')),
    ("efs-mount", said("ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: stderr: b'mount.nfs4: access denied by server while mounting 127.0.0.1:/'")),
    ("no-entrypoint", said(f'{OCI}unable to start container process: exec: "tutti-node": executable file not found in $PATH: unknown')),
    ("container-slow", said("DockerTimeoutError: Could not transition to created; timed out after waiting 4m0s")),
    ("out-of-memory", lambda a: a.fail(137, said="OutOfMemoryError: Container killed due to memory usage")),
    ("out-of-memory", logged("[0] tutti: rank 3 ended: SIGKILL (137), out of memory", code=137)),
    ("timeout", lambda a: a.fail(224, "Job attempt duration exceeded timeout")),
    ("no-capacity", lambda a: a.fail(None, LIMIT + Stuck.CAPACITY)),
    ("waited-too-long", lambda a: a.fail(None, LIMIT + Stuck.REQUIREMENT)),
    ("dependency-failed", lambda a: a.fail(None, "Dependent Job failed")),
    ("host-lost", lambda a: a.fail(None, "Host EC2 (instance i-0123456789abcdef0) terminated.")),
    ("host-lost", lambda a: a.fail(None, "Your Spot Task was interrupted.")),
    ("cancelled", terminate(None, "cancelled by its user")),
    ("cancelled", terminate(224, "wrong input")),
    ("cancelled", terminate(143, "the job timed out for us: OutOfMemory, dependency")),
    *((f"exit-{int(code)}", lambda a, code=code: a.fail(int(code))) for code in ExitCode if code),
    ("no-module", logged("Traceback (most recent call last):", "ModuleNotFoundError: No module named 'xarray'")),
    ("no-library", logged("./a.out: error while loading shared libraries: libfftw3.so.3: cannot open shared object file: No such file or directory", code=127)),
    ("illegal-instruction", logged("Illegal instruction (core dumped)", code=132)),
    ("disk-full", logged("OSError: [Errno 28] No space left on device")),
    ("no-file", logged("python: can't open file 'solve.py': [Errno 2] No such file or directory", code=2)),
    ("no-file", logged("cat: nofile.txt: No such file or directory", "tutti: node 0: rank 0 ended with 1", code=1)),
    ("no-file", logged("Fortran runtime error: Cannot open file 'mesh.dat': No such file or directory", "Error termination.", code=2)),
    ("program", logged("rm: cannot remove 'old': No such file or directory", "it did not converge", code=3)),
    ("not-found", logged("sh: line 1: ./solver: No such file or directory", code=127)),
    ("not-allowed", logged("botocore.exceptions.ClientError: An error occurred (AccessDenied) when calling the PutObject operation: Access Denied")),
    ("not-executable", lambda a: a.fail(126)),
    ("not-found", lambda a: a.fail(127)),
    ("killed", lambda a: a.fail(137)),
    ("segfault", logged("WARNING: cannot open 'solver.rc': the defaults are taken", code=139)),
    ("aborted", lambda a: a.fail(134)),
    ("terminated", lambda a: a.fail(143)),
    ("signal-8", lambda a: a.fail(136)),
    ("program", lambda a: a.fail(3)),
    ("failed", lambda a: a.fail(None, "something new")),
    ("dependency-failed", fail_without_nodes),
    ("failed", said("CannotInspectContainerError: something new")),
]  # fmt: skip


def cases(scenarios: list[tuple[str, Change]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("code", "change"), scenarios, ids=[code for code, _ in scenarios])


@cases([*CLUSTER, *WAITING, *FAILED])
def test_the_cause_is_the_one_thing_that_is_wrong(code: str, change: Change, account: Account, why: Told) -> None:
    change(account)
    answer = why()
    found = answer["finding"]
    assert (found["code"], answer["unasked"]) == (code, [])
    assert found["cause"]
    assert found["remedy"].rstrip().endswith((".", ")", "?"))


@cases([*CLUSTER, *WAITING])
def test_a_doctor_finds_what_is_wrong_with_the_cluster_and_nothing_of_a_job(
    code: str, change: Change, account: Account, told: Told
) -> None:
    change(account)
    wrong = [result["code"] for result in told("doctor") if not result["good"]]
    assert wrong == ([code] if (code, change) in CLUSTER else [])


FAMILIES = {
    "exit-": [str(int(code)) for code in ended._CODES],
    "quota-": [code for _, code, _ in gather.QUOTAS],
    "no-endpoint-": list(ENDPOINTS),
    "group-self-": ["in", "out"],
    "signal-": ["8"],
}


def test_every_cause_has_a_scenario_and_stands_in_the_docs() -> None:
    codes = {code for path in Path(tutti.why.__path__[0]).glob("*.py") for code in codes_in(path)}
    assert codes - {code for code, _ in (*CLUSTER, *WAITING, *FAILED)} == set()
    assert len(codes) >= 25
    page = (Path(tutti.__path__[0]).parent / "docs" / "when-it-fails.md").read_text()
    told = [f"`{next((f'{family}N' for family in FAMILIES if code.startswith(family)), code)}`" for code in codes]
    assert [code for code in told if code not in page] == []


def codes_in(path: Path) -> set[str]:
    """Every `code` that a finding is made with: written there, from a table, or of a family."""
    tables = [code for _, code, *_ in (*ended._SAID, *ended._LOG)]
    found: set[str] = set()
    for call in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Finding"):
            continue
        match next(keyword.value for keyword in call.keywords if keyword.arg == "code"):
            case ast.Constant(value=str(code)):
                found.add(code)
            case ast.JoinedStr(values=[ast.Constant(value=str(family)), *_]):
                found |= {family + member for member in FAMILIES[family]}
            case ast.Name(id="code"):
                found |= set(tables)
            case other:
                pytest.fail(f"{path.name}: a code of a kind that is not known here: {ast.unparse(other)}")
    return found
