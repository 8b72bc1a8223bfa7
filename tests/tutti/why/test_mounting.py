"""Whether a file system's policy lets a job mount it, by the policies that stacks and people write."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.policies import file_system
from tutti.why.mounting import Mount, mount_of, policy_allows

ROLE = "arn:aws:iam::123456789012:role/tutti-dev-job"
POINT = "arn:aws:elasticfilesystem:us-east-1:123456789012:access-point/fsap-1"
MOUNT = Mount(role=ROLE, access_point="fsap-1", encrypted=True)
ALLOW = {"Effect": "Allow", "Action": "elasticfilesystem:ClientMount", "Principal": {"AWS": ROLE}}
DENY = {**ALLOW, "Effect": "Deny", "Principal": "*"}


def by(point: str) -> dict[str, Any]:
    return {"StringEquals": {"elasticfilesystem:AccessPointArn": point}}


@pytest.mark.parametrize(
    ("allowed", "statements"),
    [
        (True, [ALLOW]),
        (True, [{**ALLOW, "Action": ["elasticfilesystem:Client*"]}]),
        (True, [{**ALLOW, "Principal": {"AWS": "arn:aws:iam::123456789012:root"}}]),
        (True, [{**ALLOW, "Principal": {"AWS": ["*"]}}]),
        (True, [{**ALLOW, "Condition": by(POINT)}]),
        (True, [{**ALLOW, "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}]),  # not known: not blamed
        (True, [ALLOW, {**DENY, "Condition": {"Bool": {"aws:SecureTransport": "false"}}}]),
        (True, [ALLOW, {**DENY, "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}]),
        (True, [ALLOW, {**DENY, "Action": "elasticfilesystem:ClientRootAccess"}]),
        (False, []),
        (False, [DENY]),
        (False, [ALLOW, DENY]),
        (False, [ALLOW, {**DENY, "Action": "*"}]),
        (False, [ALLOW, {**DENY, "Principal": {"AWS": ROLE}, "Condition": by(POINT)}]),
        (False, [{**ALLOW, "Action": "elasticfilesystem:ClientWrite"}]),
        (False, [{**ALLOW, "Principal": {"AWS": "arn:aws:iam::123456789012:role/other"}}]),
        (False, [{**ALLOW, "Principal": {"Service": "backup.amazonaws.com"}}]),
        (False, [{**ALLOW, "Condition": by(POINT.replace("fsap-1", "fsap-2"))}]),
    ],
)
def test_a_mount_is_allowed_by_a_statement_and_denied_by_none(allowed: bool, statements: list[dict[str, Any]]) -> None:
    assert policy_allows({"Statement": statements}, MOUNT) is allowed


@pytest.mark.parametrize(
    ("allowed", "mount"),
    [
        (True, MOUNT),
        (True, Mount()),  # nothing is known of it
        (False, Mount(role=ROLE, access_point="fsap-2", encrypted=True)),
        (False, Mount(role=ROLE + "-other", access_point="fsap-1", encrypted=True)),
        (False, Mount(role=ROLE, access_point="fsap-1", encrypted=False)),
    ],
)
def test_the_stacks_own_policy_lets_its_jobs_in_and_nobody_else(allowed: bool, mount: Mount) -> None:
    policy = file_system(
        "arn:aws:elasticfilesystem:us-east-1:123456789012:file-system/fs-1", job_role=ROLE, access_point=POINT
    )
    assert policy_allows(json.loads(json.dumps(policy)), mount) is allowed


def test_the_container_says_who_mounts_and_how() -> None:
    volume = {
        "name": "shared",
        "efsVolumeConfiguration": {
            "fileSystemId": "fs-1",
            "transitEncryption": "ENABLED",
            "authorizationConfig": {"accessPointId": "fsap-1", "iam": "ENABLED"},
        },
    }
    other = {"name": "scratch", "host": {"sourcePath": "/scratch"}}
    assert mount_of({"jobRoleArn": ROLE, "volumes": [other, volume]}, "fs-1") == MOUNT
    assert mount_of({"jobRoleArn": ROLE, "volumes": [volume]}, "fs-2") == Mount(role=ROLE)
    assert mount_of({}, "fs-1") == Mount()
