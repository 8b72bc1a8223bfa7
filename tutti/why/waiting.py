"""Why a job does not start: rules in the order of what is most certain and nearest to the user. Pure.

Sources: aws-batch-facts sections 1, 6, 8; the User Guide's "Jobs stuck in RUNNABLE status".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tutti.why.facts import Environment, Facts, Finding, Quota

STUCK_S: Final = 900  # a start of instances takes minutes; after a quarter of an hour something is wrong
NO_GANGS: Final = frozenset({"SPOT", "FARGATE", "FARGATE_SPOT", ""})

Rule = Callable[[Facts], Finding | None]


def dependencies(facts: Facts) -> Finding | None:
    waiting = [f"{job} ({state})" for job, state in facts.dependencies.items() if state not in {"SUCCEEDED", "FAILED"}]
    if facts.job is None or facts.job.state != "PENDING" or not waiting:
        return None
    return Finding(
        code="dependency",
        cause=f"it waits for {', '.join(waiting)}",
        remedy="It starts when those have succeeded. To start it without them: cancel it and submit it without --after.",
    )


def queue_gone(facts: Facts) -> Finding | None:
    queue = facts.queue
    if queue is None or queue.state != "MISSING":
        return None
    return Finding(
        code="queue-gone",
        cause=f"AWS Batch knows no queue {queue.name}: it has been deleted, and its jobs end",
        remedy=f"Fetch the cluster's card again (tutti cluster use {facts.card.stack}) and submit the job to one of tutti queues.",
    )


def queue_disabled(facts: Facts) -> Finding | None:
    """Without a job; for one that waits, `waits_in_disabled_queue`."""
    queue = facts.queue
    if queue is None or queue.state != "DISABLED":
        return None
    return Finding(
        code="queue-disabled",
        cause=f"queue {queue.name} is disabled: it takes no new jobs",
        remedy="A spent budget does that, or the operator. Ask the operator: aws batch update-job-queue "
        f"--job-queue {queue.name} --state ENABLED. Or resubmit to another queue of tutti queues.",
        evidence=queue.reason,
    )


def waits_in_disabled_queue(facts: Facts) -> Finding | None:
    """Jobs that are in a disabled queue can finish (API reference, JobQueueDetail): so it is the last thing to blame."""
    return queue_disabled(facts) if _waited(facts) >= STUCK_S else None


def queue_invalid(facts: Facts) -> Finding | None:
    queue = facts.queue
    if queue is None or queue.status != "INVALID":
        return None
    return Finding(
        code="queue-invalid",
        cause=f"queue {queue.name} is INVALID",
        remedy="Its operator must mend it: pulumi up; tutti doctor names what is wrong with its environments.",
        evidence=queue.reason,
    )


def no_environment(facts: Facts) -> Finding | None:
    queue = facts.queue
    if queue is None or queue.environments or queue.state == "MISSING":
        return None
    return Finding(
        code="no-environment",
        cause=f"queue {queue.name} has no compute environment",
        remedy="Its operator must deploy the stack again: pulumi up.",
    )


def no_good_environment(facts: Facts) -> Finding | None:
    """Where every environment of the queue is wrong, what the first one has; one good one is enough for a job."""
    queue = facts.queue
    if queue is None or not queue.environments or not all(_wrong(e) for e in queue.environments):
        return None
    first = queue.environments[0]
    where = f"compute environment {first.name} of queue {queue.name}"
    match _wrong(first):
        case "DISABLED":
            return Finding(
                code="environment-disabled",
                cause=f"{where} is disabled",
                remedy="Its operator must enable it: aws batch update-compute-environment --state ENABLED "
                f"--compute-environment {first.name}.",
                evidence=first.reason,
            )
        case "INVALID":
            return Finding(
                code="environment-invalid",
                cause=f"{where} is INVALID",
                remedy="Its operator must mend what AWS says there: a role, a launch template, a subnet that has gone (pulumi up).",
                evidence=first.reason,
            )
        case status:
            return Finding(
                code="environment-not-ready",
                cause=f"{where} is not ready: {status}",
                remedy=f"Wait some minutes. If it stays so, its operator must look at {first.name}.",
                evidence=first.reason,
            )


def gang_on_spot(facts: Facts) -> Finding | None:
    queue, job = facts.queue, facts.job
    if queue is None or job is None or not job.nodes or not queue.environments:
        return None
    first = queue.environments[0]
    if first.kind not in NO_GANGS:
        return None
    kind = {"": "an unmanaged environment", "SPOT": "Spot capacity"}.get(first.kind, "Fargate")
    return Finding(
        code="gang-on-spot",
        cause=f"AWS Batch runs multi-node jobs on On-Demand EC2 alone, and queue {queue.name} has {kind}: it would wait for ever",
        remedy=f"Cancel it (tutti cancel {job.id}) and submit it to a queue of kind mpi: tutti queues.",
    )


def too_many_vcpus(facts: Facts) -> Finding | None:
    queue, job = facts.queue, facts.job
    if queue is None or job is None or not queue.environments or any(not e.kind for e in queue.environments):
        return None  # an unmanaged environment has no such bound
    most = max(e.max_vcpus for e in queue.environments)
    if facts.total_vcpus <= most:
        return None
    nodes, fit = job.nodes or 1, most // facts.vcpus
    fewer = (
        f"Submit it with at most {fit} node{'s' if fit > 1 else ''}"
        if fit and job.nodes
        else "Submit it with fewer --vcpus"
    )
    return Finding(
        code="too-many-vcpus",
        cause=f"it asks for {nodes} x {facts.vcpus} = {facts.total_vcpus} vCPUs, and the pool of {queue.name} has {most} at most",
        remedy=f"{fewer}, or ask the operator for a larger maxVcpus of the pool.",
    )


def vcpus_of_a_node(facts: Facts) -> Finding | None:
    own = facts.card_queue
    if own is None or facts.vcpus <= own.vcpus:
        return None
    return Finding(
        code="vcpus-of-a-node",
        cause=f"a node is asked for {facts.vcpus} vCPUs, and {', '.join(own.instance_types)} has {own.vcpus}",
        remedy=f"Submit it with --vcpus {own.vcpus} or less, or to a pool of larger instances.",
    )


def memory_of_a_node(facts: Facts) -> Finding | None:
    own = facts.card_queue
    if own is None or facts.memory_mib <= own.memory_mib:
        return None
    return Finding(
        code="memory-of-a-node",
        cause=f"a node is asked for {facts.memory_mib} MiB, and {', '.join(own.instance_types)} leaves {own.memory_mib} MiB "
        "to a job (the system and the ECS agent keep the rest)",
        remedy=f"Submit it with --memory {own.memory_mib} or less, or to a pool of larger instances.",
    )


def no_capacity(facts: Facts) -> Finding | None:
    if not _said(facts, "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"):
        return None
    own = facts.card_queue
    where = f"{', '.join(own.instance_types)} in {own.zone}" if own else "this instance type"
    return Finding(
        code="no-capacity",
        cause=f"AWS has no capacity left for {where}: a gang needs all its nodes at once, and Batch does not try the next pool",
        remedy="Cancel and resubmit to another pool (tutti queues), or to fewer nodes; or wait.",
        evidence=_reason(facts),
    )


def max_resource(facts: Facts) -> Finding | None:
    if not _said(facts, "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE"):
        return None
    return Finding(
        code="max-resource",
        cause="no environment of the queue is large enough for this job",
        remedy="Submit it with fewer nodes, or ask the operator for a larger maxVcpus of the pool.",
        evidence=_reason(facts),
    )


def resource_requirement(facts: Facts) -> Finding | None:
    if not _said(facts, "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"):
        return None
    return Finding(
        code="resource-requirement",
        cause="no instance of the pool has what a node is asked for (vCPUs, memory or GPUs)",
        remedy="Submit it with smaller --vcpus, --memory or --gpus: tutti cluster show has what a node offers.",
        evidence=_reason(facts),
    )


def role_permissions(facts: Facts) -> Finding | None:
    if not _said(facts, "MISCONFIGURATION:SERVICE_ROLE_PERMISSIONS"):
        return None
    return Finding(
        code="role-permissions",
        cause="AWS Batch may not do what it must: the service-linked role lacks a permission",
        remedy="The operator must look at AWSServiceRoleForBatch and at the key policies of encrypted volumes.",
        evidence=_reason(facts),
    )


def no_quota(facts: Facts) -> Finding | None:
    """The account's quota, less what runs. Instances of the pool that wait for work are the job's own to be."""
    quota = facts.quota
    if quota is None:
        return None
    taken = quota.used - (facts.idle_vcpus if facts.idle_vcpus is not None else quota.used)
    if quota.vcpus - taken >= facts.total_vcpus:
        return None
    return Finding(
        code=f"quota-{quota.code}",
        cause=f"the account may run {quota.vcpus:.0f} vCPUs of {quota.name}, {f'{taken:.0f} are in use, ' if taken else ''}"
        f"and the job needs {facts.total_vcpus}",
        remedy=f"{_more(quota, taken + facts.total_vcpus)} Until then: fewer nodes.",
    )


def quota_below_pool(facts: Facts) -> Finding | None:
    """Without a job: whether the account may run what the pool offers."""
    quota, own = facts.quota, facts.card_queue
    if quota is None or own is None or quota.vcpus >= own.max_vcpus:
        return None
    return Finding(
        code=f"quota-{quota.code}",
        cause=f"the pool of {own.name} offers {own.max_vcpus} vCPUs, and the account may run {quota.vcpus:.0f} of {quota.name}: "
        "a job that needs more waits for ever",
        remedy=f"{_more(quota, own.max_vcpus)} Or the operator lowers max_vcpus of the pool.",
    )


def behind_another(facts: Facts) -> Finding | None:
    queue, job = facts.queue, facts.job
    if queue is None or job is None or not queue.head or queue.head == job.id:
        return None
    return Finding(
        code="behind-another",
        cause=f"{queue.ahead} job{'s stand' if queue.ahead != 1 else ' stands'} before it in {queue.name}, with {queue.head} at the head: "
        "a gang that waits for its nodes lets nobody past",
        remedy=f"Ask why that one waits: tutti why {queue.head}. Or resubmit this one to another queue.",
    )


def pool_busy(facts: Facts) -> Finding | None:
    queue = facts.queue
    if queue is None or not queue.environments or not queue.busy_vcpus:
        return None
    most = max(e.max_vcpus for e in queue.environments)
    if most - queue.busy_vcpus >= facts.total_vcpus:
        return None
    return Finding(
        code="pool-busy",
        cause=f"{queue.busy_vcpus} of the pool's {most} vCPUs are at work, and the job needs {facts.total_vcpus} at once",
        remedy="It starts when enough of them are free: tutti queues. For more at once, the operator raises maxVcpus.",
    )


def action_required(facts: Facts) -> Finding | None:
    if not _said(facts, "ACTION_REQUIRED"):
        return None
    return Finding(
        code="action-required",
        cause="AWS Batch cannot start it before the operator has done something",
        remedy="AWS's words say what: most often to mend or enable a compute environment of the queue.",
        evidence=_reason(facts),
    )


def undetermined(facts: Facts) -> Finding | None:
    if not _said(facts, "UNDETERMINED"):
        return None
    return Finding(
        code="undetermined",
        cause="it blocks its queue, and AWS Batch does not know why",
        remedy="The operator looks at the events of EC2 in CloudTrail (RunInstances, CreateFleet), and whether the pool's "
        "instances join its ECS cluster.",
        evidence=_reason(facts),
    )


def containers_starting(facts: Facts) -> Finding | None:
    """The last word of a job that has its instances: for how long, AWS does not say."""
    job = facts.job
    if job is None or job.state != "STARTING":
        return None
    return Finding(
        code="containers-starting",
        cause="nothing is wrong that can be seen: its instances are there, and the image is being pulled",
        remedy=f"Wait: tutti wait {job.id} --until running. If it stays so for a quarter of an hour, ask the operator to look "
        "at the pool's ECS cluster.",
        evidence=facts.container_reason,
    )


def instances_starting(facts: Facts) -> Finding | None:
    """The last word: nothing is wrong, or nothing that can be seen."""
    job = facts.job
    if job is None:
        return None
    waited = _waited(facts)
    if waited < STUCK_S:
        return Finding(
            code="starting",
            cause="nothing is wrong: instances are being started, which takes some minutes",
            remedy=f"Wait: tutti wait {job.id} --until running.",
            evidence=facts.container_reason,
        )
    return Finding(
        code="not-known",
        cause=f"it has waited for {waited / 60:.0f} minutes and nothing that can be seen from here is wrong",
        remedy="Ask the operator to look at the instances of the pool's Auto Scaling group: do they join its ECS cluster?",
        evidence=_reason(facts) or facts.container_reason,
    )


def _waited(facts: Facts) -> float:
    """Seconds that a job has waited for its instances: from when it came to its queue's head, where that is known."""
    since = max(facts.job.created if facts.job else facts.now, facts.queue.head_since if facts.queue else 0.0)
    return facts.now - since


def _wrong(environment: Environment) -> str:
    """The state or status in which an environment starts no job; empty where it may."""
    if environment.state == "DISABLED":
        return environment.state
    return (
        environment.status if environment.status in {"INVALID", "CREATING", "UPDATING", "DELETING", "DELETED"} else ""
    )


def _said(facts: Facts, code: str) -> bool:
    return code in _reason(facts)


def _reason(facts: Facts) -> str:
    return facts.job.reason if facts.job else ""


def _more(quota: Quota, vcpus: float) -> str:
    """How to ask for a quota that holds `vcpus`: the next multiple of 64."""
    return (
        f"The operator asks for more: aws service-quotas request-service-quota-increase --service-code ec2 "
        f"--quota-code {quota.code} --desired-value {-(-int(vcpus) // 64) * 64}."
    )


CLUSTER: Final[tuple[Rule, ...]] = (
    queue_gone,
    queue_invalid,
    no_environment,
    no_good_environment,
)
FIT: Final[tuple[Rule, ...]] = (gang_on_spot, too_many_vcpus, vcpus_of_a_node, memory_of_a_node)
SAID: Final[tuple[Rule, ...]] = (no_capacity, max_resource, resource_requirement, role_permissions)
WAIT: Final[tuple[Rule, ...]] = (no_quota, behind_another, pool_busy, action_required, undetermined)
