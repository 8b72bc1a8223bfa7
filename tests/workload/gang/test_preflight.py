"""What is looked at before anything is staged, and what is said of it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from workload.gang import limits, preflight
from workload.gang.loop import Loop
from workload.node import Node
from workload.settings import Settings

NodeOf = Callable[..., Node]


@pytest.fixture
def loop() -> Iterator[Loop]:
    with Loop() as one:
        yield one


def turn(loop: Loop, what: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not what():
        assert time.monotonic() < end
        loop.turn(0.05)


def test_this_machine_is_fit_and_says_what_must_be_equal(node_of: NodeOf) -> None:
    problems, facts = preflight.local_checks(node_of(), Settings())
    assert problems == []
    assert set(facts) >= {"CPU model", "NUMA nodes", "shared memory", "stack limit", "memlock limit", "nofile limit"}
    assert all(facts.values())


def test_too_small_a_shm_is_named_with_what_is_needed(node_of: NodeOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "SHM_BASE_MIB", 1 << 40)
    (problem,) = preflight.local_checks(node_of(), Settings(ranks_per_node=2))[0]
    assert problem.startswith(f"{preflight.SHM} has ")
    assert "2 ranks need" in problem
    assert "sharedMemorySize" in problem


def test_a_full_disk_and_low_limits_are_all_said_at_once(node_of: NodeOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "DISK_MIB", 1 << 40)
    monkeypatch.setattr(limits, "hard", lambda name: {"stack": 65_536, "nofile": 64, "memlock": 0}[name])
    problems, _ = preflight.local_checks(node_of(), Settings())
    assert [p.split(":")[0].split(" ")[0] for p in problems][1:] == ["stack", "nofile"]
    assert "free; session folders and logs need" in problems[0]


def test_a_pool_with_efa_needs_the_device_the_library_and_locked_memory(
    node_of: NodeOf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(limits, "hard", lambda name: 1 << 20)
    monkeypatch.setattr(preflight, "INFINIBAND", tmp_path / "none")
    monkeypatch.setattr(preflight, "FI_INFO", (str(tmp_path / "fi_info"),))
    problems, _ = preflight.local_checks(node_of(efa=True), Settings())
    told = "\n".join(p for p in problems if not p.startswith("stack"))
    assert "memlock" in told
    assert "the device is not in the container" in told
    assert "built without EFA=1" in told


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'provider: efa'; exit 0", None),
        ("echo 'fi_getinfo: -61' >&2; exit 61", "`fi_info -p efa` ended with 61: fi_getinfo: -61"),
        ("echo 'provider: tcp'; exit 0", "ended with 0: provider: tcp"),
    ],
)
def test_fi_info_must_find_efa(
    node_of: NodeOf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, said: str | None
) -> None:
    program = tmp_path / "fi_info"
    program.write_text(f'#!/bin/sh\n[ "$*" = "-p efa" ] || exit 9\n{script}\n', encoding="ascii")
    program.chmod(0o755)
    monkeypatch.setattr(limits, "hard", lambda name: -1)
    monkeypatch.setattr(preflight, "INFINIBAND", tmp_path)
    monkeypatch.setattr(preflight, "FI_INFO", (str(program),))
    problems, _ = preflight.local_checks(node_of(efa=True), Settings())
    if said is None:
        assert problems == []
    else:
        assert len(problems) == 1
        assert said in problems[0]


def test_missing_gpus_are_counted(node_of: NodeOf) -> None:
    problems, _ = preflight.local_checks(node_of(gpus=500), Settings(ranks_per_node=1))
    assert [p for p in problems if "of 500 are there" in p]


def test_what_differs_is_told_with_the_nodes_that_have_it() -> None:
    same = {"CPU model": "A", "NUMA nodes": "2"}
    facts = {0: same, 1: same, 2: {**same, "CPU model": "B"}, 3: same, 7: {"CPU model": "A"}}
    assert preflight.differing(facts) == [
        "CPU model differs: nodes 0-1, 3, 7 have A; node 2 has B",
        "NUMA nodes differs: nodes 0-3 have 2; node 7 has unknown",
    ]
    assert preflight.differing({0: same, 1: same}) == []


def test_a_shared_folder_is_the_same_where_mains_mark_is_seen(tmp_path: Path) -> None:
    token = preflight.write_mark(tmp_path, "job-1")
    assert preflight.read_mark(tmp_path, "job-1", token) is None
    preflight.remove_mark(tmp_path, "job-1")
    preflight.remove_mark(tmp_path, "job-1")
    assert list((tmp_path / preflight.MARKS).iterdir()) == []


def test_another_folder_or_none_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "NFS_S", 0.2)
    (tmp_path / "other").mkdir()
    token = preflight.write_mark(tmp_path / "main", "job-1")
    for folder in (tmp_path / "other", tmp_path / "absent"):
        told = preflight.read_mark(folder, "job-1", token)
        assert told is not None
        assert "is not the same as main's" in told
    assert "not main's token" in (preflight.read_mark(tmp_path / "main", "job-1", "f" * 32) or "")


def test_a_neighbour_in_reach_answers(loop: Loop) -> None:
    neighbour = preflight.Neighbour(loop, "127.0.0.5")
    heard: list[tuple[str | None, float]] = []
    for _ in range(3):
        preflight.reach(loop, "127.0.0.5", neighbour.port, lambda problem, s: heard.append((problem, s)))
    turn(loop, lambda: len(heard) == 3)
    neighbour.close()
    assert [problem for problem, _ in heard] == [None] * 3
    assert all(0 <= s < 5 for _, s in heard)


def test_a_neighbour_out_of_reach_is_named_with_its_address(loop: Loop) -> None:
    with socket.create_server(("127.0.0.5", 0)) as taken:
        port = taken.getsockname()[1]
    heard: list[str | None] = []
    preflight.reach(loop, "127.0.0.5", port, lambda problem, _: heard.append(problem))
    turn(loop, lambda: bool(heard))
    assert "127.0.0.5" in (heard[0] or "")


def test_a_neighbour_that_never_answers_takes_no_longer_than_its_time(loop: Loop) -> None:
    with socket.create_server(("127.0.0.5", 0)) as silent:
        heard: list[str | None] = []
        port = silent.getsockname()[1]
        preflight.reach(loop, "127.0.0.5", port, lambda problem, _: heard.append(problem), timeout=0.3)
        turn(loop, lambda: bool(heard))
    assert heard == [f"127.0.0.5:{port} did not answer within 0.3 s"]


def test_somebody_elses_port_is_no_neighbour(loop: Loop) -> None:
    with socket.create_server(("127.0.0.5", 0)) as other:
        heard: list[str | None] = []
        preflight.reach(loop, "127.0.0.5", other.getsockname()[1], lambda problem, _: heard.append(problem))
        connection, _ = other.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 400 Bad Request")
            turn(loop, lambda: bool(heard))
    assert "is not a node of this gang" in (heard[0] or "")
