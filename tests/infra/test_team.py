"""Team: what people are given; what it allows them is in test_policies.py."""

from __future__ import annotations

from typing import Any


def test_people_and_schedules_are_exported(stack: Any) -> None:
    d = stack()
    assert d.outputs["researcherPolicy"].endswith("tutti-dev-researcher-0000000")
    assert d.outputs["leadPolicy"].endswith("tutti-dev-lead-0000000")
    assert d.one("ScheduleGroup").inputs["name"] == d.outputs["card"]["schedule_group"] == "tutti-dev"
    assert d.outputs["card"]["scheduler_role"].endswith("tutti-dev-scheduler-0000000")
