"""What of the network, the file system and the image keeps nodes from coming up. Pure.

Sources: aws-batch-facts sections 5 and 6: multi-node jobs are awsvpc without a public address, so they need a NAT or
these endpoints; the secret needs Secrets Manager's; EFS a mount target in the zone and NFS from the nodes' group.
"""

from __future__ import annotations

from typing import Final

from tutti.why.facts import Facts, Finding
from workload.contract import PoolKind

ENDPOINTS: Final = {
    "ecs": "the ECS agent registers the instance",
    "ecs-agent": "the ECS agent is told what to run",
    "ecs-telemetry": "the ECS agent reports",
    "ecr.api": "the image is looked up",
    "ecr.dkr": "the image is pulled",
    "logs": "the log is written",
    "secretsmanager": "the gang's secret is read",
}
AVAILABLE: Final = "available"


def no_addresses(facts: Facts) -> Finding | None:
    """Too few free addresses, before the job's nodes hold theirs: once it starts, they are taken by itself."""
    if facts.network is None or not facts.network.subnets or (facts.job and facts.job.state == "STARTING"):
        return None
    free = sum(subnet.free_addresses for subnet in facts.network.subnets)
    nodes = (facts.job.nodes if facts.job else None) or 1
    needed = 2 * nodes - _instances_there(facts, nodes)  # an instance and its task's own interface
    if free >= needed:
        return None
    ids = ", ".join(subnet.id for subnet in facts.network.subnets)
    return Finding(
        code="no-addresses",
        cause=f"the pool's subnets ({ids}) have {free} free addresses, and the job needs {needed}: one for each instance that is not yet there "
        "and one for each task",
        remedy="The operator gives the pool a larger subnet, or ends what holds addresses there.",
    )


def public_subnet(facts: Facts) -> Finding | None:
    if facts.network is None or not _for_gangs(facts):
        return None
    public = [subnet.id for subnet in facts.network.subnets if subnet.public and not subnet.nat]
    if not public:
        return None
    return Finding(
        code="public-subnet",
        cause=f"{', '.join(public)} leads to the internet through an internet gateway, and nodes of a gang have no public address: they reach nothing",
        remedy="The operator puts the pool into private subnets with a NAT gateway or the endpoints (egress: nat, or endpoints).",
    )


def no_way_out(facts: Facts) -> Finding | None:
    network = facts.network
    if network is None or not network.subnets or any(s.nat or s.public for s in network.subnets) or network.endpoints:
        return None
    return Finding(
        code="no-way-out",
        cause="the pool's subnets have neither a route to a NAT gateway nor any endpoint: nodes cannot reach AWS",
        remedy="The operator sets egress to nat or endpoints and runs pulumi up.",
    )


def missing_endpoint(facts: Facts) -> Finding | None:
    network = facts.network
    if (
        network is None
        or not network.subnets
        or any(s.nat or s.public for s in network.subnets)
        or not network.endpoints
    ):
        return None
    missing = [name for name in ENDPOINTS if name not in network.endpoints]
    if not missing:
        return None
    why = "; ".join(f"{name}: {ENDPOINTS[name]}" for name in missing)
    return Finding(
        code=f"no-endpoint-{missing[0]}",
        cause=f"the VPC has endpoints and no NAT, and lacks {', '.join(missing)} ({why})",
        remedy="The operator adds them: egress endpoints makes all that are needed (pulumi up).",
    )


def no_s3_gateway(facts: Facts) -> Finding | None:
    network = facts.network
    if network is None or not network.subnets or any(s.nat or s.public for s in network.subnets):
        return None
    if all(subnet.s3_gateway for subnet in network.subnets) or not network.endpoints or "s3" in network.endpoints:
        return None
    return Finding(
        code="no-s3-gateway",
        cause="a subnet of the pool has no route to S3's gateway endpoint: ECR keeps image layers there, so no image can be pulled",
        remedy="The operator adds the S3 gateway endpoint to the subnet's route table (pulumi up makes it).",
    )


def group_not_in(facts: Facts) -> Finding | None:
    return _group(facts, "in")


def group_not_out(facts: Facts) -> Finding | None:
    return _group(facts, "out")


def no_mount_target(facts: Facts) -> Finding | None:
    system, own = facts.file_system, facts.card_queue
    if system is None or own is None or system.state != AVAILABLE or not own.zone or own.zone in system.zones:
        return None
    return Finding(
        code="no-mount-target",
        cause=f"file system {system.id} has no mount target that is ready in {own.zone}, where the pool is: the container cannot mount it",
        remedy=f"The operator adds the zone {own.zone} to the stack's zones and runs pulumi up.",
    )


def file_system_not_there(facts: Facts) -> Finding | None:
    system = facts.file_system
    if system is None or system.state == AVAILABLE:
        return None
    return Finding(
        code="file-system-not-available",
        cause=f"file system {system.id} is {system.state}: the container cannot mount it",
        remedy="Wait while it is being made; where it has been deleted, the operator restores it from its backup.",
    )


def nfs_closed(facts: Facts) -> Finding | None:
    system = facts.file_system
    if system is None or not system.zones or system.nfs_open:
        return None
    return Finding(
        code="nfs-closed",
        cause=f"the mount targets of {system.id} let no NFS (port 2049) in from the nodes' security group",
        remedy="The operator opens 2049 from the nodes' group on the mount targets' group (pulumi up makes the rule).",
    )


def efs_policy(facts: Facts) -> Finding | None:
    system = facts.file_system
    if system is None or system.policy_allows is not False:
        return None
    return Finding(
        code="efs-policy",
        cause=f"the policy of file system {system.id} does not let the stack's access point be mounted by the job role",
        remedy="The operator runs pulumi up, which writes the policy, or adds the access point to it.",
    )


def image_gone(facts: Facts) -> Finding | None:
    image = facts.image
    if image is None or image.found is not False:
        return None
    return Finding(
        code="image-gone",
        cause=f"the image {image.uri} is no longer in its repository",
        remedy="Submit the job again: the newest definition names an image that is there. To keep an old one, the operator tags it.",
    )


def image_for_another_processor(facts: Facts) -> Finding | None:
    image, own = facts.image, facts.processors
    if image is None or not image.processors or not own or image.processors & own:
        return None
    types = ", ".join(facts.card_queue.instance_types) if facts.card_queue else "the pool's instances"
    return Finding(
        code="architecture",
        cause=f"the image is for {' and '.join(sorted(image.processors))}, and {types} has {' or '.join(sorted(own))} processors: "
        "no program of it can start there",
        remedy="Submit it with another --image or to another pool (tutti cluster show); or the operator builds the image for "
        f"linux/{min(own)} (`platform` in the stack's images).",
        evidence=image.uri,
    )


def secret_gone(facts: Facts) -> Finding | None:
    if not facts.secret:
        return None
    return Finding(
        code="secret-gone",
        cause=f"the gang's secret cannot be read: {facts.secret}",
        remedy="The operator restores it (aws secretsmanager restore-secret), or runs pulumi up, which makes a new one.",
    )


def _instances_there(facts: Facts, nodes: int) -> int:
    """How many of the instances that the job needs have their addresses already; where it is not known, all may have."""
    if facts.job is None:
        return 0
    if facts.idle_vcpus is None:
        return nodes
    a_node = facts.card_queue.vcpus if facts.card_queue else facts.vcpus
    return min(nodes, int(facts.idle_vcpus // max(1, a_node)))


def _for_gangs(facts: Facts) -> bool:
    """Whether nodes must reach each other, with no public address: a gang's, or those of a pool for gangs."""
    if facts.job is not None:
        return bool(facts.job.nodes)
    return facts.card_queue is None or facts.card_queue.kind is not PoolKind.SINGLE


def _group(facts: Facts, way: str) -> Finding | None:
    network = facts.network
    if network is None or not network.groups or not _for_gangs(facts):
        return None
    if any(g.self_in if way == "in" else (g.self_out or g.out_all) for g in network.groups):
        return None
    ids = ", ".join(group.id for group in network.groups)
    return Finding(
        code=f"group-self-{way}",
        cause=f"security group {ids} has no rule that lets nodes reach each other ({'ingress from' if way == 'in' else 'egress to'} itself)",
        remedy=f"The operator adds one: all traffic, {'source' if way == 'in' else 'destination'} the group itself (pulumi up makes both).",
    )


RULES: Final = (
    *(no_addresses, no_way_out, public_subnet, missing_endpoint, no_s3_gateway, group_not_in, group_not_out),
    *(file_system_not_there, no_mount_target, nfs_closed, efs_policy, image_gone),
    *(image_for_another_processor, secret_gone),
)
