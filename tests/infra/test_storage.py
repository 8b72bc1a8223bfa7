"""Storage: the bucket, the shared file system and Lustre."""

from __future__ import annotations

from typing import Any


def test_the_file_system_is_elastic_unless_asked(stack: Any) -> None:
    elastic = stack().one("efs/fileSystem:FileSystem").inputs
    assert (elastic["throughputMode"], elastic.get("provisionedThroughputInMibps")) == ("elastic", None)
    provisioned = stack(efsThroughputMibps=50).one("efs/fileSystem:FileSystem").inputs
    assert (provisioned["throughputMode"], provisioned["provisionedThroughputInMibps"]) == ("provisioned", 50)


def test_files_move_to_the_cheap_class_and_back(stack: Any) -> None:
    def policies(days: int) -> Any:
        return stack(efsLifecycleDays=days).one("efs/fileSystem:FileSystem").inputs.get("lifecyclePolicies", [])

    assert policies(30) == [{"transitionToIa": "AFTER_30_DAYS"}, {"transitionToPrimaryStorageClass": "AFTER_1_ACCESS"}]
    assert policies(1)[0] == {"transitionToIa": "AFTER_1_DAY"}
    assert policies(0) == []


def test_a_mount_target_in_each_zone_behind_the_storage_group(stack: Any) -> None:
    d = stack(zones=["us-west-2a", "us-west-2b", "us-west-2c"])
    assert {t.inputs["subnetId"][-10:] for t in d.of("MountTarget")} == {"us-west-2a", "us-west-2b", "us-west-2c"}
    assert {tuple(t.inputs["securityGroups"]) for t in d.of("MountTarget")} == {("sg-tutti-dev-storage",)}


def test_the_groups_access_point_is_its_own_folder(stack: Any) -> None:
    own = stack("astro").one("efs/accessPoint:AccessPoint").inputs
    assert own["posixUser"] == {"uid": 1000, "gid": 1000}
    assert own["rootDirectory"] == {
        "path": "/astro",
        "creationInfo": {"ownerUid": 1000, "ownerGid": 1000, "permissions": "0755"},
    }


def test_more_access_points_are_the_operators(stack: Any, variations: dict[str, dict[str, Any]]) -> None:
    d = stack(**variations["budget"])
    data = d.one("efs/accessPoint:AccessPoint", "-data").inputs
    assert (data["posixUser"]["uid"], data["rootDirectory"]["creationInfo"]["permissions"]) == (2000, "0750")
    assert all("fsap-tutti-dev-own" in str(j.inputs) for j in d.of("JobDefinition"))


def test_backups_are_on(stack: Any) -> None:
    assert stack().one("BackupPolicy").inputs["backupPolicy"] == {"status": "ENABLED"}


def test_the_bucket_keeps_versions_and_forgets_what_is_left_over(stack: Any) -> None:
    d = stack("astro")
    assert d.one("BucketVersioning").inputs["versioningConfiguration"] == {"status": "Enabled"}
    rules = {r["id"]: r for r in d.one("BucketLifecycleConfiguration").inputs["rules"]}
    assert rules["unfinished-uploads"]["abortIncompleteMultipartUpload"] == {"daysAfterInitiation": 7}
    assert rules["checkpoints"]["filter"] == {"prefix": "astro/checkpoints/"}
    assert "expiration" not in rules["checkpoints"], "current checkpoints are never deleted by a clock"
    assert (rules["passing"]["filter"], rules["passing"]["expiration"]) == ({"prefix": "astro/passing/"}, {"days": 7})
    ours = ["passing", "submitted", "refused"]
    assert [name for name, rule in rules.items() if "expiration" in rule] == ours, "nor is anything else of a user's"
