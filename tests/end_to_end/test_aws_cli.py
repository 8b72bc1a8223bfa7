"""The AWS CLI against the same twin shows the same jobs, logs and files, with nothing but the lines of `tutti twin env`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tutti import Cluster, Job
from tutti.home import Home
from tutti.listing import list_jobs
from tutti.run import Run

Aws = Callable[..., Any]
OURS = Path(__file__).resolve().parents[2] / ".tools" / "awscli" / "bin" / "aws"  # of `make test`


@pytest.fixture(scope="module")
def aws(desk: Home, tmp_path_factory: pytest.TempPathFactory) -> Aws:
    """`aws ARGS...` as a user runs it after `eval "$(tutti twin env)"`, in a home without any AWS settings."""
    program = str(OURS) if OURS.exists() else shutil.which("aws")
    if program is None:
        why = "there is no AWS CLI: `make test` installs it"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "TUTTI_"))}
    kept |= {"TUTTI_HOME": str(desk.root), "HOME": str(tmp_path_factory.mktemp("aws-home")), "TUTTI": sys.executable}
    script = 'lines=$("$TUTTI" -m tutti twin env) && eval "$lines" && "$TUTTI" -c "import json, os; print(json.dumps(dict(os.environ)))"'
    said = subprocess.run(["bash", "-c", script], env=kept, capture_output=True, text=True, timeout=60, check=True)
    environ = json.loads(said.stdout)

    def run(*arguments: str, text: bool = False) -> Any:
        done = subprocess.run(
            [program, *arguments], env=environ, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout if text else json.loads(done.stdout)

    return run


@pytest.fixture(scope="module")
def run(desk: Home) -> Run:
    """A gang of two nodes that has ended and left a file."""
    cluster = Cluster.current({"TUTTI_HOME": str(desk.root)})
    command = ["sh", "-c", "echo words of rank $TUTTI_RANK; echo result > output/out.txt"]
    output = f"s3://{cluster.card.bucket}/{cluster.card.prefix}output/cli/"
    done = Job(command=command, nodes=2, ranks_per_node=1, name="seen", output=[output]).submit(cluster)
    done.result()
    return done


def test_the_aws_cli_lists_the_jobs_that_the_client_lists(aws: Aws, run: Run) -> None:
    rows = aws("batch", "list-jobs", "--job-queue", "twin-mpi-high", "--job-status", "SUCCEEDED")["jobSummaryList"]
    ours = {j.id: j for j in list_jobs(run.cluster) if j.queue == "twin-mpi-high" and j.state == "SUCCEEDED"}
    assert {r["jobId"]: (r["jobName"], r["nodeProperties"]["numNodes"]) for r in rows} == {
        i: (j.name, j.nodes) for i, j in ours.items()
    }
    assert run.id in ours


def test_the_aws_cli_describes_a_job_and_its_nodes_as_the_client_does(aws: Aws, run: Run) -> None:
    [job] = aws("batch", "describe-jobs", "--jobs", run.id)["jobs"]
    [child] = aws("batch", "describe-jobs", "--jobs", f"{run.id}#1")["jobs"]
    nodes = aws("batch", "list-jobs", "--multi-node-job-id", run.id, "--job-status", "SUCCEEDED")["jobSummaryList"]
    details = run.details()
    assert (job["status"], job["jobName"], job["nodeProperties"]["numNodes"]) == ("SUCCEEDED", "seen", 2)
    assert job["startedAt"] / 1000 == details.started
    assert [n["jobId"] for n in nodes] == [f"{run.id}#0", f"{run.id}#1"]
    assert child["nodeDetails"] == {"nodeIndex": 1, "isMainNode": False}
    shown = {n.index: n.stream for n in run.nodes()}
    assert child["container"]["logStreamName"] == shown[1]


def test_the_aws_cli_reads_the_log_that_the_client_reads(aws: Aws, run: Run) -> None:
    [child] = aws("batch", "describe-jobs", "--jobs", f"{run.id}#1")["jobs"]
    options = child["container"]["logConfiguration"]["options"]
    events = aws(
        *("logs", "get-log-events", "--log-group-name", options["awslogs-group"]),
        *("--log-stream-name", child["container"]["logStreamName"], "--start-from-head"),
    )["events"]
    words = [e["message"] for e in events]
    assert any("words of rank 1" in line for line in words)
    assert len(words) == sum(line.line.node == 1 for line in run.logs())


def test_the_aws_cli_finds_the_files_of_the_job(aws: Aws, run: Run, tmp_path: Path) -> None:
    place = f"s3://{run.cluster.card.bucket}/{run.cluster.card.prefix}output/cli/"
    listed = aws("s3", "ls", "--recursive", place, text=True).splitlines()
    assert len(listed) == 2, "one of each node"
    aws("s3", "cp", f"{place}node-1/out.txt", str(tmp_path / "out.txt"), text=True)
    assert (tmp_path / "out.txt").read_text() == "result\n"


def test_a_job_of_the_aws_cli_is_one_of_the_client_s(aws: Aws, cluster: Cluster) -> None:
    overrides = {"numNodes": 2, "nodePropertyOverrides": [{"targetNodes": "0:", "containerOverrides": {"command": ["tutti-node", "--", "hostname"]}}]}  # fmt: skip
    asked = ("--job-name", "theirs", "--job-queue", "twin-mpi-high", "--job-definition", "twin-mpi")
    sent = aws("batch", "submit-job", *asked, "--node-overrides", json.dumps(overrides))
    theirs = Run(sent["jobId"], cluster)
    theirs.result()
    assert theirs.details().state == "SUCCEEDED"
    told = aws("batch", "get-job-queue-snapshot", "--job-queue", "twin-mpi-high")
    assert told["frontOfQueue"]["jobs"] == []
