"""The client against a running twin, as a user drives it: submit, look, follow, wait, stop, again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tutti import Cluster, Job
from tutti.errors import InputError, NotFoundError
from tutti.logs import LogLine
from tutti.run import JobFailedError, Run, StateChange

Tutti = Callable[..., "subprocess.CompletedProcess[str]"]
SAY = 'echo "rank $TUTTI_RANK node $AWS_BATCH_JOB_NODE_INDEX $WORD"'


def until(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """Wait for an event; the event."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen")


@pytest.fixture(scope="module")
def done(twin_home: Path) -> Run:
    """A 2-node job that has succeeded."""
    cluster = Cluster.current({"TUTTI_HOME": str(twin_home)})
    run = Job(
        command=["sh", "-c", SAY], name="words", nodes=2, env={"WORD": "hello"}, label={"kind": "greeting"}
    ).submit(cluster)
    run.result()
    return run


@pytest.fixture
def sleeper(cluster: Cluster) -> Run:
    """A 2-node job that runs until somebody ends it."""
    run = Job(command=["sleep", "600"], name="sleeper", nodes=2).submit(cluster)
    run.wait(until="running")
    return run


def test_submit_and_wait_shows_phases_output_and_ends_with_the_job_s_code(tutti: Tutti) -> None:
    told = tutti(
        "submit", "--nodes", "2", "--env", "WORD=hi", "--wait", "--", "sh", "-c", f"{SAY}; exit $((TUTTI_RANK * 7))"
    )
    assert told.returncode == 7
    assert "[0:0] rank 0 node 0 hi" in told.stdout
    assert "[1:1] rank 1 node 1 hi" in told.stdout
    assert "assembled: 2 nodes" in told.stdout
    assert "code 7: the program failed" in told.stderr
    assert "node hours" in told.stderr.splitlines()[-1]
    assert "\x1b" not in told.stdout + told.stderr


def test_submit_answers_with_the_id_alone_for_scripts(tutti: Tutti, cluster: Cluster) -> None:
    told = tutti("submit", "--nodes", "1", "--name", "plain", "--", "true")
    assert told.stderr == ""
    assert Run(told.stdout.strip(), cluster).details().name == "plain"
    as_json = json.loads(tutti("submit", "--nodes", "1", "--json", "--", "true").stdout)
    assert set(as_json) == {"id", "name", "queue"}
    assert tutti("wait", as_json["id"]).returncode == 0


def test_a_job_file_a_script_and_stdin_are_the_same_job(tutti: Tutti, tmp_path: Path, cluster: Cluster) -> None:
    file, script = tmp_path / "job.yaml", tmp_path / "run.sh"
    file.write_text("nodes: 2\nname: same\nenv: {WORD: x}\ncommand: [sh, -c, 'echo $WORD']\n")
    script.write_text("#!/bin/sh\n#TUTTI --nodes 2 --name same --env WORD=x\necho $WORD\n")
    answers = [tutti("submit", str(file)), tutti("submit", str(script)), tutti("submit", "-", stdin=script.read_text())]
    found = [Run(a.stdout.strip(), cluster).wait() for a in answers]
    assert {(d.name, d.nodes, d.environment["WORD"], d.state) for d in found} == {("same", 2, "x", "SUCCEEDED")}


def test_status_lists_jobs_newest_first_and_one_job_with_its_nodes(tutti: Tutti, done: Run) -> None:
    listed = tutti("status")
    assert max(map(len, listed.stdout.splitlines())) <= 80
    [row] = [line for line in listed.stdout.splitlines() if line.startswith(done.id[:13])]
    assert row.split()[1:4] == ["words", "SUCCEEDED", "2"]
    jobs = json.loads(tutti("status", "--json").stdout)
    assert [j["created"] for j in jobs] == sorted((j["created"] for j in jobs), reverse=True)
    one = json.loads(tutti("status", done.id[:8], "--json").stdout)
    assert one["id"] == done.id
    main, child = one["node_list"]
    assert (main["index"], main["state"], main["exit_code"]) == (0, "SUCCEEDED", 0)
    assert child["state"] in {"SUCCEEDED", "FAILED"}  # stopped with main, or ended by itself before (B5)
    assert all(n["address"] and n["stream"] for n in one["node_list"])
    assert len({n["address"] for n in one["node_list"]}) == 2
    shown = tutti("status", done.id).stdout
    assert all(n["address"] in shown and n["stream"] in shown for n in one["node_list"])


def test_logs_of_all_nodes_are_merged_in_time_order_with_node_and_rank(tutti: Tutti, done: Run) -> None:
    lines = [json.loads(line) for line in tutti("logs", done.id, "--json").stdout.splitlines()]
    assert [x["at_ms"] for x in lines] == sorted(x["at_ms"] for x in lines)
    assert {(x["node"], x["rank"], x["text"]) for x in lines if x["rank"] is not None} == {
        (0, 0, "rank 0 node 0 hello"),
        (1, 1, "rank 1 node 1 hello"),
    }
    assert "[1:1] rank 1 node 1 hello" in tutti("logs", done.id).stdout


@pytest.mark.parametrize(
    ("flags", "lines"),
    [
        (["--node", "1", "--grep", "rank"], ["[1:1] rank 1 node 1 hello"]),
        (["--rank", "0"], ["[0:0] rank 0 node 0 hello"]),
        (["--grep", "rank [01]", "--since", "1d", "--head", "1", "--rank", "1"], ["[1:1] rank 1 node 1 hello"]),
        (["--attempt", "2"], []),
    ],
)
def test_logs_can_be_narrowed(tutti: Tutti, done: Run, flags: list[str], lines: list[str]) -> None:
    assert tutti("logs", done.id, *flags).stdout.splitlines() == lines


def test_the_tail_of_a_log_is_its_end(tutti: Tutti, done: Run) -> None:
    whole = tutti("logs", done.id, "--events").stdout.splitlines()
    assert tutti("logs", done.id, "--events", "--tail", "3").stdout.splitlines() == whole[-3:]


def test_the_tail_and_the_head_of_a_log_are_of_the_lines_that_are_shown(tutti: Tutti, done: Run) -> None:
    shown = tutti("logs", done.id).stdout.splitlines()
    assert len(shown) < len(tutti("logs", done.id, "--events").stdout.splitlines())
    several = len(shown) - 1
    assert tutti("logs", done.id, "--tail", str(several)).stdout.splitlines() == shown[-several:]
    assert tutti("logs", done.id, "--tail", "1000").stdout.splitlines() == shown
    assert tutti("logs", done.id, "--head", str(several)).stdout.splitlines() == shown[:several]


def test_a_node_that_the_job_has_not_is_refused(tutti: Tutti, done: Run) -> None:
    told = tutti("logs", done.id, "--node", "2")
    assert told.returncode == 2
    assert "got 2; this job has nodes 0 to 1" in told.stderr


def test_following_a_log_ends_with_the_job_and_misses_no_line(tutti: Tutti, cluster: Cluster) -> None:
    run = Job(command=["sh", "-c", "for i in $(seq 20); do echo line $i; sleep 0.05; done"], nodes=2).submit(cluster)
    told = tutti("logs", "-f", run.id)
    for node in (0, 1):
        said = [line for line in told.stdout.splitlines() if line.startswith(f"[{node}:{node}] line ")]
        assert said == [f"[{node}:{node}] line {i}" for i in range(1, 21)]
    assert "SUCCEEDED" in told.stderr


def test_a_log_is_followed_at_the_period_that_is_asked_for(tutti: Tutti, cluster: Cluster, done: Run) -> None:
    pauses: list[float] = []
    happened = list(done.follow(period_s=7.0, sleep=pauses.append))
    assert [item.job.state for item in happened if isinstance(item, StateChange)] == ["SUCCEEDED"]
    run = Job(command=("sleep", "60"), nodes=1, name="long").submit(cluster)

    def rest(seconds: float) -> None:
        pauses.append(seconds)
        run.cancel()

    list(run.follow(period_s=0.3, sleep=rest))
    assert 0.3 in pauses
    assert tutti("logs", done.id, "--follow", "--period", "1s").returncode == 0
    told = tutti("logs", done.id, "--period", "5s")
    assert told.returncode == 2
    assert "--follow asks; give --follow too" in told.stderr
    assert "allowed: 1s or more" in tutti("logs", done.id, "-f", "--period", "0").stderr


def test_every_job_with_all_its_facts_and_nodes(tutti: Tutti, done: Run) -> None:
    told = tutti("status", "--details", "--state", "all", done.id, "--limit", "3").stdout
    assert f"job        {done.id}" in told
    assert "NODE" in tutti("status", "-d").stdout
    assert done.id[:13] not in tutti("status", "--state", "active").stdout
    assert "allowed: SUBMITTED" in tutti("status", "--state", "busy").stderr


def test_following_from_the_last_lines_leaves_the_older_ones_out(tutti: Tutti, done: Run) -> None:
    whole = tutti("logs", done.id, "--events").stdout.splitlines()
    told = tutti("logs", "-f", "--tail", "2", done.id, "--events").stdout.splitlines()
    assert told == whole[-len(told) :]
    assert 2 <= len(told) < len(whole)


def test_a_retried_job_is_followed_through_its_attempts(cluster: Cluster) -> None:
    command = ["sh", "-c", "echo attempt $AWS_BATCH_JOB_ATTEMPT; [ $AWS_BATCH_JOB_ATTEMPT = 2 ] || exit 17"]
    run = Job(command=command, nodes=1, retries=1, retry_on=17).submit(cluster)
    happened = list(run.follow())
    said = [str(x) for x in happened if isinstance(x, LogLine) and x.line.rank is not None]
    assert said[0].endswith("attempt 1")
    assert said[-1].endswith("attempt 2")
    last = happened[-1]
    assert isinstance(last, StateChange)
    assert (last.job.state, last.attempt) == ("SUCCEEDED", 2)
    assert [a.exit_code for a in last.job.attempts] == [17, 0]


def test_wait_until_running_returns_while_the_job_runs(tutti: Tutti, sleeper: Run) -> None:
    assert tutti("wait", sleeper.id, "--until", "running").returncode == 0
    assert not sleeper.details().ended
    hosts = json.loads(tutti("hosts", "--json").stdout)
    own = [h for h in hosts if h["job"] == sleeper.id]
    assert {h["node"] for h in own} == {0, 1}
    assert {(h["instance"]["type"], h["instance"]["zone"], h["instance"]["tasks"]) for h in own} == {
        ("c7i.large", "us-east-1a", 1)
    }
    lines = tutti("hosts").stdout.splitlines()
    assert lines[0].split() == ["INSTANCE", "TYPE", "ZONE", "ADDRESS", "JOB", "NODE", "STATE", "FOR"]
    assert max(map(len, lines)) <= 80
    one = own[1]["instance"]["id"]
    assert len(tutti("hosts", one).stdout.splitlines()) == 2
    assert tutti("hosts", "-d", one).stdout.splitlines()[1].split()[0] == one
    [queue] = [q for q in json.loads(tutti("queues", "--json").stdout) if q["name"] == sleeper.details().queue]
    assert queue["running"] + queue["starting"] >= 1
    assert queue["free_nodes"] == queue["most_nodes"] - queue["busy_nodes"]
    sleeper.cancel()


def test_a_cancelled_job_ends_and_wait_says_so(tutti: Tutti, sleeper: Run) -> None:
    assert tutti("cancel", sleeper.id, "--reason", "enough").stdout == f"{sleeper.id} is being ended\n"
    told = tutti("wait", sleeper.id)
    assert told.returncode not in {0, 2}
    assert sleeper.details().state == "FAILED"
    assert tutti("cancel", sleeper.id).stdout == f"{sleeper.id} had ended before\n"


def test_many_jobs_are_cancelled_by_label(tutti: Tutti, cluster: Cluster) -> None:
    runs = [Job(command=["sleep", "600"], nodes=1, label={"batch": f"b{n % 2}"}).submit(cluster) for n in range(4)]
    ended = json.loads(tutti("cancel", "--label", "batch=b0", "--yes", "--json").stdout)
    assert {e["id"] for e in ended} == {runs[0].id, runs[2].id}
    assert not runs[1].details().ended
    tutti("cancel", "--label", "batch=b1", "--yes")
    assert all(run.wait().state == "FAILED" for run in runs)


def test_ctrl_c_while_waiting_leaves_the_job_alone(sleeper: Run, twin_home: Path) -> None:
    waiting = subprocess.Popen(
        [sys.executable, "-m", "tutti", "logs", "-f", sleeper.id],
        env={"TUTTI_HOME": str(twin_home), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert waiting.stderr is not None
    assert waiting.stderr.readline() == "RUNNING\n"
    waiting.send_signal(signal.SIGINT)
    _, error = waiting.communicate(timeout=60)
    assert waiting.returncode == 130
    assert error == "tutti: interrupted; jobs that were submitted go on\n"
    assert not sleeper.details().ended
    sleeper.cancel()


def test_an_unknown_id_is_told_with_the_nearest(tutti: Tutti, done: Run) -> None:
    told = tutti("status", done.id[:-4] + "beef")
    assert told.returncode == 3
    assert f"nearest: {done.id[:13]} " in told.stderr
    assert "no job" in told.stderr


def test_wrong_keys_are_told(tutti: Tutti, twin_home: Path, done: Run, tmp_path: Path) -> None:
    card = json.loads((twin_home / "clusters" / "twin.json").read_text())
    card["twin"]["secret_access_key"] = "wrong"
    (tmp_path / "clusters").mkdir()
    (tmp_path / "clusters" / "twin.json").write_text(json.dumps(card))
    told = subprocess.run(
        [sys.executable, "-m", "tutti", "status"],
        env={"TUTTI_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 4
    assert "does not accept these credentials" in told.stderr


def test_a_job_starts_after_another_and_never_after_a_failed_one(tutti: Tutti, cluster: Cluster) -> None:
    first = Job(command=["sleep", "1"], nodes=1).submit(cluster)
    second = Run(tutti("submit", "--nodes", "1", "--after", first.id, "--", "true").stdout.strip(), cluster)
    assert second.details().state == "PENDING" or first.details().ended
    ended = second.wait()
    assert ended.started is not None
    stopped = first.details().stopped
    assert stopped is not None
    assert ended.started >= stopped
    failed = Job(command=["false"], name="failed", nodes=1).submit(cluster)
    failed.wait()
    told = tutti("submit", "--nodes", "1", "--after", failed.id, "--", "true")
    assert told.returncode == 2
    assert f"start it whatever became of that one: {failed.id}:any" in told.stderr.lower()
    assert tutti("submit", "--nodes", "1", "--after", f"{failed.id}:any", "--wait", "--", "true").returncode == 0


def test_a_dry_run_shows_the_call_and_sends_nothing(tutti: Tutti, cluster: Cluster) -> None:
    planned = json.loads(tutti("submit", "--nodes", "3", "--name", "dry", "--dry-run", "--json", "--", "true").stdout)
    [call] = planned["calls"]
    assert (call["service"], call["operation"]) == ("batch", "submit_job")
    assert call["request"]["nodeOverrides"]["numNodes"] == 3
    assert call["request"]["tags"]["tutti:user"] == cluster.user
    assert planned["estimate"]["nodes"] == 3
    assert planned["queue"]["free_nodes"] >= 0
    assert tutti("status", "dry").returncode == 3


def test_a_dry_run_shows_the_compile_job_the_schedule_and_the_wait(
    tutti: Tutti, cluster: Cluster, tmp_path: Path
) -> None:
    """All that the command would do, in its order: uploads and waits as lines, everything else as the calls."""
    (tmp_path / "main.c").write_text("int main;")
    asked = ("submit", "--nodes", "2", "--timeout", "1h", "--dry-run")
    brought = ("--upload", str(tmp_path), "--compile", "make")
    told = json.loads(tutti(*asked, *brought, "--json", "--", "./main").stdout)
    first, second = (call["request"] for call in told["calls"])
    assert first["jobName"] == "main-compile"
    assert first["tags"]["tutti:user"] == cluster.user
    assert second["dependsOn"] == [{"jobId": "<the id of the compile job>"}]
    assert told["before"][0].startswith(f"uploads {tmp_path} to s3://")
    assert told["estimate"]["compile_usd"] > 0
    alone = json.loads(tutti(*asked, "--json", "--", "./main").stdout)["estimate"]
    assert told["estimate"]["most_usd"] == pytest.approx(alone["most_usd"] + told["estimate"]["compile_usd"])
    between = f"{alone['most_usd']:.6f}"
    assert tutti("submit", *asked[1:-1], *brought, "--max-cost", between, "--", "./main").returncode == 2

    [call] = json.loads(tutti(*asked, "--every", "6h", "--json", "--", "true").stdout)["calls"]
    assert (call["service"], call["operation"]) == ("scheduler", "create_schedule")
    assert call["request"]["ScheduleExpression"] == "rate(6 hours)"
    assert json.loads(call["request"]["Target"]["Input"])["Tags"]["tutti:user"] == cluster.user
    assert " each time\n" in tutti(*asked, "--every", "6h", "--", "true").stdout
    assert json.loads(tutti("schedule", "ls", "--json").stdout) == []

    running = Job(command=["sleep", "600"], nodes=1).submit(cluster)
    told_of_wait = tutti(*asked, "--after", f"{running.id}:any", "--", "true").stdout
    running.cancel()
    assert f"before   the cluster waits until {running.id} has ended, whatever became of it" in told_of_wait
    assert " nodes could start, " in told_of_wait


def test_resubmit_is_the_same_job_again(tutti: Tutti, cluster: Cluster, done: Run) -> None:
    again = Run(tutti("resubmit", done.id).stdout.strip(), cluster)
    new, old = again.result(), done.details()
    assert again.id != done.id
    for same in ("name", "queue", "definition", "nodes", "command"):
        assert getattr(new, same) == getattr(old, same)
    assert new.tags == old.tags
    assert new.environment["WORD"] == "hello"
    assert "[1:1] rank 1 node 1 hello" in tutti("resubmit", done.id, "--wait").stdout
    assert (
        Run(json.loads(tutti("resubmit", done.id, "--nodes", "1", "--json").stdout)[0]["id"], cluster).result().nodes
        == 1
    )


def test_resume_wants_a_checkpoint_and_an_end(cluster: Cluster, done: Run, sleeper: Run) -> None:
    with pytest.raises(InputError, match="there is nothing to go on from"):
        done.resume()
    with pytest.raises(InputError, match="only a job that has ended can be resumed"):
        sleeper.resume()
    sleeper.cancel()
    kept = Job(command=["false"], nodes=2, checkpoint="shared:work/c").submit(cluster)
    kept.wait()
    new = kept.resume(nodes=1)
    assert new.details().tags["tutti:resumes"] == kept.id
    assert new.details().environment["TUTTI_CHECKPOINT"] == "shared:work/c"
    assert new.wait().nodes == 1


def test_the_python_api_raises_what_the_command_line_says(cluster: Cluster) -> None:
    with pytest.raises(InputError, match="At most 32 nodes fit"):
        Job(command=["true"], nodes=500).submit(cluster)
    with pytest.raises(JobFailedError, match="failed with code 3: the program failed"):
        Job(command=["sh", "-c", "exit 3"], nodes=1).submit(cluster).result()
    with pytest.raises(NotFoundError):
        Run.find(cluster, "no-such-job")


def test_an_array_has_elements_with_codes_and_logs(tutti: Tutti, cluster: Cluster) -> None:
    run = Job(
        command=["sh", "-c", "echo element $AWS_BATCH_JOB_ARRAY_INDEX of $AWS_BATCH_JOB_ARRAY_SIZE"], array=3
    ).submit(cluster)
    run.result()
    elements = json.loads(tutti("status", run.id, "--json").stdout)["node_list"]
    assert [(e["index"], e["state"]) for e in elements] == [(0, "SUCCEEDED"), (1, "SUCCEEDED"), (2, "SUCCEEDED")]
    said = {line.line.text for line in run.logs() if line.line.rank is not None}
    assert said == {f"element {n} of 3" for n in range(3)}
