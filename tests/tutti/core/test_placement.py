"""Where a job runs, and why it cannot: before anything is sent."""

from __future__ import annotations

import pytest

from tutti.core.placement import Need, Placement, place
from workload.contract import Card, Mpi, QueuePriority


def refused(need: Need, card: Card) -> list[str]:
    found = place(need, card)
    assert isinstance(found, list)
    return [f"{r.key}: {r.words}" for r in found]


@pytest.mark.parametrize(
    ("need", "queue", "definition", "nodes"),
    [
        (Need(nodes=4), "cpu-high", "lab-mpi", 4),
        (Need(nodes=1), "cpu-high", "lab-mpi", 1),
        (Need(nodes=4, priority=QueuePriority.LOW), "cpu-low", "lab-mpi", 4),
        (Need(nodes=2, queue="cpu-low"), "cpu-low", "lab-mpi", 2),
        (Need(nodes=2, mpi=Mpi.INTEL), "cpu-high", "lab-mpi-wrf", 2),
        (Need(nodes=2, gpus=8), "gpu-high", "lab-gpu-mpi", 2),
        (Need(nodes=2, instance_type="p4d.24xlarge"), "gpu-high", "lab-gpu-mpi", 2),
        (Need(), "one-low", "lab-single", None),
        (Need(array=True), "one-low", "lab-array", None),
        (Need(parameterized=True), "cpu-high", "lab-mpi-parameterized", 2),
        (Need(nodes=3, parameterized=True), "cpu-high", "lab-mpi-parameterized", 3),
        (Need(queue="cpu-high"), "cpu-high", "lab-mpi", 1),
    ],
)
def test_a_job_finds_its_queue_and_definition(
    card: Card, need: Need, queue: str, definition: str, nodes: int | None
) -> None:
    found = place(need, card)
    assert isinstance(found, Placement)
    assert (found.queue.name, found.definition.name, found.nodes) == (queue, definition, nodes)


def test_a_gang_on_a_spot_queue_is_refused_for_it_would_wait_for_ever(card: Card) -> None:
    [told] = refused(Need(nodes=2, queue="one-low"), card)
    assert "Spot or Fargate" in told
    assert "RUNNABLE there for ever" in told


@pytest.mark.parametrize("nodes", [None, 1, 2])
def test_gpus_that_no_node_has_are_told_once_and_blame_no_queue_that_nobody_asked_for(
    card: Card, nodes: int | None
) -> None:
    assert refused(Need(nodes=nodes, gpus=9), card) == ["gpus: got 9 a node; a node has 8 at most, of queue gpu-high"]
    without = card.but(queues=tuple(q for q in card.queues if not q.gpus))
    assert refused(Need(nodes=nodes, gpus=4), without) == ["gpus: got 4 a node; this cluster has no node with a GPU"]


def test_more_nodes_than_the_pool_can_hold_are_refused_with_the_number_that_fits(card: Card) -> None:
    assert any("At most 8 nodes fit" in told for told in refused(Need(nodes=9, queue="cpu-high"), card))


@pytest.mark.parametrize(
    ("need", "telling"),
    [
        (Need(nodes=2, queue="cpu-hihg"), "did you mean 'cpu-high'? allowed: cpu-high, cpu-low"),
        (Need(nodes=2, memory_mib=31_000), "got 31000 MiB a node; a node of queue cpu-high gives 30000 MiB"),
        (Need(nodes=2, vcpus=17, queue="cpu-low"), "got 17 a node; a node of queue cpu-low has 16"),
        (
            Need(nodes=2, ranks_x_threads=9, queue="cpu-low"),
            "9 ranks x threads a node; a node of queue cpu-low has 8 cores",
        ),
        (Need(nodes=2, instance_type="t2.nano"), "got 't2.nano'; queue cpu-high has c7i.4xlarge"),
        (Need(nodes=2, image="nope"), "no image 'nope' for mpi jobs; allowed: cpu, wrf"),
        (Need(nodes=2, mpi=Mpi.INTEL, image="cpu"), "got intel, but image cpu has mpich, openmpi; image wrf has it"),
        (Need(nodes=2, gpus=1, queue="cpu-low"), "needs a queue of kind gpu; cpu-low is of kind mpi"),
        (Need(array=True, queue="cpu-low"), "needs a queue of kind single; cpu-low is of kind mpi"),
    ],
)
def test_a_job_that_fits_nowhere_hears_why(card: Card, need: Need, telling: str) -> None:
    assert any(telling in told for told in refused(need, card)), refused(need, card)
