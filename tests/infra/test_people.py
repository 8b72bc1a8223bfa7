"""The researcher's policy holds exactly what the client calls: read off the client's own source."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import Any

import boto3

CLIENT = Path(__file__).resolve().parents[2] / "tutti"
# IAM's prefix of each service that the client has a boto3 client of.
SERVICES = {
    "batch": "batch",
    "ec2": "ec2",
    "ecr": "ecr",
    "ecs": "ecs",
    "efs": "elasticfilesystem",
    "logs": "logs",
    "pricing": "pricing",
    "s3": "s3",
    "scheduler": "scheduler",
    "secretsmanager": "secretsmanager",
    "service-quotas": "servicequotas",
    "sns": "sns",
    "ssm": "ssm",
    "sts": "sts",
}
# Where a method's right has another name than the operation, or needs several.
RIGHTS = {
    "delete_objects": {"s3:DeleteObject"},
    "download_file": {"s3:GetObject"},
    "head_object": {"s3:GetObject"},
    "list_objects_v2": {"s3:ListBucket"},
    "submit_job": {"batch:SubmitJob", "batch:TagResource"},
    "create_schedule": {"scheduler:CreateSchedule", "iam:PassRole"},
    "upload_file": {"s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"},
}
# Called for the client by others, or in answer to what a person asks the AWS CLI for; each with its reason.
MORE = {"batch:CancelJob"}  # cancels what still waits for others; TerminateJob ends it too, later
# What the client calls for leads alone: nothing in a schedule tells IAM whose it is.
LEADS = {"delete_schedule"}
TWIN = {"twin"}


@cache
def operations() -> dict[str, set[str]]:
    """Rights by boto3 method, of all services together."""
    found: dict[str, set[str]] = {name: set(rights) for name, rights in RIGHTS.items()}
    for service, prefix in SERVICES.items():
        client: Any = boto3.client(service, region_name="us-east-1")  # type: ignore[call-overload]  # a name of the table
        for method, operation in client.meta.method_to_api_mapping.items():
            if method not in RIGHTS:
                found.setdefault(method, set()).add(f"{prefix}:{operation}")
    return found


def called() -> dict[str, set[str]]:
    """Rights that the client's source asks for, by method: calls, and names given to paginators and the like."""
    found = {}
    for path in CLIENT.rglob("*.py"):
        if TWIN & set(path.relative_to(CLIENT).parts):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in operations():
                found[node.attr] = operations()[node.attr]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in operations():
                found[node.value] = operations()[node.value]
    return found


def granted(stack: Any, who: str = "-researcher") -> set[str]:
    statements = stack().one("iam/policy:Policy", who).json("policy")["Statement"]
    return {action for s in statements for action in s["Action"]}


def test_the_client_calls_nothing_that_its_people_may_not(stack: Any) -> None:
    """A method of that name in several services counts where one of them is granted."""
    have, leads = granted(stack), granted(stack, "-lead")
    assert {name: rights for name, rights in called().items() if name in RIGHTS and not rights <= have} == {}
    assert {name: rights for name, rights in called().items() if name not in LEADS and not rights & have} == {}
    assert {name: rights for name, rights in called().items() if name in LEADS and not rights <= leads - have} == {}


def test_people_may_nothing_that_the_client_does_not_call(stack: Any) -> None:
    needed = set().union(*called().values()) | MORE
    assert granted(stack) - needed == set()
