"""Kills for memory are counted where the kernel counts them, in both versions of control groups, in a container or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from workload.gang import memory

V2 = "low 0\nhigh 0\nmax 7\noom 1\noom_kill 3\noom_group_kill 0\n"
V1 = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"


@pytest.mark.parametrize(
    ("groups", "file", "text"),
    [
        ("0::/jobs/n1\n", "jobs/n1/memory.events", V2),
        ("0::/\n", "memory.events", V2),
        ("9:pids:/x\n5:cpu,memory:/jobs/n1\n0::/\n", "memory/jobs/n1/memory.oom_control", V1),
        ("5:memory:/ecs/host/path\n", "memory/memory.oom_control", V1),
    ],
)
def test_kills_are_counted(tmp_path: Path, groups: str, file: str, text: str) -> None:
    own = tmp_path / "cgroup"
    own.write_text(groups, encoding="utf-8")
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(text, encoding="utf-8")
    assert memory.kills(tmp_path, own) == 3


def test_where_nobody_counts_it_is_0(tmp_path: Path) -> None:
    assert memory.kills(tmp_path, tmp_path / "none") == 0
