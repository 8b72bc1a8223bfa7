"""Who may do what: the deployed policies are evaluated by IAM's rules, not searched for words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import pytest

from infra import policies

ACCOUNT = "123456789012"
ALICE, BOB = "AROAALICE:alice", "AROABOB:bob"

# ---------------------------------------------------------------- IAM's evaluation, as far as our documents use it


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def matches(pattern: str, value: str, context: Mapping[str, str]) -> bool:
    """Whether an IAM pattern (`*`, `?`, `${variable}`) matches; a variable without a value matches nothing."""
    names = re.findall(r"\$\{([^}]+)\}", pattern)
    if any(name not in context for name in names):
        return False
    for name in names:
        pattern = pattern.replace(f"${{{name}}}", context[name])
    return fnmatchcase(value, re.sub(r"([\[\]])", r"[\1]", pattern))


def condition_holds(condition: Mapping[str, Mapping[str, Any]], context: Mapping[str, str]) -> bool:
    """Every operator and key must hold; a key that the request lacks does not, but for `Null`-like checks we have none."""
    for operator, wanted in condition.items():
        for key, values in wanted.items():
            if key not in context:
                return False
            got = context[key]
            if operator in {"StringEquals", "Bool", "ArnEquals"}:
                hit = any(matches(str(v).replace("*", "[*]"), got, context) for v in listed(values))
            elif operator == "StringLike":
                hit = any(matches(v, got, context) for v in listed(values))
            else:
                raise AssertionError(f"an operator that this evaluation does not know: {operator}")
            if not hit:
                return False
    return True


def principal_matches(statement: Mapping[str, Any], who: str) -> bool:
    principal = statement.get("Principal")
    if principal is None or principal == "*":
        return True
    return any(p in {"*", who} for names in principal.values() for p in listed(names))


def decision(
    documents: Iterable[Mapping[str, Any]], action: str, resource: str, context: Mapping[str, str], who: str = ""
) -> str:
    """Deny, Allow or nothing, of all statements of all documents: an explicit denial wins."""
    found = set()
    for document in documents:
        for s in listed(document["Statement"]):
            if (
                any(fnmatchcase(action.lower(), a.lower()) for a in listed(s["Action"]))
                and any(matches(r, resource, context) for r in listed(s.get("Resource", "*")))
                and condition_holds(s.get("Condition", {}), context)
                and principal_matches(s, who)
            ):
                found.add(s["Effect"])
    return "Deny" if "Deny" in found else "Allow" if found else ""


def allowed(*args: Any, **kw: Any) -> bool:
    return decision(*args, **kw) == "Allow"


def test_the_evaluation_itself() -> None:
    document = policies.document(
        policies.allow(["s3:GetObject"], "arn:aws:s3:::b/${aws:userid}/*"),
        policies.deny(["s3:*"], "arn:aws:s3:::b/x/secret"),
    )
    assert allowed([document], "s3:GetObject", "arn:aws:s3:::b/x/y", {"aws:userid": "x"})
    assert not allowed([document], "s3:GetObject", "arn:aws:s3:::b/y/y", {"aws:userid": "x"})
    assert not allowed([document], "s3:GetObject", "arn:aws:s3:::b/x/y", {})
    assert decision([document], "s3:GetObject", "arn:aws:s3:::b/x/secret", {"aws:userid": "x"}) == "Deny"
    assert not allowed([document], "s3:PutObject", "arn:aws:s3:::b/x/y", {"aws:userid": "x"})


# ---------------------------------------------------------------- two groups, one of whose names begins the other's


class Group:
    """A deployed group's stack: its things and its policies."""

    def __init__(self, deployed: Any) -> None:
        self.made = deployed
        self.card = deployed.outputs["card"]
        self.job_role = f"arn:aws:iam::{ACCOUNT}:role/{deployed.one('iam/role:Role', '-job').name}-0000000"
        self.job = [json.loads(r.inputs["policy"]) for r in deployed.of("RolePolicy") if r.name.endswith("-job")]
        self.execution = [
            json.loads(r.inputs["policy"]) for r in deployed.of("RolePolicy") if r.name.endswith("-execution")
        ]
        self.researcher = [deployed.one("iam/policy:Policy", "-researcher").json("policy")]
        self.lead = [deployed.one("iam/policy:Policy", "-lead").json("policy")]
        self.spent = [deployed.one("iam/policy:Policy", "-spent").json("policy")]
        self.bucket = f"arn:aws:s3:::{self.card['bucket']}"
        self.bucket_policy = [deployed.one("BucketPolicy").json("policy")]
        self.file_system = f"arn:aws:elasticfilesystem:us-west-2:{ACCOUNT}:file-system/{self.card['file_system']}"
        point = deployed.one("efs/accessPoint:AccessPoint", "-own").name
        self.access_point = f"arn:aws:elasticfilesystem:us-west-2:{ACCOUNT}:access-point/fsap-{point}"
        self.file_system_policy = [deployed.one("FileSystemPolicy").json("policy")]
        self.secret = f"arn:aws:secretsmanager:us-west-2:{ACCOUNT}:secret:{deployed.one('secretsmanager/secret:Secret').inputs['name']}-AbCdEf"
        self.stack = self.card["stack"]
        self.queue = self.card["queues"][0]["arn"]
        self.definition = self.card["definitions"][0]["arn"]

    def mounts(self, who: Group, action: str = "ClientWrite", *, point: str | None = None, tls: str = "true") -> bool:
        """Whether `who`'s jobs may: within an account identity or resource policy may allow, and either may deny."""
        context = {
            "aws:SecureTransport": tls,
            "elasticfilesystem:AccessedViaMountTarget": "true",
            **({"elasticfilesystem:AccessPointArn": point} if point else {}),
        }
        return allowed(
            [*who.job, *self.file_system_policy],
            f"elasticfilesystem:{action}",
            self.file_system,
            context,
            who=who.job_role,
        )

    def objects(self, who: Group, key: str, action: str = "s3:PutObject", tls: str = "true") -> bool:
        context = {"aws:SecureTransport": tls}
        return allowed([*who.job, *self.bucket_policy], action, f"{self.bucket}/{key}", context, who=who.job_role)


@pytest.fixture
def astro(stack: Any) -> Group:
    return Group(stack("astro"))


@pytest.fixture
def astro_b(stack: Any) -> Group:
    """Whose queues and definitions fit the patterns of `astro`."""
    return Group(stack("astro-b"))


@pytest.fixture
def astro2(stack: Any) -> Group:
    return Group(stack("astro2"))


def test_jobs_use_their_groups_part_of_the_bucket(astro: Group) -> None:
    assert astro.objects(astro, "astro/results/x")
    assert astro.objects(astro, "astro/checkpoints/x", "s3:DeleteObject")
    assert allowed(astro.job, "s3:ListBucket", astro.bucket, {"s3:prefix": "astro/results/"})


def test_jobs_do_not_leave_their_groups_part(astro: Group, astro2: Group) -> None:
    assert not astro.objects(astro, "other/x")
    assert not astro.objects(astro, "astro2/x")
    assert not astro.objects(astro, "astro")
    assert not allowed(astro.job, "s3:ListBucket", astro.bucket, {"s3:prefix": "astro2/"})
    assert not allowed(astro.job, "s3:ListBucket", astro.bucket, {"s3:prefix": ""})
    assert not allowed(astro.job, "s3:PutBucketPolicy", astro.bucket, {})


def test_no_group_reaches_the_others_bucket(astro: Group, astro2: Group) -> None:
    for a, b in ((astro, astro2), (astro2, astro)):
        for key in ("astro/x", "astro2/x"):
            assert not b.objects(a, key, "s3:GetObject")
        assert not allowed(a.researcher, "s3:GetObject", f"{b.bucket}/astro2/x", {"aws:userid": ALICE})


def test_the_bucket_speaks_tls_alone(astro: Group) -> None:
    assert not astro.objects(astro, "astro/x", tls="false")


def test_jobs_mount_by_their_groups_access_point_alone(astro: Group, astro2: Group) -> None:
    assert astro.mounts(astro, point=astro.access_point)
    assert not astro.mounts(astro)
    assert not astro.mounts(astro, point=astro2.access_point)
    assert not astro.mounts(astro, point=astro.access_point, tls="false")
    assert not astro.mounts(astro, "ClientRootAccess", point=astro.access_point)


def test_no_group_mounts_the_others_file_system(astro: Group, astro2: Group) -> None:
    for point in (astro.access_point, astro2.access_point, None):
        assert not astro2.mounts(astro, point=point)
        assert not astro.mounts(astro2, point=point)


def test_the_gangs_secret_is_the_execution_roles_alone(astro: Group, astro2: Group) -> None:
    read = "secretsmanager:GetSecretValue"
    assert allowed(astro.execution, read, astro.secret, {})
    assert not allowed(astro2.execution, read, astro.secret, {})
    assert decision(astro.job, read, astro.secret, {}) == "Deny"
    for people_policy in (astro.researcher, astro.lead):
        assert not allowed(people_policy, read, astro.secret, {"aws:userid": ALICE})


def test_jobs_fetch_their_own_stacks_secrets(astro: Group) -> None:
    arn = f"arn:aws:secretsmanager:us-west-2:{ACCOUNT}:secret:tutti"
    assert allowed(astro.job, "secretsmanager:GetSecretValue", f"{arn}/astro/licence-AbCdEf", {})
    assert not allowed(astro.job, "secretsmanager:GetSecretValue", f"{arn}/astro2/licence-AbCdEf", {})


def test_jobs_cannot_submit_nor_register(astro: Group) -> None:
    for action in (
        "batch:SubmitJob",
        "batch:RegisterJobDefinition",
        "iam:PassRole",
        "ec2:RunInstances",
        "ecs:ListTasks",
    ):
        assert not allowed(astro.job, action, "*", {})
        assert not allowed(astro.execution, action, "*", {})


def request(user: str, group: str) -> dict[str, str]:
    return {"aws:userid": user, "aws:RequestTag/tutti:user": user, "aws:RequestTag/tutti:group": group}


def submits(documents: list[Any], queue: Group, definition: Group, context: Mapping[str, str]) -> bool:
    """Batch asks for the queue and for the definition, each with its own tags: both must be allowed."""
    return all(
        allowed(documents, "batch:SubmitJob", arn, {**context, "aws:ResourceTag/tutti:stack": group.stack})
        for arn, group in ((queue.queue, queue), (definition.definition, definition))
    )


def test_people_submit_to_their_own_stack_alone(astro: Group, astro2: Group, astro_b: Group) -> None:
    for who in (astro.researcher, astro.lead):
        assert submits(who, astro, astro, request(ALICE, "astro"))
        for other in (astro2, astro_b):
            assert not submits(who, other, astro, request(ALICE, "astro"))
            assert not submits(who, astro, other, request(ALICE, "astro"))
            assert not submits(who, other, other, request(ALICE, other.stack))


def test_a_later_revision_of_a_definition_is_the_stacks_too(astro: Group) -> None:
    astro.definition = astro.definition.rsplit(":", 1)[0] + ":17"
    assert submits(astro.researcher, astro, astro, request(ALICE, "astro"))


def test_nobody_submits_in_anothers_name_nor_without_one(astro: Group) -> None:
    forged = {**request(BOB, "astro"), "aws:userid": ALICE}
    assert not submits(astro.researcher, astro, astro, forged)
    assert not submits(astro.researcher, astro, astro, {"aws:userid": ALICE})


def owned(user: str, group: str, caller: str) -> dict[str, str]:
    return {"aws:userid": caller, "aws:ResourceTag/tutti:user": user, "aws:ResourceTag/tutti:group": group}


@pytest.mark.parametrize("action", ["batch:CancelJob", "batch:TerminateJob"])
def test_researchers_end_their_own_jobs_and_leads_everybodys(astro: Group, action: str) -> None:
    job = f"arn:aws:batch:us-west-2:{ACCOUNT}:job/1234"
    assert allowed(astro.researcher, action, job, owned(ALICE, "astro", caller=ALICE))
    assert not allowed(astro.researcher, action, job, owned(BOB, "astro", caller=ALICE))
    assert allowed(astro.lead, action, job, owned(BOB, "astro", caller=ALICE))
    assert not allowed(astro.lead, action, job, owned(BOB, "astro2", caller=ALICE))


@pytest.mark.parametrize(
    "action",
    [
        "batch:RegisterJobDefinition",
        "batch:DeregisterJobDefinition",
        "batch:CreateJobQueue",
        "iam:CreateRole",
        "s3:PutBucketPolicy",
    ],
)
def test_nobody_registers_definitions_or_changes_the_stack(astro: Group, action: str) -> None:
    for who in (astro.researcher, astro.lead):
        for resource in (astro.definition, astro.queue, astro.bucket, "*"):
            assert not allowed(who, action, resource, {"aws:userid": ALICE})


def test_people_see_the_instances_below_their_own_environments(astro: Group, astro2: Group) -> None:
    ecs = f"arn:aws:ecs:us-west-2:{ACCOUNT}"
    for group, allowed_there in ((astro, True), (astro2, False)):
        for environment in group.made.of("ComputeEnvironment"):
            cluster = f"AWSBatch-{environment.name}-0123abc-1a6929d6-f62b-3d45-b3b5-31e7f64ae0da"  # as Batch names it
            for who in (astro.researcher, astro.lead):
                listed = allowed(who, "ecs:ListContainerInstances", f"{ecs}:cluster/{cluster}", {})
                read = allowed(who, "ecs:DescribeContainerInstances", f"{ecs}:container-instance/{cluster}/0a1b", {})
                assert (listed, read) == (allowed_there, allowed_there)
    for action in ("ecs:ListTasks", "ecs:UpdateContainerInstancesState", "ecs:RunTask"):
        assert not allowed(astro.lead, action, f"{ecs}:cluster/AWSBatch-tutti-astro-mpi-gang-1", {})


def test_people_pass_the_scheduler_role_and_no_other(astro: Group) -> None:
    role = astro.card["scheduler_role"]
    to = {"iam:PassedToService": "scheduler.amazonaws.com", "aws:userid": ALICE}
    assert allowed(astro.researcher, "iam:PassRole", role, to)
    assert not allowed(astro.researcher, "iam:PassRole", role, {**to, "iam:PassedToService": "ec2.amazonaws.com"})
    assert not allowed(astro.researcher, "iam:PassRole", astro.job_role, to)


def test_schedules_are_set_by_all_and_changed_by_leads(astro: Group) -> None:
    own, other = (f"arn:aws:scheduler:us-west-2:{ACCOUNT}:schedule/tutti-{n}/nightly" for n in ("astro", "astro2"))
    assert allowed(astro.researcher, "scheduler:CreateSchedule", own, {})
    assert not allowed(astro.researcher, "scheduler:CreateSchedule", other, {})
    assert not allowed(astro.researcher, "scheduler:DeleteSchedule", own, {})
    assert allowed(astro.lead, "scheduler:DeleteSchedule", own, {})


def test_leads_resume_what_the_budget_stopped(stack: Any) -> None:
    group = Group(stack(budgetUsd=5, budgetStops=True, budgetStopRoles=["researchers"]))
    action = f"arn:aws:budgets::{ACCOUNT}:budget/tutti-dev/action/1-2-3"
    assert allowed(group.lead, "budgets:ExecuteBudgetAction", action, {})
    assert not allowed(group.researcher, "budgets:ExecuteBudgetAction", action, {})
    own = {"aws:ResourceTag/tutti:stack": "dev"}
    assert allowed(group.lead, "batch:UpdateJobQueue", group.queue, own)
    assert not allowed(group.lead, "batch:UpdateJobQueue", group.queue, {"aws:ResourceTag/tutti:stack": "dev-b"})
    assert not allowed(group.researcher, "batch:UpdateJobQueue", group.queue, own)


def test_a_spent_budget_ends_submissions_and_nothing_else(astro: Group) -> None:
    both = [*astro.researcher, *astro.spent]
    assert not submits(both, astro, astro, request(ALICE, "astro"))
    assert allowed(
        both, "batch:TerminateJob", "arn:aws:batch:us-west-2:123456789012:job/1", owned(ALICE, "astro", ALICE)
    )
    assert allowed(both, "s3:GetObject", f"{astro.bucket}/astro/x", {"aws:userid": ALICE})


def test_every_document_is_within_iams_limit(astro: Group) -> None:
    """A managed policy has 6,144 characters without white space (IAM quotas)."""
    for document in (*astro.researcher, *astro.lead):
        assert len(json.dumps(document, separators=(",", ":"))) < 6144


def test_the_policies_of_a_stack_with_many_pools_still_fit(stack: Any) -> None:
    kinds = [{"name": f"pool{i}", "kind": "mpi"} for i in range(8)]
    group = Group(stack("a-group-with-a-long-name", pools=kinds))
    assert len(json.dumps(*group.lead, separators=(",", ":"))) < 6144


def test_a_role_is_taken_by_its_service_for_this_account_alone() -> None:
    document = policies.trust("ecs-tasks.amazonaws.com", account=ACCOUNT)
    context = {"aws:SourceAccount": ACCOUNT}
    assert allowed([document], "sts:AssumeRole", "x", context, who="ecs-tasks.amazonaws.com")
    assert not allowed([document], "sts:AssumeRole", "x", {"aws:SourceAccount": "2"}, who="ecs-tasks.amazonaws.com")
    assert not allowed([document], "sts:AssumeRole", "x", context, who="ec2.amazonaws.com")


def test_the_s3_gateway_leads_to_own_buckets_layers_and_packages() -> None:
    document = policies.s3_gateway(region="us-west-2", account=ACCOUNT, partition="aws")
    own, other = {"s3:ResourceAccount": ACCOUNT}, {"s3:ResourceAccount": "999999999999"}
    assert allowed([document], "s3:PutObject", "arn:aws:s3:::ours/x", own)
    assert not allowed([document], "s3:PutObject", "arn:aws:s3:::theirs/x", other)
    assert allowed([document], "s3:GetObject", "arn:aws:s3:::prod-us-west-2-starport-layer-bucket/x", other)
    assert allowed([document], "s3:GetObject", "arn:aws:s3:::al2023-repos-us-west-2-de612dc2/x", other)


def test_schedules_submit_to_the_stack_alone(astro: Group, astro_b: Group) -> None:
    (document,) = [r.json("policy") for r in astro.made.of("RolePolicy") if r.name.endswith("-scheduler")]
    assert submits([document], astro, astro, {})
    assert not submits([document], astro_b, astro_b, {})
