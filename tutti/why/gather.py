"""The facts that a cause needs, asked of AWS: each part by itself, so that one missing permission hides one part alone."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from tutti.aws import told
from tutti.jobs import Details, Node, container_of, details
from tutti.listing import describe, list_jobs, nodes_of
from tutti.logs import streams_of, tail
from tutti.why.asker import Asker
from tutti.why.facts import Environment, Facts, Queue, Quota
from tutti.why.gather_network import file_system_of, network_of
from tutti.why.gather_task import gang_secret, image_of, processors_of, secret_of
from workload.contract import EVENT_MARK, CardQueue

if TYPE_CHECKING:
    from tutti.cluster import Cluster

LOG_LINES: Final = 40
MISSING: Final = "MISSING"  # a queue's state where AWS knows none of that name
BUSY: Final = ("STARTING", "RUNNING")
# EC2's quotas for running On-Demand instances, in vCPUs, by the family's first letters (Service Quotas, EC2).
QUOTAS: Final = (
    ("hpc", "L-F7808C92", "HPC instances"),
    ("p", "L-417A185B", "P instances"),
    ("g", "L-DB2E81BA", "G and VT instances"),
    ("vt", "L-DB2E81BA", "G and VT instances"),
    ("trn", "L-2C3B7624", "Trn instances"),
    ("inf", "L-1945791B", "Inf instances"),
    ("dl", "L-6E869C2A", "DL instances"),
    ("f", "L-74FC7D96", "F instances"),
    ("x", "L-7295265B", "X instances"),
    ("u", "L-43DA4232", "High Memory instances"),
    ("", "L-1216C47A", "Standard (A, C, D, H, I, M, R, T, Z) instances"),
)


@told
def facts_of_job(cluster: Cluster, job_id: str) -> Facts:
    """Everything that bears on one job; of an array, on its first element that failed or that waits.

    Raises
    ------
    NotFoundError
        No such job.
    """
    ask = Asker()
    item = describe(cluster, [job_id])[0]
    job = details(item)
    if element := ask.part("the array's elements", lambda: _element(cluster, job)):
        return facts_of_job(cluster, element)
    own = next((q for q in cluster.card.queues if q.name == job.queue), None)
    container = container_of(item)
    vcpus, memory = _needs(container)
    waiting = not job.ended and job.state != "RUNNING"
    queue = _queue(ask, cluster, job.queue, job) if waiting else None
    around = _around(ask, cluster, queue, own, container) if waiting else {}
    nodes = nodes_of(cluster, job) if job.ended and not job.array else []
    group = cluster.card.log_group
    log = ask.part("the log", lambda: _log(cluster, nodes), on=group) if job.state == "FAILED" else ()
    return Facts(
        card=cluster.card,
        now=time.time(),
        job=job,
        nodes=tuple(nodes),
        vcpus=vcpus,
        memory_mib=memory,
        container_reason=_reason(item, container),
        stopped=bool(item.get("isCancelled") or item.get("isTerminated")),
        dependencies=_dependencies(cluster, job) if job.state == "PENDING" else {},
        card_queue=own,
        queue=queue,
        log=log or (),
        unasked=tuple(ask.unasked),
        **around,
    )


@told
def facts_of_queue(cluster: Cluster, own: CardQueue) -> Facts:
    """Everything that bears on one queue, without a job."""
    ask = Asker()
    queue = _queue(ask, cluster, own.name, None)
    definition = next((d for d in cluster.card.definitions if d.pool in {"", own.pool}), None)
    container = (
        (ask.part("the definition", lambda: _defined(cluster, definition.arn), on=definition.arn) or {})
        if definition
        else {}
    )
    image = {"image": definition.image_uri} if definition else {}
    around = _around(ask, cluster, queue, own, {**container, **image})
    return Facts(
        card=cluster.card,
        now=time.time(),
        card_queue=own,
        queue=queue,
        unasked=tuple(ask.unasked),
        **around,
    )


def _around(
    ask: Asker, cluster: Cluster, queue: Queue | None, own: CardQueue | None, container: Mapping[str, Any]
) -> dict[str, Any]:
    """What is about a job that waits, or a queue; a twin has no such things of AWS's."""
    if cluster.is_twin:
        return {}
    return {
        **_place(ask, cluster, queue, own, container),
        **_task(ask, cluster, own, container),
        "quota": ask.part("quotas", lambda: quota_of(cluster, own, queue)) if own else None,
    }


def _place(
    ask: Asker, cluster: Cluster, queue: Queue | None, own: CardQueue | None, container: Mapping[str, Any]
) -> dict[str, Any]:
    """Network and file system of a queue's first environment."""
    if queue is None or not queue.environments:
        return {}
    first = queue.environments[0]
    network = ask.part("the network", lambda: network_of(cluster, first)) if first.subnets else None
    system = None
    if own and cluster.card.file_system:
        system = file_system_of(ask, cluster, own.zone, first.security_groups, container)
    return {"network": network, "file_system": system}


def _task(ask: Asker, cluster: Cluster, own: CardQueue | None, container: Mapping[str, Any]) -> dict[str, Any]:
    """What a node's container needs before it starts."""
    image = container.get("image", "")
    found = ask.part("the image", lambda: image_of(cluster, image), on=image) if image else None
    types = own.instance_types if own else ()
    # without the image's own there is nothing to compare them with
    processors = (
        ask.part("the instance types", lambda: processors_of(cluster, types)) if found and found.processors else None
    )
    return {
        "image": found,
        "processors": processors or frozenset(),
        "secret": ask.part("the gang's secret", lambda: secret_of(cluster, container), on=gang_secret(container)),
    }


def _defined(cluster: Cluster, arn: str) -> Mapping[str, Any]:
    """The container of a definition; empty where it is gone."""
    found = cluster.batch.describe_job_definitions(jobDefinitions=[arn])["jobDefinitions"]
    return container_of(found[0]) if found else {}


def _queue(ask: Asker, cluster: Cluster, name: str, job: Details | None) -> Queue | None:
    """A queue, its environments, its head and how busy its pool is."""
    found = ask.part("the queue", lambda: queue_of(cluster, name))
    if found is None or found.state == MISSING:
        return found
    arn = next((q.arn for q in cluster.card.queues if q.name == name), name)
    front = ask.part("the queue's head", lambda: _front(cluster, name), on=arn) or {}
    at_head = next(iter(front), "")
    before = list(front).index(job.id) if job and job.id in front else len(front)
    since = front.get(job.id, 0.0) if job and job.id == at_head else 0.0
    busy = ask.part("the pool's jobs", lambda: _busy(cluster, name))
    return replace(found, head=at_head, ahead=before, head_since=since, busy_vcpus=busy)


def queue_of(cluster: Cluster, name: str) -> Queue:
    """A queue and its environments."""
    batch = cluster.batch
    found = batch.describe_job_queues(jobQueues=[name])["jobQueues"]
    if not found:
        return Queue(name=name, state=MISSING, status=MISSING)
    described: Any = found[0]
    order = sorted(described.get("computeEnvironmentOrder", []), key=lambda e: e["order"])
    arns = [entry["computeEnvironment"] for entry in order]
    answer: Any = batch.describe_compute_environments(computeEnvironments=arns)["computeEnvironments"] if arns else []
    by_arn = {e["computeEnvironmentArn"]: e for e in answer} | {e["computeEnvironmentName"]: e for e in answer}
    return Queue(
        name=name,
        state=described["state"],
        status=described.get("status", ""),
        reason=described.get("statusReason", ""),
        environments=tuple(_environment(by_arn[arn]) for arn in arns if arn in by_arn),
    )


def _front(cluster: Cluster, name: str) -> dict[str, float]:
    """The jobs at the front of a queue, and since when each stands where it does."""
    snapshot: Any = cluster.batch.get_job_queue_snapshot(jobQueue=name)
    entries = snapshot.get("frontOfQueue", {}).get("jobs", [])
    return {e["jobArn"].rpartition("/")[2]: e.get("earliestTimeAtPosition", 0) / 1000 for e in entries}


def _element(cluster: Cluster, job: Details) -> str | None:
    """Of an array that failed, or of which no element runs: the first element to look at."""
    if not job.array or (job.ended and job.state != "FAILED") or job.array_states.get("RUNNING"):
        return None
    states = ("FAILED",) if job.ended else ("STARTING", "RUNNABLE")
    for state in (state for state in states if job.array_states.get(state)):
        found: Any = cluster.batch.list_jobs(arrayJobId=job.id, jobStatus=state, maxResults=1)  # type: ignore[arg-type]  # one of STATES
        return next((str(item["jobId"]) for item in found["jobSummaryList"]), None)
    return None


def _environment(item: dict[str, Any]) -> Environment:
    resources = item.get("computeResources", {})
    return Environment(
        name=item["computeEnvironmentName"],
        state=item.get("state", ""),
        status=item.get("status", ""),
        reason=item.get("statusReason", ""),
        kind=resources.get("type", "") if item.get("type") != "UNMANAGED" else "",
        max_vcpus=int(resources.get("maxvCpus", 0)),
        instance_types=tuple(resources.get("instanceTypes", ())),
        subnets=tuple(resources.get("subnets", ())),
        security_groups=tuple(resources.get("securityGroupIds", ())),
        instance_profile=resources.get("instanceRole", ""),
        tags=resources.get("tags", {}),
    )


def _busy(cluster: Cluster, name: str) -> int:
    """VCPUs of the queue's pool at work: of every queue that has the same pool."""
    queues = {q.name: q for q in cluster.card.queues}
    if name not in queues:
        return 0
    same = [q.name for q in cluster.card.queues if q.pool == queues[name].pool]
    jobs = [j for j in list_jobs(cluster, queues=same, states=BUSY) if j.state in BUSY]
    total = 0
    for item in describe(cluster, [j.id for j in jobs]):
        vcpus, _ = _needs(container_of(item))
        total += vcpus * (item.get("nodeProperties", {}).get("numNodes") or 1)
    return total


def quota_of(cluster: Cluster, own: CardQueue, queue: Queue | None) -> Quota | None:
    """The quota that the pool's instances count against, and what of it runs; Spot and Fargate have others.

    An instance is the pool's where it carries all tags that an environment of the queue gives to its instances.
    """
    if own.capacity != "on-demand" or not own.instance_types:
        return None
    family = own.instance_types[0]
    code, name = next((code, name) for prefix, code, name in QUOTAS if family.startswith(prefix))
    value = cluster.client("service-quotas").get_service_quota(ServiceCode="ec2", QuotaCode=code)["Quota"]["Value"]
    pages = (
        cluster.client("ec2")
        .get_paginator("describe_instances")
        .paginate(Filters=[{"Name": "instance-state-name", "Values": ["pending", "running"]}])
    )
    pools = [environment.tags.items() for environment in (queue.environments if queue else ()) if environment.tags]
    used = of_pool = 0
    for page in pages:
        for reservation in page["Reservations"]:
            for instance in reservation["Instances"]:
                if instance.get("InstanceLifecycle") != "spot" and _quota_code(instance["InstanceType"]) == code:
                    options = instance.get("CpuOptions", {})
                    vcpus = options.get("CoreCount", 0) * options.get("ThreadsPerCore", 1)
                    used += vcpus
                    tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
                    of_pool += vcpus if any(tags.items() >= pool for pool in pools) else 0
    return Quota(code=code, name=name, vcpus=value, used=used, own=of_pool if pools else None)


def _quota_code(instance_type: str) -> str:
    return next(code for prefix, code, _ in QUOTAS if instance_type.startswith(prefix))


def _needs(container: Mapping[str, Any]) -> tuple[int, int]:
    """VCPUs and MiB that a node is asked for."""
    needs = {r["type"]: float(r["value"]) for r in container.get("resourceRequirements", [])}
    vcpus = needs.get("VCPU", container.get("vcpus") or 0)
    return max(1, round(vcpus)), round(needs.get("MEMORY", container.get("memory") or 0))


def _reason(item: Mapping[str, Any], container: Mapping[str, Any]) -> str:
    """Why the last attempt's container ended: what became of earlier ones is no reason for how the job ended."""
    last = (item.get("attempts") or [{}])[-1]
    return str(container.get("reason") or last.get("container", {}).get("reason", ""))


def _dependencies(cluster: Cluster, job: Details) -> dict[str, str]:
    return {item["jobId"]: item["status"] for item in describe(cluster, list(job.depends_on))}


def _log(cluster: Cluster, nodes: Sequence[Node]) -> tuple[str, ...]:
    """The last lines of the last attempt's main node, without the runtime's events; none where it wrote nothing."""
    main = next((node for node in nodes if node.index == 0 or len(nodes) == 1), None)
    if main is None:
        return ()
    last = main.attempts[-1].stream if main.attempts else main.stream
    streams = [stream for stream in streams_of([main]) if stream.name == last]
    lines = tail(cluster.logs, cluster.card.log_group, streams, LOG_LINES)
    return tuple(line.line.text for line in lines if not line.line.text.startswith(EVENT_MARK))
