"""Laws of the whole program, in every variation; each is shown to bite on something wrong."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest

from workload.contract import PlaceVariable, Tag, Variable
from workload.settings import Settings, variable

# Types that AWS knows no tags for: parts of something else that has them.
TAGLESS = {
    "aws:batch/jobDefinition:JobDefinition": False,
    **dict.fromkeys(
        [
            "aws:cloudwatch/dashboard:Dashboard",
            "aws:cloudwatch/eventTarget:EventTarget",
            "aws:cloudwatch/logMetricFilter:LogMetricFilter",
            "aws:cloudwatch/logResourcePolicy:LogResourcePolicy",
            "aws:cfg/deliveryChannel:DeliveryChannel",
            "aws:cfg/recorder:Recorder",
            "aws:cfg/recorderStatus:RecorderStatus",
            "aws:ec2/route:Route",
            "aws:ec2/routeTableAssociation:RouteTableAssociation",
            "aws:ecr/lifecyclePolicy:LifecyclePolicy",
            "aws:efs/backupPolicy:BackupPolicy",
            "aws:efs/fileSystemPolicy:FileSystemPolicy",
            "aws:efs/mountTarget:MountTarget",
            "aws:iam/rolePolicy:RolePolicy",
            "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
            "aws:lambda/permission:Permission",
            "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
            "aws:s3/bucketOwnershipControls:BucketOwnershipControls",
            "aws:s3/bucketPolicy:BucketPolicy",
            "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
            "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
            "aws:s3/bucketVersioning:BucketVersioning",
            "aws:secretsmanager/secretVersion:SecretVersion",
            "aws:sns/topicPolicy:TopicPolicy",
            "aws:sns/topicSubscription:TopicSubscription",
        ],
        True,
    ),
}
DATA = ("s3/bucket:Bucket", "efs/fileSystem:FileSystem", "fsx/lustreFileSystem:LustreFileSystem")
KEPT = (*DATA, "ecr/repository:Repository", "batch/jobQueue:JobQueue")
WORLD = {"0.0.0.0/0", "::/0"}
SSH = 22
NAMES = {*Variable, *PlaceVariable, *(variable(name) for name in Settings.FIELDS)}


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def statements(made: Any) -> Iterator[dict[str, Any]]:
    """Statements of every policy that a resource carries."""
    for key, text in made.inputs.items():
        if "olicy" in key and isinstance(text, str) and '"Statement"' in text:
            yield from listed(json.loads(text)["Statement"])


def containers(d: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for made in d.of("batch/jobDefinition:JobDefinition"):
        if nodes := made.inputs.get("nodeProperties"):
            yield from ((made.name, r["container"]) for r in json.loads(nodes)["nodeRangeProperties"])
        else:
            yield made.name, made.json("containerProperties")


def orphans(d: Any) -> list[str]:
    components = {r.urn for r in d.resources if not r.custom}
    apart = ("pulumi:pulumi:", "tutti:")
    return [r.name for r in d.resources if not r.type.startswith(apart) and r.parent not in components]


def unfinished(d: Any) -> list[str]:
    return [r.name for r in d.resources if not r.custom and r.urn not in d.finished]


def untagged(d: Any) -> list[str]:
    needed = {Tag.STACK.value, Tag.GROUP.value}
    return [
        r.urn
        for r in d.resources
        if r.type.startswith("aws:") and not TAGLESS.get(r.type) and not needed <= set(r.inputs.get("tags") or {})
    ]


def instances_untagged(d: Any) -> list[str]:
    needed, bad = {Tag.STACK.value, Tag.GROUP.value}, []
    for r in d.of("ComputeEnvironment"):
        resources = r.inputs["computeResources"]
        if resources["type"] != "FARGATE" and not needed <= set(resources.get("tags") or {}):
            bad.append(r.name)
    for r in d.of("LaunchTemplate"):
        tagged = {s["resourceType"] for s in r.inputs.get("tagSpecifications", []) if needed <= set(s["tags"])}
        bad += [] if tagged >= {"instance", "volume"} else [r.name]
    return bad


def unencrypted(d: Any) -> list[str]:
    bad = [r.name for r in d.of("efs/fileSystem:FileSystem") if r.inputs.get("encrypted") is not True]
    for r in d.of("LaunchTemplate"):
        bad += [
            r.name for m in r.inputs.get("blockDeviceMappings", []) if str(m["ebs"].get("encrypted")).lower() != "true"
        ]
    named = {r.inputs["bucket"] for r in d.of("BucketServerSideEncryptionConfiguration")}
    bad += [r.name for r in d.of("s3/bucket:Bucket") if f"{r.name}-0000000" not in named]
    return bad + [r.name for r in d.of("ecr/repository:Repository") if not r.inputs.get("encryptionConfigurations")]


def open_buckets(d: Any) -> list[str]:
    blocked = {r.inputs["bucket"]: r for r in d.of("BucketPublicAccessBlock")}
    policies = {r.inputs["bucket"]: r for r in d.of("BucketPolicy")}
    bad = []
    for r in d.of("s3/bucket:Bucket"):
        name = f"{r.name}-0000000"
        switches = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
        closed = name in blocked and all(blocked[name].inputs.get(s) for s in switches)
        tls = name in policies and any(
            s["Effect"] == "Deny" and s.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport") == "false"
            for s in statements(policies[name])
        )
        bad += [] if closed and tls else [r.name]
    return bad


def open_ingress(d: Any) -> list[str]:
    bad = [
        r.name for r in d.of("SecurityGroupIngressRule") if {r.inputs.get("cidrIpv4"), r.inputs.get("cidrIpv6")} & WORLD
    ]
    for kind in ("ec2/securityGroup:SecurityGroup", "DefaultSecurityGroup"):
        bad += [r.name for r in d.of(kind) if r.inputs.get("ingress")]
    return bad


def ssh(d: Any) -> list[str]:
    return [
        r.name
        for r in d.of("SecurityGroupIngressRule")
        if r.inputs.get("fromPort") is not None and r.inputs["fromPort"] <= SSH <= r.inputs["toPort"]
    ] + [r.name for r in d.resources if r.type.endswith("KeyPair") or "keyName" in r.inputs]


def wildcards(d: Any) -> list[str]:
    return [
        r.name
        for r in d.resources
        for s in statements(r)
        if s["Effect"] == "Allow"
        and "Resource" in s
        and any(a == "*" or a.endswith(":*") for a in listed(s["Action"]))
        and "*" in listed(s["Resource"])
    ]


def for_ever(d: Any) -> list[str]:
    return [r.name for r in d.of("LogGroup") if not r.inputs.get("retentionInDays")]


def not_contracted(d: Any) -> list[str]:
    return [
        f"{name}: {pair['name']}" for name, c in containers(d) for pair in c["environment"] if pair["name"] not in NAMES
    ]


def privileged(d: Any) -> list[str]:
    return [
        name
        for name, c in containers(d)
        if c.get("privileged") or c.get("linuxParameters", {}).get("initProcessEnabled") or c.get("user") == "root"
    ]


def revisions_lost(d: Any) -> list[str]:
    return [
        r.name
        for r in d.of("batch/jobDefinition:JobDefinition")
        if r.inputs.get("deregisterOnNewRevision") is not False or not r.retained
    ]


def plain_secrets(d: Any) -> list[str]:
    return [r.name for r in d.of("SecretVersion") if "secretString" not in r.secrets]


def weak_metadata(d: Any) -> list[str]:
    wanted = {"httpTokens": "required", "httpPutResponseHopLimit": 1}
    return [r.name for r in d.of("LaunchTemplate") if not wanted.items() <= r.inputs.get("metadataOptions", {}).items()]


def gangs_elsewhere(d: Any) -> list[str]:
    """Environments with a placement group are the gangs': On-Demand EC2 in one subnet, by the service-linked role (B1)."""
    bad = []
    for r in d.of("ComputeEnvironment"):
        resources = r.inputs["computeResources"]
        if r.inputs.get("serviceRole") or resources.get("allocationStrategy") == "BEST_FIT" or "name" in r.inputs:
            bad.append(r.name)
        if resources.get("placementGroup") and (resources["type"] != "EC2" or len(resources["subnets"]) != 1):
            bad.append(r.name)
    return bad


def fallbacks_never_tried(d: Any) -> list[str]:
    """A gang's queue has one environment: Batch never tries a second (B15)."""
    gangs = {r.name: r for r in d.of("ComputeEnvironment") if r.inputs["computeResources"].get("placementGroup")}
    bad = []
    for q in d.of("JobQueue"):
        orders = q.inputs["computeEnvironmentOrders"]
        named = [g for g in gangs if any(f"/{g}-" in o["computeEnvironment"] for o in orders)]
        bad += [q.name] if named and len(orders) > 1 else []
    return bad


def twice(d: Any) -> list[str]:
    return [urn for urn, n in Counter(r.urn for r in d.resources).items() if n > 1]


@dataclass(frozen=True)
class Law:
    """`offenders` finds what breaks the law; `wrong` is one that does."""

    id: str
    offenders: Callable[[Any], list[str]]
    wrong: tuple[SimpleNamespace, ...]


def made(kind: str, *, name: str = "wrong", custom: bool = True, parent: str = "urn", **inputs: Any) -> SimpleNamespace:
    """A resource as the recorder keeps it, with what is wrong with it."""
    return SimpleNamespace(
        type=kind,
        name=name,
        urn=f"urn:{kind}::{name}",
        parent=parent,
        inputs=inputs,
        custom=custom,
        secrets=frozenset(),
        retained=False,
        protect=False,
        json=lambda key: json.loads(inputs[key]),
    )


def deployment(*resources: SimpleNamespace) -> SimpleNamespace:
    def of(kind: str) -> list[SimpleNamespace]:
        return [r for r in resources if r.type == kind or r.type.endswith((f":{kind}", f"/{kind}"))]

    return SimpleNamespace(resources=list(resources), finished=set(), of=of)


def job(**container: Any) -> SimpleNamespace:
    return made(
        "aws:batch/jobDefinition:JobDefinition",
        containerProperties=json.dumps({"environment": [], **container}),
        deregisterOnNewRevision=True,
    )


CE = "aws:batch/computeEnvironment:ComputeEnvironment"
LT = "aws:ec2/launchTemplate:LaunchTemplate"
EVERYTHING = json.dumps({"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}})
LAWS = [
    Law("a child has a component above it", orphans, (made("aws:ec2/vpc:Vpc", parent=""),)),
    Law("a component registers its outputs", unfinished, (made("tutti:x:X", custom=False),)),
    Law("what can be tagged is", untagged, (made("aws:ec2/vpc:Vpc", tags={"Name": "x"}),)),
    Law("instances are tagged", instances_untagged, (made(CE, computeResources={"type": "EC2"}),)),
    Law("volumes are tagged", instances_untagged, (made(LT, tagSpecifications=[]),)),
    Law("file systems are encrypted", unencrypted, (made("aws:efs/fileSystem:FileSystem"),)),
    Law("volumes are encrypted", unencrypted, (made(LT, blockDeviceMappings=[{"ebs": {"encrypted": "false"}}]),)),
    Law("buckets are encrypted", unencrypted, (made("aws:s3/bucket:Bucket"),)),
    Law("repositories are encrypted", unencrypted, (made("aws:ecr/repository:Repository"),)),
    Law("buckets are closed and speak TLS alone", open_buckets, (made("aws:s3/bucket:Bucket"),)),
    Law(
        "nothing is open to the world",
        open_ingress,
        (made("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", cidrIpv4="0.0.0.0/0"),),
    ),
    Law(
        "the default group has no rules",
        open_ingress,
        (made("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup", ingress=[{"selfTraffic": True}]),),
    ),
    Law(
        "no SSH",
        ssh,
        (made("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", fromPort=0, toPort=1024),),
    ),
    Law("no wildcard on everything", wildcards, (made("aws:iam/policy:Policy", policy=EVERYTHING),)),
    Law("logs end", for_ever, (made("aws:cloudwatch/logGroup:LogGroup"),)),
    Law("variables are the contract's", not_contracted, (job(environment=[{"name": "AWS_BATCH_X", "value": "1"}]),)),
    Law("no container is privileged", privileged, (job(privileged=True),)),
    Law("the entrypoint is PID 1", privileged, (job(linuxParameters={"initProcessEnabled": True}),)),
    Law("revisions stay", revisions_lost, (job(),)),
    Law(
        "secrets are secret", plain_secrets, (made("aws:secretsmanager/secretVersion:SecretVersion", secretString="x"),)
    ),
    Law("metadata needs a token and one hop", weak_metadata, (made(LT, metadataOptions={"httpTokens": "optional"}),)),
    Law(
        "gangs run On-Demand in one subnet",
        gangs_elsewhere,
        (made(CE, computeResources={"type": "SPOT", "placementGroup": "p", "subnets": ["a"]}),),
    ),
    Law(
        "environments name themselves and use the service-linked role",
        gangs_elsewhere,
        (made(CE, serviceRole="arn:aws:iam::1:role/x", computeResources={"type": "EC2"}),),
    ),
    Law(
        "a gang's queue has one environment",
        fallbacks_never_tried,
        (
            made(CE, name="gang", computeResources={"type": "EC2", "placementGroup": "p", "subnets": ["a"]}),
            made(
                "aws:batch/jobQueue:JobQueue",
                computeEnvironmentOrders=[{"computeEnvironment": "x/gang-0"}, {"computeEnvironment": "x/other-0"}],
            ),
        ),
    ),
    Law("names are unique", twice, (made("aws:ec2/vpc:Vpc"), made("aws:ec2/vpc:Vpc"))),
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.id)
def test_law_bites(law: Law) -> None:
    assert law.offenders(deployment(*law.wrong))


def test_every_law_holds(varied: Any) -> None:
    assert not {law.id: found for law in LAWS if (found := law.offenders(varied))}


def test_data_and_queues_are_protected_where_data_is_kept(varied: Any, variation: dict[str, Any]) -> None:
    keep = variation.get("keepData", False)
    found = [r for kind in KEPT for r in varied.of(kind)]
    assert found
    assert {r.protect for r in found} == {keep}
    assert {r.inputs.get("forceDestroy") for r in varied.of("s3/bucket:Bucket")} <= {not keep}
    assert {r.inputs.get("forceDelete") for r in varied.of("ecr/repository:Repository")} <= {not keep}


def urns(d: Any) -> list[str]:
    return sorted(r.urn for r in d.resources)


def test_a_preview_registers_what_an_update_does(variation: dict[str, Any], stack: Any) -> None:
    """So no resource is made inside `apply`, where a preview would not see it."""
    keys = {k: v for k, v in variation.items() if k != "_name"}
    assert urns(stack(preview=True, **keys)) == urns(stack(**keys))


def test_a_resource_inside_apply_is_found(build: Any) -> None:
    def wrong() -> pulumi.Output[None]:
        vpc = aws.ec2.Vpc("first", cidr_block="10.0.0.0/16")

        def inside(_: str) -> None:
            aws.ec2.Eip("inside")

        return vpc.arn.apply(inside)

    assert urns(build(wrong, preview=True)) != urns(build(wrong, preview=False))
