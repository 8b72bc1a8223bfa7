"""What is subtle about a cause: when it is told, before which other, and in what words. That each is found in AWS's own
answers: test_causes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tutti.jobs import Attempt, Details, Node
from tutti.why.diagnose import check_up, diagnose
from tutti.why.facts import Environment, Facts, FileSystem, Network, Queue, Quota, SecurityGroup, Subnet
from tutti.why.network import ENDPOINTS
from workload.contract import Card, CardQueue, PoolKind

NOW = 10_000.0
JOB = Details(id="j1", name="run", state="RUNNABLE", queue="q", definition="d:1", created=NOW - 60, nodes=4)
ENVIRONMENT = Environment(name="ce", state="ENABLED", status="VALID", max_vcpus=256, instance_types=("c7i.2xlarge",))
QUEUE = Queue(name="q", state="ENABLED", status="VALID", environments=(ENVIRONMENT,), head="j1")
SUBNET = Subnet(id="subnet-1", zone="us-east-1a", free_addresses=4000, nat=True, public=False, s3_gateway=True)
GROUP = SecurityGroup(id="sg-1", self_in=True, self_out=True, out_all=False)
NETWORK = Network(subnets=(SUBNET,), groups=(GROUP,), endpoints=frozenset())
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
)  # fmt: skip
OLD = replace(JOB, created=NOW - 7200)


def facts(**changes: Any) -> Facts:
    return replace(HEALTHY, **changes)


def failed(code: int, **changes: Any) -> Facts:
    return facts(
        job=replace(JOB, state="FAILED", exit_code=code, reason="Essential container in task exited"), **changes
    )


OTHERS = Quota(code="L-1216C47A", name="Standard", vcpus=64, used=56)


@pytest.mark.parametrize(
    ("own", "busy", "code"),
    [
        (32, 0, "starting"),  # all four nodes boot: they are the job's own
        (16, 0, "quota-L-1216C47A"),  # two nodes: 40 are others', 24 are left for 32
        (32, 16, "quota-L-1216C47A"),  # the pool's instances are there, and half of them have work
        (None, 0, "starting"),  # which instances are the pool's is not known
        (16, None, "starting"),  # nor which of them have work
    ],
)
def test_instances_that_boot_for_the_job_are_not_counted_against_it(
    own: float | None, busy: int | None, code: str
) -> None:
    found = diagnose(facts(quota=replace(OTHERS, own=own), queue=replace(QUEUE, busy_vcpus=busy)))
    assert found is not None
    assert found.code == code


def test_a_quota_below_the_job_is_told_whoever_uses_it() -> None:
    found = diagnose(facts(quota=replace(OTHERS, vcpus=16, own=None)))
    assert found is not None
    assert found.cause == "the account may run 16 vCPUs of Standard, and the job needs 32"


@pytest.mark.parametrize(
    ("state", "free", "own", "code"),
    [
        ("STARTING", 0, 32, "containers-starting"),  # its nodes hold the addresses
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
    network = replace(NETWORK, subnets=(replace(SUBNET, free_addresses=free),))
    found = diagnose(facts(job=replace(JOB, state=state), network=network, quota=replace(OTHERS, vcpus=512, own=own)))
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
    found = diagnose(failed(220, nodes=nodes, log=("[0] tutti: nodes 1, 3-4 of 5 did not join within 600 s",)))
    assert found is not None
    assert found.cause == (
        "nodes missing at the deadline for joining; node 1 did not start and is FAILED: Host EC2 (instance i-1) terminated.; "
        "node 3 did not start and is FAILED: CannotPullContainerError: x"
    )


def test_of_many_missing_nodes_some_are_told_and_the_rest_counted() -> None:
    nodes = tuple(Node(index=n, id=f"j1#{n}", state="FAILED") for n in range(8))
    found = diagnose(failed(220, nodes=nodes, log=("tutti: nodes 1-7 of 8 did not join within 600 s",)))
    assert found is not None
    assert found.cause.count("did not start") == 4
    assert found.cause.endswith("; 3 more")


def test_what_batch_knows_of_a_lost_node_is_told() -> None:
    """Main saw a connection close; that its container was killed for memory stands with the node alone."""
    memory = "OutOfMemoryError: Container killed due to memory usage"
    nodes = tuple(Node(index=n, id=f"j1#{n}", state="FAILED", reason=memory, stream="s") for n in range(3))
    log = ("[0] tutti: node 2 (10.0.0.7) is lost: its connection closed",)
    found = diagnose(failed(221, nodes=nodes, log=log))
    assert found is not None
    assert found.cause == f"a node was lost; node 2 started and is FAILED: {memory}"


def test_without_a_job_a_pool_larger_than_the_quota_is_told() -> None:
    (found,) = check_up(facts(job=None, quota=replace(OTHERS, vcpus=128)))
    assert found.code == "quota-L-1216C47A"
    assert "offers 256 vCPUs" in found.cause
    assert "--desired-value 256." in found.remedy


def test_what_is_certain_is_told_before_what_is_only_likely() -> None:
    """A gang that fits nowhere is not sent to wait behind others; one that AWS has no capacity for is not told of a full pool."""
    busy = replace(QUEUE, head="j0", ahead=3, busy_vcpus=256)
    assert [
        found.code
        for found in (
            diagnose(facts(queue=replace(busy, environments=(replace(ENVIRONMENT, max_vcpus=16),)))),
            diagnose(facts(queue=busy, job=replace(JOB, reason="CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - x"))),
            diagnose(facts(queue=busy)),
            diagnose(facts(queue=busy, file_system=replace(SYSTEM, nfs_open=False))),
        )
        if found
    ] == ["too-many-vcpus", "no-capacity", "behind-another", "behind-another"]


def test_a_job_that_starts_is_not_told_of_queues() -> None:
    starting = replace(JOB, state="STARTING")
    system = replace(SYSTEM, nfs_open=False)
    found = diagnose(facts(job=starting, file_system=system, queue=replace(QUEUE, head="j0")))
    assert found is not None
    assert found.code == "nfs-closed"


def test_a_single_good_environment_is_enough() -> None:
    queue = replace(QUEUE, environments=(replace(ENVIRONMENT, state="DISABLED"), ENVIRONMENT))
    found = diagnose(facts(queue=queue))
    assert found is not None
    assert found.code == "starting"


def test_what_could_not_be_asked_is_blamed_for_nothing() -> None:
    hidden: list[dict[str, Any]] = [{"network": None, "file_system": None}, {"queue": None}, {"card_queue": None}]
    for changes in hidden:
        found = diagnose(facts(**changes, job=OLD, unasked=("the network (x)",)))
        assert found is not None
        assert found.code == "not-known"


def test_what_ranks_say_alike_is_evidence_once() -> None:
    found = diagnose(failed(9, log=("bound", "no mesh", "no mesh", "no mesh", "no mesh", "no mesh")))
    assert found is not None
    assert found.evidence == "bound\nno mesh"


def test_what_the_runtime_says_of_itself_is_no_evidence_of_the_program_s_failure() -> None:
    runtime = ("tutti: 2 ranks on 1 node: 2 a node", "tutti: CPUs of node 0's local ranks: 0 1")
    ended = "tutti: node 0: rank 1 ended with 9"
    found = diagnose(failed(9, log=(*runtime, "no mesh", ended)))
    assert found is not None
    assert found.evidence == f"no mesh\n{ended}"
    silent = diagnose(failed(9, log=runtime))
    assert silent is not None
    assert silent.evidence == runtime[-1]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("cat: nofile.txt: No such file or directory", "nofile.txt"),
        ("ls: cannot access 'my file': No such file or directory", "my file"),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'mesh.dat'", "mesh.dat"),
        ("At line 3 of file a.f90: Cannot open file 'mesh.dat': No such file or directory", "mesh.dat"),
    ],
)
def test_a_file_that_is_not_there_is_named(line: str, name: str) -> None:
    found = diagnose(failed(1, log=(line, "tutti: node 0: rank 0 ended with 1")))
    assert found is not None
    assert (found.code, found.cause, found.evidence) == ("no-file", f"the program did not find {name}", line)


@pytest.mark.parametrize("place", ["s3://bucket/dev/my case/nobody", "shared:input/nobody"])
def test_an_input_that_could_not_be_moved_is_named_in_the_cause(place: str) -> None:
    for line in (f"tutti: node 0: {place}: nothing is there: no such object", f"tutti: node 0: {place}"):
        found = diagnose(failed(212, log=("tutti: 2 ranks", line)))
        assert found is not None
        assert found.cause == f"staging failed: an input or output could not be moved: {place}"
        assert "tutti data ls " in found.remedy
    unnamed = diagnose(failed(212, log=("tutti: node 0: no space for 3 files",)))
    assert unnamed is not None
    assert unnamed.cause == "staging failed: an input or output could not be moved"
    assert unnamed.remedy.startswith("The log names the file.")


def test_the_numbers_are_in_the_words() -> None:
    found = diagnose(facts(queue=replace(QUEUE, environments=(replace(ENVIRONMENT, max_vcpus=16),))))
    assert found is not None
    assert "4 x 8 = 32 vCPUs" in found.cause
    assert "at most 2 nodes" in found.remedy


def test_a_cluster_is_told_everything_at_once() -> None:
    private = replace(NETWORK, subnets=(replace(SUBNET, nat=False),), endpoints=frozenset(ENDPOINTS))
    network = replace(private, endpoints=private.endpoints - {"logs"}, groups=(replace(GROUP, self_in=False),))
    found = check_up(facts(job=None, network=network, queue=replace(QUEUE, state="DISABLED")))
    assert [item.code for item in found] == ["queue-disabled", "no-endpoint-logs", "group-self-in"]
