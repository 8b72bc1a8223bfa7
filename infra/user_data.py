"""User data of the instances: settings of the ECS agent, scratch, EFA, Lustre. Pure.

Batch wants MIME multi-part and adds a part of its own. What must not be missing stops the agent: an instance that is
not fit never takes a job.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Final

from workload.contract import Path

BOUNDARY: Final = "==TUTTI=="
EFA_VERSION: Final = "1.50.0"  # EC2 User Guide, "Get started with EFA and MPI"
EFA_KEY: Final = "4E9091BCBB97A96B26B15E59A05480B1DD2D3CCC"  # fingerprint of the installer's key, from the same page

_HEAD: Final = """#!/bin/bash
set -euo pipefail
unfit() {
  echo "tutti: this instance is not fit: line $1" | tee /dev/console || true
  systemctl mask --now ecs || true
  shutdown -h +1 "tutti: not fit for jobs" || true
}
trap 'unfit $LINENO' ERR
"""
_DISK_SCRATCH: Final = """
# scratch: on the root volume
mkdir -p -m 1777 {scratch}
"""
_STORE_SCRATCH: Final = """
# scratch: the instance store, striped over its disks
mapfile -t disks < <(lsblk -dpno NAME,MODEL | awk '/Instance Storage/ {{print $1}}')
(( ${{#disks[@]}} > 0 ))
if (( ${{#disks[@]}} > 1 )); then
  command -v mdadm >/dev/null || dnf install -y mdadm
  mdadm --create /dev/md/scratch --run --level=0 --raid-devices=${{#disks[@]}} "${{disks[@]}}"
  disk=/dev/md/scratch
else
  disk=${{disks[0]}}
fi
mkfs.xfs -q -f "$disk"
mkdir -p {scratch}
mount -o noatime "$disk" {scratch}
chmod 1777 {scratch}
"""
_EFA: Final = """
# EFA: AWS's installer of one version, its signature checked against the published key
if ! /opt/amazon/efa/bin/fi_info -p efa >/dev/null 2>&1; then
  work=$(mktemp -d)
  cd "$work"
  site=https://efa-installer.amazonaws.com
  for file in aws-efa-installer-{version}.tar.gz aws-efa-installer-{version}.tar.gz.sig aws-efa-installer.key; do
    curl --fail --silent --show-error --retry 5 --retry-all-errors --max-time 300 -O "$site/$file"
  done
  export GNUPGHOME="$work/keys"
  mkdir -m 700 "$GNUPGHOME"
  gpg --batch --quiet --import aws-efa-installer.key
  gpg --batch --status-fd 1 --verify aws-efa-installer-{version}.tar.gz.sig aws-efa-installer-{version}.tar.gz |
    grep -q "^\\[GNUPG:\\] VALIDSIG .*{key}"
  tar -xf aws-efa-installer-{version}.tar.gz
  cd aws-efa-installer
  ./efa_installer.sh -y --minimal
  cd /
  rm -rf "$work"
fi
/opt/amazon/efa/bin/fi_info -p efa
(( $(find /dev/infiniband -name 'uverbs*' | wc -l) >= {interfaces} ))
"""
_LUSTRE: Final = """
# Lustre
command -v mount.lustre >/dev/null || dnf install -y lustre-client
mkdir -p {folder}
mount -t lustre -o relatime,flock,_netdev {source} {folder}
mountpoint -q {folder}
"""


@dataclass(frozen=True, kw_only=True)
class HostArgs:
    """What a pool's hosts need. `efa_interfaces` 0: no EFA. `lustre_source`: `DNS@tcp:/NAME`, or "" for none."""

    stop_timeout: int
    spot: bool = False
    instance_store: bool = False
    efa_interfaces: int = 0
    lustre_source: str = ""


def agent_settings(host: HostArgs) -> Mapping[str, str]:
    """Lines of /etc/ecs/ecs.config."""
    return {
        "ECS_AWSVPC_BLOCK_IMDS": "true",  # an awsvpc task reaches IMDS at hop 1: this is the guard (traps 20)
        "ECS_CONTAINER_STOP_TIMEOUT": f"{host.stop_timeout}s",
        "ECS_ENABLE_AWSLOGS_EXECUTIONROLE_OVERRIDE": "true",  # to the group's log group alone
        "ECS_IMAGE_PULL_BEHAVIOR": "prefer-cached",  # images are named by digest: a cached one is the right one
        **({"ECS_ENABLE_SPOT_INSTANCE_DRAINING": "true"} if host.spot else {}),
    }


def script(host: HostArgs) -> str:
    """The shell script that makes an instance fit, or stops its agent."""
    parts = [_HEAD]
    scratch = _STORE_SCRATCH if host.instance_store else _DISK_SCRATCH
    parts.append(scratch.format(scratch=Path.SCRATCH.value))
    if host.efa_interfaces:
        parts.append(_EFA.format(version=EFA_VERSION, key=EFA_KEY, interfaces=host.efa_interfaces))
    if host.lustre_source:
        parts.append(_LUSTRE.format(folder=Path.LUSTRE.value, source=host.lustre_source))
    return "".join(parts)


def user_data(host: HostArgs) -> str:
    """The launch template's user data, in Base64: the agent's settings at every boot, the script at the first."""
    lines = "\n".join(f"{name}={value}" for name, value in agent_settings(host).items())
    hook = f"#cloud-boothook\n#!/bin/bash\nmkdir -p /etc/ecs\ncat > /etc/ecs/ecs.config.tutti <<'END'\n{lines}\nEND\n"
    # Appended once: Batch's own part writes the cluster's name into the same file.
    hook += (
        "grep -q ECS_AWSVPC_BLOCK_IMDS /etc/ecs/ecs.config 2>/dev/null"
        " || cat /etc/ecs/ecs.config.tutti >> /etc/ecs/ecs.config\n"
    )
    message = MIMEMultipart("mixed", boundary=BOUNDARY)
    message.attach(MIMEText(hook, "cloud-boothook", "us-ascii"))
    message.attach(MIMEText(script(host), "x-shellscript", "us-ascii"))
    return base64.b64encode(message.as_bytes()).decode()
