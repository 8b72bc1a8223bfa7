"""A job with checkpoints from end to end: submitted, saved, stopped, looked at, resumed on other nodes."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tutti.answers import accepts
from tutti import Cluster, Job
from tutti.checkpoints import Place, damage
from tutti.errors import InputError
from tutti.run import Run
from workload.vault.store import open_store

Tutti = Callable[..., "subprocess.CompletedProcess[str]"]
REPOSITORY = Path(__file__).parents[2]
HEAT = REPOSITORY / "examples" / "heat" / "heat.py"
FOREVER = "100000000"


@pytest.mark.parametrize("kind", ["shared", "s3"])
def test_a_job_that_is_stopped_ends_with_213_and_its_resumption_goes_on_from_there(
    tutti: Tutti, cluster: Cluster, kind: str
) -> None:
    place = "shared:work/plate" if kind == "shared" else f"s3://{cluster.card.bucket}/{cluster.card.prefix}plate"
    run = Job(
        command=["python", "-m", "mpi4py", str(HEAT), place, FOREVER],
        name=f"plate-{kind}",
        nodes=2,
        ranks_per_node=1,
        checkpoint=place,
        env={"HEAT_POINTS": "64", "HEAT_EVERY": "1h", "PYTHONPATH": str(REPOSITORY)},
    ).submit(cluster)
    run.wait(until="running")

    stopped = tutti("checkpoints", "stop", f"plate-{kind}", "--json")

    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    answer = json.loads(stopped.stdout)
    assert accepts("checkpoints-stop", answer)
    ended = run.wait()
    assert ended.code == 213, [line.raw for line in run.tail(40)]
    listed = tutti("checkpoints", "ls", run.id, "--json")
    assert [(c["step"], c["state"], c["job"], c["ranks"]) for c in json.loads(listed.stdout)["checkpoints"]] == [
        (answer["step"], "good", run.id, 2)
    ]
    assert tutti("checkpoints", "verify", run.id).returncode == 0
    with pytest.raises(InputError, match="has ended") as refused:
        _stop(cluster, run)
    assert run.id in str(refused.value)

    again = run.resume(nodes=1)
    again.wait(until="running")
    _until_said(again, f"checkpoint: going on from step {answer['step']}")
    assert tutti("checkpoints", "stop", again.id).returncode == 0
    assert again.wait().code == 213


@pytest.mark.parametrize("drill", ["kill", "term", "damage"])
def test_a_job_whose_node_goes_is_tried_again_and_goes_on_from_its_newest_good_checkpoint(
    tutti: Tutti, cluster: Cluster, drill: str
) -> None:
    """`damage`: the newest one is spoilt before the node is killed."""
    place = f"shared:work/drilled-{drill}"
    run = Job(
        command=["python", "-m", "mpi4py", str(HEAT), place, FOREVER],
        name=f"drilled-{drill}",
        nodes=2,
        ranks_per_node=1,
        checkpoint=place,
        retries=1,
        env={"HEAT_POINTS": "64", "HEAT_EVERY": "1h", "PYTHONPATH": str(REPOSITORY)},
    ).submit(cluster)
    run.wait(until="running")
    saved = tutti("checkpoints", "save", run.id, "--json")
    assert saved.returncode == 0, saved.stderr
    assert accepts("checkpoints-save", json.loads(saved.stdout))
    if drill == "damage":
        later = json.loads(tutti("checkpoints", "save", run.id, "--json").stdout)["step"]
        damaged = json.loads(tutti("drill", "damage", run.id, "--json").stdout)
        assert accepts("drill-damage", damaged)
        assert damaged["step"] == later > json.loads(saved.stdout)["step"]
        assert tutti("checkpoints", "verify", run.id).returncode == 1

    assert tutti("drill", "term" if drill == "term" else "kill", run.id, "--node", "1").returncode == 0

    _until_said(run, "checkpoint: going on from step")
    said = [line.raw for line in run.logs()]
    # Who is killed leaves a lock behind, who gets SIGTERM gives it back.
    assert any("an earlier attempt at this job" in line for line in said) == (drill != "term")
    if drill == "damage":
        assert any(f"that of step {later} is damaged" in line for line in said)
    (again,) = (int(line.split("going on from step ")[1].split(",")[0]) for line in said if "going on from" in line)
    step = json.loads(saved.stdout)["step"]
    # A node that is killed says nothing any more; one that gets SIGTERM saves before it goes.
    assert again > step if drill == "term" else again == step
    assert tutti("checkpoints", "stop", run.id).returncode == 0
    assert run.wait().code == 213
    assert [attempt.exit_code for attempt in run.details().attempts] == [224 if drill == "term" else 221, 213]


def test_where_nothing_good_lies_there_is_nothing_to_damage(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no good checkpoint"):
        damage(Place(store=open_store(str(tmp_path))))


def _stop(cluster: Cluster, run: Run) -> None:
    from tutti.checkpoints import ask, find
    from workload.vault.control import Verb

    ask(find(lambda: cluster, run.id), Verb.STOP, timeout=1)


def _until_said(run: Run, words: str) -> None:
    deadline = time.monotonic() + 120
    while not any(words in line.raw for line in run.logs()):
        assert time.monotonic() < deadline, [line.raw for line in run.tail(40)]
        assert not run.details().ended, [line.raw for line in run.tail(40)]
        time.sleep(0.1)
