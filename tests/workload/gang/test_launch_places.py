"""Where ranks run: counts, threads, cores, GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workload.gang.installed import LaunchError
from workload.gang.places import Host, Layout, placement, placement_map, places
from workload.gang.topology import numa_of_cpu, numa_of_gpu
from workload.settings import Settings


def hosts(*slots: int, bind: bool = True) -> tuple[Host, ...]:
    return tuple(Host(index=i, address=f"10.0.0.{i + 1}", slots=n, bind=bind) for i, n in enumerate(slots))


@pytest.mark.parametrize(
    ("settings", "cores", "gpus", "wanted"),
    [
        (Settings(), 8, 0, (8, 1)),
        (Settings(ranks_per_node=2), 8, 0, (2, 4)),
        (Settings(threads=4), 8, 0, (2, 4)),
        (Settings(ranks_per_node=3), 8, 0, (3, 2)),
        (Settings(threads=16, oversubscribe=True), 8, 0, (1, 16)),
        (Settings(), 8, 4, (4, 2)),
        (Settings(ranks_per_node=16, oversubscribe=True), 8, 0, (16, 1)),
    ],
)
def test_what_the_job_does_not_say_follows_from_cores_and_gpus(
    settings: Settings, cores: int, gpus: int, wanted: tuple[int, int]
) -> None:
    placed = placement(settings, hosts(cores, cores), gpus)
    assert (placed.ranks_per_node, placed.threads) == wanted


def test_the_smallest_node_decides() -> None:
    assert placement(Settings(), hosts(8, 4, 8)).ranks_per_node == 4


@pytest.mark.parametrize("settings", [Settings(ranks_per_node=5), Settings(ranks_per_node=2, threads=3)])
def test_more_than_the_cores_only_by_word(settings: Settings) -> None:
    with pytest.raises(LaunchError, match=r"node 1 has 4 physical cores.*--oversubscribe"):
        placement(settings, hosts(8, 4))


def test_shared_cores_refuse_no_number() -> None:
    assert placement(Settings(ranks_per_node=4), hosts(1, 1, bind=False)).ranks_per_node == 4


def test_a_layout_survives_the_wire() -> None:
    layout = Layout(ranks_per_node=3, threads=2)
    assert Layout.from_message(layout.message()) == layout


@given(
    cores=st.integers(1, 192).flatmap(lambda n: st.permutations(range(n))),
    each=st.integers(1, 192),
    threads=st.integers(1, 8),
    nodes=st.integers(1, 8),
)
def test_ranks_never_share_a_core_and_never_leave_their_nodes(
    cores: list[int], each: int, threads: int, nodes: int
) -> None:
    numa = {cpu: cpu % nodes for cpu in cores}
    found = places(Layout(ranks_per_node=each, threads=threads), cores, bind=True, numa_of_cpu=numa)
    assert len(found) == each
    if each * threads > len(cores):
        assert all(p.cpus == () for p in found)
    else:
        used = [cpu for p in found for cpu in p.cpus]
        assert len(used) == len(set(used)) == each * threads
        assert set(used) <= set(cores)


def test_few_ranks_are_spread_over_numa_nodes() -> None:
    numa = {cpu: cpu // 4 for cpu in range(8)}
    found = places(Layout(ranks_per_node=2, threads=2), range(8), bind=True, numa_of_cpu=numa)
    assert [p.cpus for p in found] == [(0, 1), (4, 5)]


def test_each_rank_gets_one_gpu_the_nearest_first() -> None:
    layout = Layout(ranks_per_node=4, threads=2)
    found = places(
        layout,
        range(8),
        bind=True,
        gpus=4,
        numa_of_cpu={cpu: cpu // 4 for cpu in range(8)},
        numa_of_gpu={0: 1, 1: 1, 2: 0, 3: 0},
    )
    assert [p.gpu for p in found] == [2, 3, 0, 1]


def test_more_ranks_than_gpus_share_them_evenly() -> None:
    found = places(Layout(ranks_per_node=5, threads=1), range(8), bind=True, gpus=2)
    assert sorted(p.gpu for p in found if p.gpu is not None) == [0, 0, 0, 1, 1]


def test_the_map_says_every_node_or_that_there_are_more() -> None:
    layout = Layout(ranks_per_node=2, threads=4)
    mine = places(layout, range(8), bind=True)
    few = placement_map(hosts(8, 8), layout, mine)
    assert few == [
        "4 ranks on 2 nodes: 2 a node, 4 threads each, bound to 4 cores each",
        "node 0 (10.0.0.1, 8 cores): ranks 0-1",
        "node 1 (10.0.0.2, 8 cores): ranks 2-3",
        "CPUs of node 0's local ranks: 0,1,2,3 4,5,6,7",
    ]
    many = placement_map(hosts(*[8] * 40), layout, mine)
    assert len(many) < 20
    assert "and so on to node 39" in many[-2]


def test_topology_is_read_from_sysfs_and_procfs(tmp_path: Path) -> None:
    for node, cpus in (("node0", "0-1,4"), ("node1", "2-3"), ("node2", "")):
        (tmp_path / node).mkdir()
        (tmp_path / node / "cpulist").write_text(f"{cpus}\n", encoding="ascii")
    assert numa_of_cpu(tmp_path) == {0: 0, 1: 0, 4: 0, 2: 1, 3: 1}
    gpus, devices = tmp_path / "gpus", tmp_path / "devices"
    for address, numa in (("0000:10:1C.0", 1), ("0000:00:1B.0", -1)):
        (gpus / address).mkdir(parents=True)
        (devices / address.lower()).mkdir(parents=True)
        (devices / address.lower() / "numa_node").write_text(f"{numa}\n", encoding="ascii")
    assert numa_of_gpu(gpus, devices) == {0: 0, 1: 1}
    assert numa_of_gpu(tmp_path / "none") == {}
