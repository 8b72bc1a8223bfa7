"""What people may do: the policies `researcher` and `lead`. Pure: strings in, dictionaries out.

Neither registers job definitions: whoever does runs any image as the job role (traps 19). The owner of a job is told
by the tag tutti:user, which submissions must carry with the caller's own id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from infra.policies import OBJECT_ACTIONS, Document, allow, deny, document, write_logs
from workload.contract import Tag

CALLER: Final = "${aws:userid}"
TAKEN_BACK: Final = ("waiting", "refused")  # folders of `Scope.waiting`
# Only the whole account's can be described: AWS knows no narrower resource for these.
DESCRIBE: Final = (
    "batch:DescribeComputeEnvironments",
    "batch:DescribeJobDefinitions",
    "batch:DescribeJobQueues",
    "batch:DescribeJobs",
    "batch:ListJobs",
    "ec2:DescribeInstanceTypes",
    "ec2:DescribeInstances",
    "ec2:DescribeRouteTables",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSpotPriceHistory",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcEndpoints",
    "pricing:GetProducts",
    "servicequotas:GetServiceQuota",
    "sts:GetCallerIdentity",
)


@dataclass(frozen=True, kw_only=True)
class Scope:
    """The stack's own things, by ARN. Patterns end in "*"; `prefix` ends in "/".

    Queues and definitions are patterns as well, for a policy holds 6,144 characters and a stack has many of both. As
    the pattern of `astro` fits those of a stack `astro-b` too, the tag tutti:stack decides.
    """

    stack: str
    queues: str
    definitions: str  # every revision
    jobs: str  # arn:...:job/*: jobs have no names in their ARNs, tags tell them apart
    clusters: str  # of ECS, below the environments
    instances: str  # in these clusters
    bucket: str
    prefix: str
    waiting: str  # where submissions wait for jobs' ends; ends in "/"
    file_system: str
    log_groups: Sequence[str]
    card: str
    repositories: Sequence[str]
    secret: str
    topic: str
    schedules: str
    scheduler_role: str
    budget_action: str  # "" where the budget stops nothing
    group: str


def researcher(scope: Scope) -> Document:
    """What the client calls, on this stack alone; of jobs, to end one's own."""
    return document(*_everyday(scope), *_submit(scope), *_end(scope, owner=True))


def lead(scope: Scope) -> Document:
    """A researcher's rights, and everybody's jobs, schedules, and the budget's resume."""
    resume = [allow(["batch:UpdateJobQueue"], scope.queues, _own(scope))]
    if scope.budget_action:
        resume.append(allow(["budgets:DescribeBudgetAction", "budgets:ExecuteBudgetAction"], scope.budget_action))
    return document(
        *_everyday(scope),
        *_submit(scope),
        *_end(scope, owner=False),
        allow(["scheduler:UpdateSchedule", "scheduler:DeleteSchedule"], scope.schedules),
        allow(["s3:DeleteObject"], [f"{scope.bucket}/{scope.waiting}{folder}/*" for folder in TAKEN_BACK]),
        *resume,
    )


def scheduler(scope: Scope) -> Document:
    """The role with which EventBridge Scheduler submits what `--at` and `--every` ask for."""
    tagged = {"StringEquals": {f"aws:RequestTag/{Tag.GROUP.value}": scope.group}}
    return document(
        allow(["batch:SubmitJob"], [scope.queues, scope.definitions], _own(scope)),
        allow(["batch:TagResource"], scope.jobs, tagged),
    )


def follower(scope: Scope, *, log_group: str) -> Document:
    """The role of the function that submits what `--after ID:any` leaves: what a schedule's may, and to read the jobs
    waited for, to change what waits, to say what became of it, and to leave the capsule.
    """
    place = f"{scope.bucket}/{scope.waiting}"
    return document(
        *scheduler(scope)["Statement"],
        allow(["batch:DescribeJobs", "batch:ListJobs"], "*"),
        allow(["s3:ListBucket"], scope.bucket, {"StringLike": {"s3:prefix": f"{scope.waiting}*"}}),
        allow(["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], f"{place}waiting/*"),
        allow(["s3:PutObject"], [f"{place}submitted/*", f"{place}refused/*", f"{scope.bucket}/{scope.prefix}runs/*"]),
        *write_logs(log_group)["Statement"],
    )


def no_more_submissions(scope: Scope) -> Document:
    """What the budget attaches when it is spent: no job more on this stack's queues."""
    statement = deny(["batch:SubmitJob"], scope.queues, _own(scope))
    return document({**statement, "Sid": "BudgetIsSpent"})


def _own(scope: Scope) -> dict[str, dict[str, str]]:
    return {"StringEquals": {f"aws:ResourceTag/{Tag.STACK.value}": scope.stack}}


def _everyday(scope: Scope) -> list[Document]:
    return [
        allow(DESCRIBE, "*"),
        allow(["batch:GetJobQueueSnapshot"], scope.queues, _own(scope)),
        # Batch's own clusters have no tag of ours: the pattern alone decides, and these calls tell of instances alone
        allow(["ecs:ListContainerInstances"], scope.clusters),
        allow(["ecs:DescribeContainerInstances"], scope.instances),
        allow(["ssm:GetParameter"], scope.card),
        allow(
            ["logs:FilterLogEvents", "logs:GetLogEvents"],
            [*scope.log_groups, *(f"{arn}:*" for arn in scope.log_groups)],
        ),
        allow(
            ["s3:ListBucket"],
            scope.bucket,
            {"StringLike": {"s3:prefix": [scope.prefix, f"{scope.prefix}*", f"{scope.waiting}*"]}},
        ),
        allow(OBJECT_ACTIONS, f"{scope.bucket}/{scope.prefix}*"),
        # What waits is submitted in the name of whose folder it lies in: so each writes in the own one alone.
        allow(["s3:GetObject"], f"{scope.bucket}/{scope.waiting}*"),
        allow(
            ["s3:PutObject", "s3:DeleteObject"],
            [f"{scope.bucket}/{scope.waiting}{folder}/{CALLER}/*" for folder in TAKEN_BACK],
        ),
        allow(
            [
                "elasticfilesystem:DescribeFileSystems",
                "elasticfilesystem:DescribeMountTargets",
                "elasticfilesystem:DescribeMountTargetSecurityGroups",
                "elasticfilesystem:DescribeFileSystemPolicy",
            ],
            scope.file_system,
        ),
        # what of an image tells its processor: an index, or an image's configuration
        *(
            [allow(["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"], scope.repositories)]
            if scope.repositories
            else []
        ),
        allow(["secretsmanager:DescribeSecret"], scope.secret),  # whether it is there; its value is no person's
        allow(["sns:Subscribe"], scope.topic),
        allow(["scheduler:CreateSchedule", "scheduler:GetSchedule"], scope.schedules),
        allow(["scheduler:ListSchedules"], "*"),
        allow(
            ["iam:PassRole"],
            scope.scheduler_role,
            {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}},
        ),
    ]


def _submit(scope: Scope) -> list[Document]:
    """Both the queue and the definition must be the stack's, and the owner's tag the caller's own."""
    tagged = {
        "StringEquals": {
            f"aws:RequestTag/{Tag.USER.value}": CALLER,
            f"aws:RequestTag/{Tag.GROUP.value}": scope.group,
        }
    }
    return [
        allow(
            ["batch:SubmitJob"],
            [scope.queues, scope.definitions],
            {"StringEquals": {**tagged["StringEquals"], **_own(scope)["StringEquals"]}},
        ),
        allow(["batch:TagResource"], scope.jobs, tagged),
    ]


def _end(scope: Scope, *, owner: bool) -> list[Document]:
    tags = {f"aws:ResourceTag/{Tag.GROUP.value}": scope.group}
    if owner:
        tags[f"aws:ResourceTag/{Tag.USER.value}"] = CALLER
    return [allow(["batch:CancelJob", "batch:TerminateJob"], scope.jobs, {"StringEquals": tags})]
