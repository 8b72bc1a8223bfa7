"""Lustre: linked to the group's part of the bucket, in either of its kinds."""

from __future__ import annotations

from typing import Any


def test_scratch_lustre_is_linked_to_the_groups_part_of_the_bucket(stack: Any) -> None:
    lustre = stack("astro", lustreGib=1200).one("LustreFileSystem")
    assert lustre.inputs["importPath"] == "s3://tutti-astro-data-0000000/astro/lustre"
    assert lustre.inputs["subnetIds"].endswith("private-us-west-2a")
    assert "perUnitStorageThroughput" not in lustre.inputs


def test_persistent_lustre_is_linked_by_an_association(stack: Any) -> None:
    d = stack("astro", lustreGib=2400, lustreType="PERSISTENT_2", keepData=True)
    lustre = d.one("LustreFileSystem")
    assert lustre.protect
    assert (lustre.inputs["perUnitStorageThroughput"], lustre.inputs.get("importPath")) == (125, None)
    link = d.one("DataRepositoryAssociation").inputs
    assert link["dataRepositoryPath"] == "s3://tutti-astro-data-0000000/astro/lustre"
    assert link["s3"]["autoExportPolicy"]["events"] == ["NEW", "CHANGED", "DELETED"]
