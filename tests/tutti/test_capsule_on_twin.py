"""Run capsules: a run can be run again as it was, says what is gone, and two runs can be compared."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import EndpointConnectionError

from tests.tutti.stubbed import Stubbed
from tutti import Cluster, Job, capsule
from tutti.jobs import ERRAND
from tutti.listing import list_jobs
from tutti.looking import changes
from tutti.run import Run
from workload.contents import contents

Tutti = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(cluster: Cluster, tmp_path: Path) -> Run:
    """A run with an input that lies in the bucket."""
    key = f"{cluster.card.prefix}input/{tmp_path.name}.txt"
    cluster.s3.put_object(Bucket=cluster.card.bucket, Key=key, Body=b"first")
    uri = f"s3://{cluster.card.bucket}/{key}"
    job = Job(command=["sh", "-c", "cat input/*.txt"], nodes=1, name="cat", input=[uri], env={"LEVEL": "1"})
    run = job.submit(cluster)
    run.result()
    return run


def test_a_run_is_run_again_as_it_was(tutti: Tutti, cluster: Cluster, run: Run) -> None:
    again = Run(tutti("rerun", run.id).stdout.strip(), cluster)
    assert again.result().environment["LEVEL"] == "1"
    assert capsule.differences(capsule.read(cluster, run.id), capsule.read(cluster, again.id)) == []
    assert tutti("diff", run.id, again.id, "--json").returncode in {0, 1}  # seconds may differ


def test_a_changed_or_missing_input_is_named_before_anything_is_sent(tutti: Tutti, cluster: Cluster, run: Run) -> None:
    [uri] = capsule.read(cluster, run.id)["inputs"]
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    cluster.s3.put_object(Bucket=bucket, Key=key, Body=b"second")
    changed = tutti("rerun", run.id)
    assert (changed.returncode, changed.stdout) == (2, "")
    assert f"{key} changed since" in changed.stderr
    anyway = tutti("rerun", run.id, "--anyway", "--wait")
    assert anyway.returncode == 0
    assert "second" in anyway.stdout
    differ = tutti("diff", run.id, next(job.id for job in list_jobs(cluster) if job.name == "cat")).stdout
    assert f"\ninput {uri}\n  - 1 object, 5 bytes\n  + 1 object, 6 bytes: {key} changed\n" in differ
    assert "digest" not in differ
    cluster.s3.delete_object(Bucket=bucket, Key=key)
    assert f"{key} is gone" in tutti("rerun", run.id).stderr


@pytest.mark.parametrize("kept", [1000, 2])
def test_what_changed_below_a_prefix_is_found_by_name_and_beyond_the_kept_names_by_digest(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr("workload.contents.MOST_KEPT", kept)
    folder = f"{cluster.card.prefix}prefix/{tmp_path.name}-{kept}"
    place: dict[str, Any] = {"Bucket": cluster.card.bucket}
    for name in "bcde":
        cluster.s3.put_object(**place, Key=f"{folder}/{name}", Body=b"1")
    cluster.s3.put_object(**place, Key=f"{folder}-beside", Body=b"1")
    uri = f"s3://{cluster.card.bucket}/{folder}"
    run = Job(command=["true"], nodes=1, input=[uri]).submit(cluster)
    run.cancel()
    old = capsule.read(cluster, run.id)
    assert (old["inputs"][uri]["count"], old["card"]["zone"]) == (4, cluster.card.queues[0].zone)

    def changes() -> list[str]:
        return [p.what.replace(folder, "") for p in capsule.gone(cluster, old)]

    assert changes() == []
    cluster.s3.put_object(**place, Key=f"{folder}/e", Body=b"22")
    beyond = "objects beyond the first 2 changed since: there were 4 of 4 bytes, there are 4 of 5 bytes"
    assert changes() == (["/e changed since"] if kept > 4 else [beyond])
    cluster.s3.put_object(**place, Key=f"{folder}/a", Body=b"1")
    assert changes() == (["/a was added", "/e changed since"] if kept > 4 else ["/a was added"])


def test_a_run_that_tutti_did_not_submit_has_no_capsule(tutti: Tutti, run: Run, cluster: Cluster) -> None:
    definition = run.details().definition
    bare = cluster.batch.submit_job(jobName="bare", jobQueue="twin-mpi-high", jobDefinition=definition)["jobId"]
    told = tutti("rerun", bare)
    assert told.returncode == 3
    assert "tutti resubmit" in told.stderr
    Run(bare, cluster).cancel()


@pytest.mark.parametrize(
    ("version", "remedy"),
    [
        (capsule.CAPSULE_VERSION + 1, "pip install --upgrade tutti"),
        (capsule.CAPSULE_VERSION - 1, "tutti resubmit {id}"),
    ],
)
def test_a_capsule_of_another_version_is_not_guessed_at(
    tutti: Tutti, cluster: Cluster, run: Run, version: int, remedy: str
) -> None:
    place: dict[str, Any] = {"Bucket": cluster.card.bucket, "Key": capsule.key(cluster, run.id)}
    body = json.dumps({**capsule.read(cluster, run.id), "version": version}).encode()
    cluster.s3.put_object(**place, Body=body)
    told = tutti("rerun", run.id)
    assert (told.returncode, told.stdout) == (2, "")
    assert f"version {version}" in told.stderr
    assert remedy.format(id=run.id) in " ".join(told.stderr.split())


def test_a_resumption_s_capsule_names_the_run_that_it_goes_on_from(cluster: Cluster) -> None:
    first = Job(command=["true"], nodes=1, checkpoint="shared:work/line").submit(cluster)
    first.result()
    second = first.resume()
    assert capsule.read(cluster, second.id)["resumes"] == first.id
    second.cancel()


def test_a_submission_whose_capsule_cannot_be_kept_is_a_warning_and_not_a_lost_job(cluster: Cluster) -> None:
    def refuse(**_: object) -> None:
        raise EndpointConnectionError(endpoint_url="s3")

    cluster.s3.meta.events.register("before-call.s3.PutObject", refuse)
    with pytest.warns(capsule.CapsuleWarning, match="was submitted, but its capsule was not kept"):
        run = Job(command=["true"], nodes=1).submit(cluster)
    assert run.result().state == "SUCCEEDED"


def test_two_runs_are_compared_in_the_user_s_terms(tutti: Tutti, cluster: Cluster, run: Run) -> None:
    other = Job(command=["sh", "-c", "exit 3"], nodes=2, name="cat", env={"LEVEL": "2"}).submit(cluster)
    other.wait()
    found = {d["what"]: (d["one"], d["other"]) for d in json.loads(tutti("diff", run.id, other.id, "--json").stdout)}
    assert found["environment.LEVEL"] == ("1", "2")
    assert found["nodes"] == ("1", "2")
    assert found["code"] == ("0", "3")
    assert found["command"] == ("sh -c 'cat input/*.txt'", "sh -c 'exit 3'")
    shown = tutti("diff", run.id, other.id)
    assert shown.returncode == 1
    assert "environment.LEVEL" in shown.stdout


def test_an_image_that_is_no_longer_in_its_repository_is_named() -> None:
    """The definition still names it; whoever reran it would wait for a node that never starts."""
    stubbed: Any = Stubbed(queues=("arn:q",))
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/tutti@sha256:" + "0" * 64
    nodes = {"instance_types": ["c7i.2xlarge"], "zone": "us-east-1a", "vcpus": 8, "efa": False}
    kept = {"request": {"jobQueue": "arn:q", "jobDefinition": "d:1"}, "image": image, "inputs": {}, "card": nodes}
    definition = {"jobDefinitionName": "d", "jobDefinitionArn": "d:1", "revision": 1, "type": "container"}
    there = {**definition, "containerProperties": {"image": image}}
    stubbed.answers("batch", "describe_job_definitions", {"jobDefinitions": [there]})
    stubbed.answers("ecr", "batch_get_image", {"images": []})
    assert [p.what for p in capsule.gone(stubbed, kept)] == [f"{image} is no longer in its repository"]
    stubbed.answers("batch", "describe_job_definitions", {"jobDefinitions": [there]})
    stubbed.refuses("ecr", "batch_get_image", "AccessDeniedException")
    assert capsule.gone(stubbed, kept) == []
    stubbed.answers("batch", "describe_job_definitions", {"jobDefinitions": [there]})
    stubbed.refuses("ecr", "batch_get_image", "AccessDeniedException")
    other = {**kept, "card": {**nodes, "instance_types": ["c6i.2xlarge"]}}
    assert [p.what for p in capsule.gone(stubbed, other)] == ["instance_types was ['c6i.2xlarge'], is ['c7i.2xlarge']"]


def test_changes_of_shared_inputs_are_named_before_the_gang_starts(tutti: Tutti, cluster: Cluster) -> None:
    shared = Path(json.loads(tutti("twin", "status", "--json").stdout)["shared"])
    name = f"case-{uuid4().hex[:6]}"
    uri, case = f"shared:input/{name}", shared / "input" / name
    case.mkdir(parents=True)
    for letter in "abc":
        (case / letter).write_text(letter)
    run = Job(command=["cat", f"input/{name}/a"], nodes=2, input=[uri]).submit(cluster)
    assert run.result().code == 0
    kept = capsule.read(cluster, run.id)["inputs"][uri]
    assert (kept["known"], kept["count"], kept["bytes"], list(kept["objects"])) == (True, 3, 3, ["a", "b", "c"])
    before = jobs(cluster)
    again = tutti("rerun", run.id)
    assert (again.returncode, dict(jobs(cluster) - before)) == (0, {ERRAND: 1, "cat": 1}), "one small job that looks"
    assert f"a small job looks at {uri}" in again.stderr
    Run(again.stdout.strip(), cluster).wait()
    assert capsule.differences(*(capsule.read(cluster, i) for i in (run.id, again.stdout.strip()))) == []
    (case / "a").write_text("A")
    (case / "b").unlink()
    told = tutti("rerun", run.id)
    assert (told.returncode, told.stdout) == (2, "")
    assert f"{uri}: b is gone" in told.stderr
    assert f"{uri}: a changed since. As it is now: --anyway" in told.stderr
    anyway = tutti("rerun", run.id, "--anyway", "--wait")
    assert (anyway.returncode, "A" in anyway.stdout) == (0, True)
    assert jobs(cluster)[ERRAND] - before[ERRAND] == 2, "who runs it anyway need not look"
    looked = [job.id for job in list_jobs(cluster) if job.name == ERRAND]
    assert not [job_id for job_id in looked if (shared / "work" / job_id).exists()], "nothing is left of looking"
    shutil.rmtree(case)
    gone = tutti("rerun", run.id)
    assert (gone.returncode, f"{uri}: a and 2 more are gone" in gone.stderr) == (2, True)


def test_a_run_that_never_staged_has_shared_inputs_of_which_nothing_is_known_and_that_is_said(
    tutti: Tutti, cluster: Cluster
) -> None:
    held = Job(command=["sleep", "60"], nodes=1).submit(cluster)
    run = Job(command=["true"], nodes=1, input=["shared:input/never"], after=[held.id]).submit(cluster)
    told = tutti("rerun", run.id)
    assert "shared:input/never: what it held when" in told.stderr
    assert told.returncode == 0
    again = Run(told.stdout.strip(), cluster)
    assert again.wait().code == 212
    assert capsule.read(cluster, again.id)["inputs"]["shared:input/never"]["count"] == 0, "it was looked for"
    for job in (run, held):
        job.cancel()


def test_inputs_that_no_pool_can_look_at_are_a_problem_and_no_silence(cluster: Cluster) -> None:
    without = Cluster(cluster.card.but(queues=()))
    kept = {"inputs": {"shared:x": contents([("x", 1, "1 1")])}}
    [problem] = changes(without, kept, ["shared:x"])
    assert "could not be looked at" in problem.what
    assert problem.remedy == "Without: --anyway"


def jobs(cluster: Cluster) -> Counter[str]:
    return Counter(job.name for job in list_jobs(cluster))


def test_an_input_that_is_one_file_is_named_once_where_it_changed() -> None:
    uri = "shared:case/in.txt"
    was: dict[str, Any] = {"known": True, "all": True, "count": 1, "bytes": 2, "digest": "a", "objects": {uri: "1"}}
    [problem] = capsule.input_changes(uri, was, {**was, "digest": "b", "objects": {uri: "2"}})
    assert str(problem) == f"{uri}: changed since"
