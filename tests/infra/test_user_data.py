"""User data: valid shell, settings that guard, and nothing installed unchecked."""

from __future__ import annotations

import base64
import email
import os
import subprocess
from email.message import Message
from pathlib import Path

import pytest

from infra.user_data import EFA_KEY, EFA_VERSION, HostArgs, script, user_data

PLAIN = HostArgs(stop_timeout=30)
HOSTS = {
    "plain": PLAIN,
    "spot": HostArgs(stop_timeout=120, spot=True),
    "instance-store": HostArgs(stop_timeout=30, instance_store=True),
    "efa": HostArgs(stop_timeout=30, efa_interfaces=4),
    "lustre": HostArgs(stop_timeout=30, lustre_source="fs-1.fsx.us-west-2.amazonaws.com@tcp:/abcd"),
}


def parts(host: HostArgs) -> list[Message]:
    message = email.message_from_bytes(base64.b64decode(user_data(host)))
    assert message.is_multipart()
    return [part for part in message.walk() if not part.is_multipart()]


def text(part: Message) -> str:
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode()


def settings(host: HostArgs) -> dict[str, str]:
    lines = text(parts(host)[0]).split("<<'END'\n")[1].split("\nEND")[0].splitlines()
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_user_data_is_mime_as_batch_wants_it(host: HostArgs) -> None:
    assert [p.get_content_type() for p in parts(host)] == ["text/cloud-boothook", "text/x-shellscript"]


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_every_part_is_valid_shell(host: HostArgs) -> None:
    for part in parts(host):
        checked = subprocess.run(["bash", "-n"], input=text(part), text=True, capture_output=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_user_data_is_within_ec2s_limit(host: HostArgs) -> None:
    assert len(base64.b64decode(user_data(host))) < 16 * 1024


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_tasks_cannot_reach_the_instances_role(host: HostArgs) -> None:
    assert settings(host)["ECS_AWSVPC_BLOCK_IMDS"] == "true"


def test_the_time_to_stop_is_the_pools() -> None:
    assert settings(HOSTS["spot"])["ECS_CONTAINER_STOP_TIMEOUT"] == "120s"


def test_a_spot_notice_reaches_the_job() -> None:
    assert settings(HOSTS["spot"])["ECS_ENABLE_SPOT_INSTANCE_DRAINING"] == "true"
    assert "ECS_ENABLE_SPOT_INSTANCE_DRAINING" not in settings(PLAIN)


def test_efas_installer_is_pinned_and_its_signature_checked_before_it_runs() -> None:
    said = script(HOSTS["efa"])
    assert EFA_VERSION in said
    assert said.index("--verify") < said.index(EFA_KEY) < said.index("tar -xf") < said.index("./efa_installer.sh")


def fake(folder: Path, name: str, body: str = "exit 0") -> None:
    path = folder / name
    path.write_text(f'#!/bin/bash\necho "{name} $*" >> "$CALLS"\n{body}\n')
    path.chmod(0o755)


def run(host: HostArgs, tmp_path: Path, **bodies: str) -> tuple[int, list[str]]:
    """Run the script with every outside command replaced; what was called, in order."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in (
        "systemctl",
        "shutdown",
        "mkdir",
        "mount",
        "mountpoint",
        "dnf",
        "chmod",
        "lsblk",
        "mkfs.xfs",
        "mdadm",
        "tee",
    ):
        fake(tools, name, bodies.get(name.replace(".", "_"), "exit 0"))
    calls = tmp_path / "calls"
    calls.touch()
    done = subprocess.run(
        ["bash", "-c", script(host)],
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "CALLS": str(calls)},
        capture_output=True,
        check=False,
        timeout=60,
    )
    return done.returncode, calls.read_text().splitlines()


def test_a_fit_instance_keeps_its_agent(tmp_path: Path) -> None:
    code, calls = run(PLAIN, tmp_path)
    assert code == 0
    assert not [c for c in calls if c.startswith(("systemctl", "shutdown"))]


def test_an_instance_without_its_lustre_never_takes_a_job(tmp_path: Path) -> None:
    code, calls = run(HOSTS["lustre"], tmp_path, mount="exit 1")
    assert code != 0
    assert "systemctl mask --now ecs" in calls
    assert any(c.startswith("shutdown") for c in calls)


def test_an_instance_without_a_console_is_stopped_all_the_same(tmp_path: Path) -> None:
    _, calls = run(HOSTS["lustre"], tmp_path, mount="exit 1", tee="exit 1")
    assert "systemctl mask --now ecs" in calls


def test_an_instance_store_that_is_not_there_is_no_scratch(tmp_path: Path) -> None:
    code, calls = run(HOSTS["instance-store"], tmp_path)
    assert code != 0
    assert "systemctl mask --now ecs" in calls


def test_the_disks_of_the_instance_store_become_one(tmp_path: Path) -> None:
    disks = "echo '/dev/nvme1n1 Amazon EC2 NVMe Instance Storage'; echo '/dev/nvme2n1 Amazon EC2 NVMe Instance Storage'"
    code, calls = run(HOSTS["instance-store"], tmp_path, lsblk=disks)
    assert code == 0
    assert any(c.startswith("mdadm --create") and c.endswith("/dev/nvme1n1 /dev/nvme2n1") for c in calls)
    assert "mount -o noatime /dev/md/scratch /scratch" in calls
