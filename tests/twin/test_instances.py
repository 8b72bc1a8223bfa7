"""Which node is on which instance that the twin pretends: as Batch places them."""

from __future__ import annotations

from tutti.twin.instances import IDLE_S, Instances, Need, Shape

CLUSTER = "arn:aws:ecs:us-east-1:1:cluster/AWSBatch-pool-1"
SHAPE = Shape(cluster=CLUSTER, type="c7i.xlarge", zone="us-east-1a", vcpus=4, memory_mib=8000)
ONE = Need(vcpus=1, memory_mib=1000, alone=False)
GANG = Need(vcpus=1, memory_mib=1000, alone=True)


def instances() -> Instances:
    return Instances(lambda name: SHAPE if name == "pool" else None)


def test_each_node_of_a_gang_has_an_instance_to_itself() -> None:
    there = instances()
    taken = {there.take(f"job#{n}", "pool", GANG, 0.0) for n in range(3)}
    assert len(taken) == 3
    assert there.take("other", "pool", ONE, 0.0) not in taken


def test_containers_share_an_instance_while_there_is_room() -> None:
    there = instances()
    arns = [there.take(f"job{n}", "pool", ONE, 0.0) for n in range(5)]
    assert len(set(arns[:4])) == 1
    assert arns[4] != arns[0]
    large = Need(vcpus=1, memory_mib=7500, alone=False)
    assert there.take("large", "pool", large, 0.0) not in arns
    assert there.take("gang", "pool", GANG, 0.0) not in arns


def test_an_idle_instance_is_used_again_and_goes_after_a_while() -> None:
    there = instances()
    first = there.take("a", "pool", GANG, 0.0)
    there.release("a", 10.0, lost=False)
    assert there.take("b", "pool", GANG, 11.0) == first
    there.release("b", 20.0, lost=False)
    assert [i.arn for i in there.of(CLUSTER, 20.0 + IDLE_S)] == [first]
    assert there.of(CLUSTER, 20.1 + IDLE_S) == []


def test_a_lost_node_takes_its_instance_with_it() -> None:
    there = instances()
    first = there.take("a", "pool", GANG, 0.0)
    there.release("a", 1.0, lost=True)
    assert there.of(CLUSTER, 1.0) == []
    assert there.take("b", "pool", GANG, 1.0) != first


def test_fargate_has_no_instances() -> None:
    there = instances()
    assert there.take("a", "fargate", ONE, 0.0) == ""
    there.release("a", 1.0, lost=False)
    assert there.of(CLUSTER, 1.0) == []


def test_an_instance_has_the_names_that_ec2_and_ecs_give() -> None:
    there = instances()
    there.take("a", "pool", GANG, 5.0)
    [one] = there.of("AWSBatch-pool-1", 5.0)
    assert one.arn.startswith("arn:aws:ecs:us-east-1:1:container-instance/AWSBatch-pool-1/")
    assert (one.id[:2], len(one.id), one.launched) == ("i-", 19, 5.0)
