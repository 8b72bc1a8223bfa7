"""Breaking nodes on purpose, and capacity that runs out (B15), on a running twin."""

import time
from typing import Any

import pytest

from tutti.errors import NotFoundError, ServiceError
from tutti.twin import control

Desk = Any
WAIT = "trap 'exit 77' TERM; echo up; while :; do sleep 0.05; done"


def drill(desk: Desk, job: str, node: int, action: str, **more: Any) -> dict[str, Any]:
    return control.call(desk.home, "drill", job=job, node=node, action=action, **more)


def up(desk: Desk, job: str, nodes: int = 2) -> None:
    for n in range(nodes):
        desk.until_log(f"{job}#{n}", "up")


def test_a_child_that_is_killed_ends_alone_and_the_answer_has_the_time(desk: Desk) -> None:
    job = desk.gang(WAIT)
    up(desk, job)
    answer = drill(desk, job, 1, "kill")
    assert abs(answer["at"] - time.time()) < 20
    assert desk.until(f"{job}#1")["container"]["exitCode"] == 137
    assert desk.describe(job)["status"] == "RUNNING"
    drill(desk, job, 0, "term")
    assert desk.until(job)["attempts"][0]["container"]["exitCode"] == 77


def test_a_killed_main_is_137_and_not_retried_and_a_lost_instance_is(desk: Desk) -> None:
    killed, lost = desk.gang(WAIT), desk.gang(f"[ $AWS_BATCH_JOB_ATTEMPT = 1 ] || exit 0; {WAIT}")
    up(desk, killed)
    drill(desk, killed, 0, "kill")
    found = desk.until(killed)
    assert [a["container"]["exitCode"] for a in found["attempts"]] == [137]
    up(desk, lost)
    drill(desk, lost, 0, "lose")
    found = desk.until(lost)
    assert found["status"] == "SUCCEEDED"
    first, second = found["attempts"]
    assert first["statusReason"].startswith("Host EC2 (instance i-")
    assert "exitCode" not in first["container"]
    assert second["container"]["exitCode"] == 0


def test_a_stopped_node_goes_on_when_it_is_told_to(desk: Desk) -> None:
    job = desk.gang("n=0; while :; do n=$((n+1)); echo up $n; sleep 0.02; done", nodes=1)
    up(desk, job, 1)
    drill(desk, job, 0, "stop")
    time.sleep(0.2)  # what it had written before it was stopped
    before = len(desk.log(f"{job}#0"))
    time.sleep(0.3)
    assert len(desk.log(f"{job}#0")) == before
    drill(desk, job, 0, "cont")
    desk.until_log(f"{job}#0", f"up {before + 2}")
    desk.batch.terminate_job(jobId=job, reason="done")


def test_a_delayed_child_comes_so_much_later(desk: Desk) -> None:
    blocker = desk.gang("sleep 1000", nodes=8, queue="twin-mpi2-high")
    job = desk.gang("echo up; [ $AWS_BATCH_JOB_NODE_INDEX = 1 ] || sleep 2", queue="twin-mpi2-high")
    drill(desk, job, 1, "delay", seconds=1.0)
    desk.batch.terminate_job(jobId=blocker, reason="done")
    found = desk.until(job)
    assert desk.describe(f"{job}#1")["startedAt"] - found["startedAt"] >= 1000


@pytest.mark.netns
def test_a_node_that_is_cut_off_is_out_of_reach_until_it_is_mended(netns_desk: Desk) -> None:
    reach = (
        "import socket; socket.create_connection(('10.77.0.1', int('PORT')), timeout=0.3); print('reached', flush=True)"
    )
    port = netns_desk.twin.endpoint.rpartition(":")[2]
    script = (
        f'echo up; while :; do python3 -c "{reach.replace("PORT", port)}" 2>/dev/null || echo cut; sleep 0.02; done'
    )
    job = netns_desk.gang(script, nodes=1)
    netns_desk.until_log(f"{job}#0", "reached")
    drill(netns_desk, job, 0, "cut")
    netns_desk.until_log(f"{job}#0", "cut")
    seen = len(netns_desk.log(f"{job}#0"))
    drill(netns_desk, job, 0, "mend")
    deadline = time.monotonic() + 20
    while "reached" not in netns_desk.log(f"{job}#0")[seen:]:
        assert time.monotonic() < deadline
    netns_desk.batch.terminate_job(jobId=job, reason="done")


def test_what_cannot_be_done_is_refused_with_the_reason(desk: Desk) -> None:
    job = desk.gang("true")
    desk.until(job)
    with pytest.raises(ServiceError, match=r"node 0 of job .* does not run"):
        drill(desk, job, 0, "kill")
    with pytest.raises(ServiceError, match="has nodes 0 to 1"):
        drill(desk, job, 2, "kill")
    with pytest.raises(NotFoundError, match="there is no job nothing"):
        drill(desk, "nothing", 0, "kill")
    running = desk.gang("sleep 1000", nodes=1)
    desk.until(running, "RUNNING")
    with pytest.raises(ServiceError, match="--isolation netns"):
        drill(desk, running, 0, "cut")
    desk.batch.terminate_job(jobId=running, reason="done")


NO_CAPACITY = (
    "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - Service cannot fulfill the capacity requested for instance type "
    "[c7i.large]"
)


def test_a_shortage_keeps_gangs_waiting_with_its_reason_until_it_is_over(desk: Desk) -> None:
    control.call(desk.home, "shortage", queue="twin-mpi2-low", on=True)
    job = desk.gang("true", queue="twin-mpi2-low")
    found = desk.describe(job)
    assert (found["status"], found["statusReason"]) == ("RUNNABLE", NO_CAPACITY)
    other = desk.gang("true", queue="twin-mpi-low")
    assert desk.until(other)["status"] == "SUCCEEDED", "another pool has capacity"
    control.call(desk.home, "shortage", queue="twin-mpi2-low", on=False)
    assert desk.until(job)["status"] == "SUCCEEDED"
    with pytest.raises(NotFoundError, match=r"queues: .*twin-mpi-high"):
        control.call(desk.home, "shortage", queue="nowhere", on=True)
