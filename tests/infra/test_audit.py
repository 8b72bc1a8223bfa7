"""Audit: one trail and one recorder, in a stack that only shares."""

from __future__ import annotations

from typing import Any

import pytest

from infra.audit import RULES


@pytest.fixture
def audited(stack: Any) -> Any:
    return stack("shared", pools=[], audit=True)


def test_no_audit_unless_asked(stack: Any) -> None:
    assert stack("shared", pools=[]).of("Recorder") == []


def test_the_trail_covers_every_region_and_can_be_verified(audited: Any) -> None:
    trail = audited.one("Trail").inputs
    assert (
        trail["isMultiRegionTrail"] is trail["enableLogFileValidation"] is trail["includeGlobalServiceEvents"] is True
    )


def test_the_recorder_starts_when_it_has_somewhere_to_write(audited: Any) -> None:
    assert any("DeliveryChannel" in urn for urn in audited.one("RecorderStatus").after)
    assert any("RecorderStatus" in urn for urn in audited.one("cfg/rule:Rule", "-imdsv2").after)


def test_rules_watch_encryption_and_open_ports(audited: Any) -> None:
    found = {r.inputs["source"]["sourceIdentifier"] for r in audited.of("cfg/rule:Rule")}
    assert found == set(RULES.values())
    assert {"ENCRYPTED_VOLUMES", "EFS_ENCRYPTED_CHECK", "INCOMING_SSH_DISABLED"} <= found


def test_only_the_two_services_write_the_audit_bucket(audited: Any) -> None:
    statements = audited.one("BucketPolicy").json("policy")["Statement"]
    writers = {s["Principal"]["Service"] for s in statements if s["Effect"] == "Allow"}
    assert writers == {"cloudtrail.amazonaws.com", "config.amazonaws.com"}
    assert all("Condition" in s for s in statements)
