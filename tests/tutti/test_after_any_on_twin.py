"""`submit --after ID:any`: the desk goes, the job starts all the same, once; by the command line against the twin."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tutti import Cluster, Job, capsule, waiting
from tutti.cli.schema import schemas
from tutti.core.waiting import Folder, Waiting, key
from tutti.listing import list_jobs
from tutti.run import Run
from tutti.submission import leave, prepare
from tutti.twin.cluster import FOLLOWER

jsonschema: Any = import_module("jsonschema")  # has no types
Tutti = Callable[..., "subprocess.CompletedProcess[str]"]
GONE = "00000000-0000-0000-0000-000000000000"  # a job that Batch has forgotten: it has ended, and no event tells it


def until(what: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.1)
    return found


def to_come(tutti: Tutti) -> dict[str, Any]:
    return {s["name"]: s for s in json.loads(tutti("schedule", "ls", "--json").stdout) if s["after"]}


def jobs_of(cluster: Cluster, name: str) -> list[str]:
    return [job.id for job in list_jobs(cluster) if job.name == name]


def sleeper(cluster: Cluster) -> Run:
    return Job(command=["sleep", "600"], name="awaited").submit(cluster)


def left(tutti: Tutti, job: str, *after: Run, flags: tuple[str, ...] = ()) -> str:
    """Submit and go; the name under which it waits."""
    words = [word for run in after for word in ("--after", f"{run.id}:any")]
    told = tutti("submit", "--name", job, *words, *flags, "--", "true")
    assert told.returncode == 0, told.stderr
    name, _, when = told.stdout.strip().partition(": ")
    assert when == f"after({', '.join(run.id for run in after)})"
    assert f"stop it: tutti schedule rm {name}" in told.stderr
    return name


def test_the_job_starts_when_the_other_has_failed_and_nobody_waits(tutti: Tutti, cluster: Cluster) -> None:
    job = f"tidy-{uuid4().hex[:6]}"
    first = sleeper(cluster)
    made: dict[str, Any] = {"Bucket": cluster.card.bucket, "Key": f"{cluster.card.prefix}{job}/part"}
    cluster.s3.put_object(**made, Body=b"as it was")
    uri = f"s3://{made['Bucket']}/{made['Key']}"
    name = left(tutti, job, first, flags=("--label", "a=b", "--env", "WORD=x", "--nodes", "1", "--input", uri))
    mark = cluster.s3.put_object(**made, Body=b"as the first job made it")["ETag"].strip('"')
    listed = tutti("schedule", "ls").stdout
    assert f"{name}  {job}  after({first.id})  waits for 1 of 1" in listed
    assert (to_come(tutti)[name]["user"], to_come(tutti)[name]["state"]) == (cluster.user, "WAITING")
    early = tutti("status", name)
    assert (early.returncode, f"{name} is not submitted yet" in early.stderr) == (3, True)
    assert jobs_of(cluster, job) == []
    first.cancel()
    assert tutti("wait", name).returncode == 0
    [job_id] = jobs_of(cluster, job)
    assert name not in to_come(tutti)
    tags = cluster.batch.describe_jobs(jobs=[job_id])["jobs"][0]["tags"]
    assert (tags["a"], tags["tutti:user"], tags["tutti:waited"]) == ("b", cluster.user, name)
    assert Run.find(cluster, name).id == job_id
    kept = capsule.read(cluster, job_id)
    assert (kept["request"]["tags"], kept["inputs_of_start"]) == (tags, True)
    assert kept["inputs"][uri]["objects"] == {made["Key"]: mark}
    again = tutti("rerun", name, "--json")
    assert json.loads(again.stdout)["of"] == job_id, again.stderr
    same = {
        (d["what"], d["one"]) for d in json.loads(tutti("diff", name, json.loads(again.stdout)["id"], "--json").stdout)
    }
    assert not [what for what, _ in same if what.startswith(("command", "environment", "image"))]


def test_two_wait_for_one_and_one_for_two_and_what_is_removed_never_starts(tutti: Tutti, cluster: Cluster) -> None:
    mark = uuid4().hex[:6]
    one, other = sleeper(cluster), sleeper(cluster)
    names = {word: left(tutti, f"{word}-{mark}", one) for word in ("a", "b", "removed")}
    names["both"] = left(tutti, f"both-{mark}", one, other)
    assert tutti("schedule", "rm", f"removed-{mark}").stdout == f"1 removed: {names['removed']}\n"
    one.cancel()
    assert [tutti("wait", names[word]).returncode for word in ("a", "b")] == [0, 0]
    assert to_come(tutti)[names["both"]]["unfinished"] == 1
    other.cancel()
    assert tutti("wait", names["both"]).returncode == 0
    found = {word: len(jobs_of(cluster, f"{word}-{mark}")) for word in names}
    assert found == {"a": 1, "b": 1, "both": 1, "removed": 0}
    late = tutti("schedule", "rm", names["both"])
    assert (late.returncode, f"no schedule '{names['both']}'" in late.stderr) == (3, True)


def test_wait_waits_for_the_submission_and_then_for_the_job(tutti: Tutti, cluster: Cluster) -> None:
    first = sleeper(cluster)

    def end() -> None:
        until(lambda: any(first.id in w.after for w in waiting.to_come(cluster)[0]))
        first.cancel()

    with ThreadPoolExecutor() as pool:
        ended = pool.submit(end)
        told = tutti("submit", "--after", f"{first.id}:any", "--nodes", "1", "--wait", "--", "sh", "-c", "exit 7")
        ended.result()
    assert told.returncode == 7, told.stderr
    second = sleeper(cluster)
    with ThreadPoolExecutor() as pool:
        run = pool.submit(Job(command=["true"], after=(f"{second.id}:any",)).submit, cluster)
        until(lambda: any(second.id in w.after for w in waiting.to_come(cluster)[0]))
        second.cancel()
        assert run.result().wait().state == "SUCCEEDED"


def test_what_ended_before_it_was_left_is_submitted_at_once(cluster: Cluster) -> None:
    first = sleeper(cluster)
    prepared = prepare(Job(command=["true"], after=(f"{first.id}:any",)), cluster)
    first.cancel()
    first.wait()
    found = leave(prepared, cluster)
    assert Run(found.id, cluster).details().name == "true"
    assert waiting.find(cluster, found.name) is None


def test_with_code_to_bring_and_another_to_succeed_both_hold(tutti: Tutti, cluster: Cluster, tmp_path: Path) -> None:
    """--upload, and --after ID beside --after ID:any: what is left with the cluster is the whole submission."""
    job = f"brought-{uuid4().hex[:6]}"
    (tmp_path / "word.txt").write_text("brought")
    any_end, success = sleeper(cluster), sleeper(cluster)
    words = ("--after", success.id, "--after", f"{any_end.id}:any", "--upload", str(tmp_path), "--json")
    told = tutti("submit", "--name", job, *words, "--", "cat", "word.txt")
    assert told.returncode == 0, told.stderr
    answer = json.loads(told.stdout)
    jsonschema.validate(answer, schemas()["submit-after"]())
    assert answer["after"] == [any_end.id]
    any_end.cancel()
    [job_id] = until(lambda: jobs_of(cluster, job))
    made = cluster.batch.describe_jobs(jobs=[job_id])["jobs"][0]
    assert [d["jobId"] for d in made["dependsOn"]] == [success.id]
    success.cancel()
    assert tutti("wait", answer["waiting"]).returncode == 1, "Batch fails what depends on a failed job"


def waits(cluster: Cluster, job: str, **change: Any) -> str:
    """Leave a submission whose job has ended already, and of whose end nobody will hear."""
    document = prepare(Job(command=["true"], name=job), cluster).document
    return waiting.leave(cluster, {**document, **change}, (GONE,))


def call(cluster: Cluster) -> Any:
    answer = cluster.client("lambda").invoke(FunctionName=FOLLOWER, Payload=b"{}")
    assert "FunctionError" not in answer, answer["Payload"].read()
    return json.load(answer["Payload"])


def test_what_batch_refuses_is_kept_with_its_reason(tutti: Tutti, cluster: Cluster) -> None:
    name = waits(cluster, "refused", jobDefinition="nobody-registered-this")
    assert call(cluster) == {}
    found = to_come(tutti)[name]
    assert (found["state"], "nobody-registered-this" in found["reason"]) == ("REFUSED", True)
    assert "refused: " in tutti("schedule", "ls").stdout
    told = tutti("wait", name)
    assert (told.returncode, "AWS refused it" in told.stderr) == (6, True)
    assert tutti("schedule", "rm", name).returncode == 0
    assert name not in to_come(tutti)


def test_several_events_at_once_submit_each_once(cluster: Cluster) -> None:
    job = f"once-{uuid4().hex[:6]}"
    names = {waits(cluster, job) for _ in range(3)}
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda _: call(cluster), range(3)))
    done = [name for answer in answers for name in answer]
    assert sorted(n for n in done if n in names) == sorted(names)
    assert len(jobs_of(cluster, job)) == 3


@contextmanager
def between(cluster: Cluster, *, forward: bool, act: Callable[[], None]) -> Iterator[str]:
    """An endpoint that passes everything on to the twin, but acts at SubmitJob: in its place, or once Batch took it."""
    assert cluster.card.twin is not None
    host, _, port = cluster.card.twin.endpoint.removeprefix("http://").partition(":")
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                request = client.recv(1 << 20)
                while b"\r\n\r\n" not in request or len(request.partition(b"\r\n\r\n")[2]) < _length(request):
                    request += client.recv(1 << 20)
                submits = request.startswith(b"POST /v1/submitjob")
                if not submits or forward:
                    with socket.create_connection((host, int(port))) as twin:
                        twin.sendall(request.replace(b"Connection: keep-alive", b"Connection: close"))
                        answer = twin.recv(1 << 20)
                        while len(answer.partition(b"\r\n\r\n")[2]) < _length(answer):
                            answer += twin.recv(1 << 20)
                if submits:
                    act()
                else:
                    client.sendall(answer.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        server.join(10)


def _length(message: bytes) -> int:
    head = message.partition(b"\r\n\r\n")[0].lower()
    return int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)


@pytest.mark.parametrize("taken", [False, True], ids=["before Batch took it", "after Batch took it"])
def test_a_function_that_is_killed_as_it_submits_loses_nothing_and_doubles_nothing(
    cluster: Cluster, taken: bool
) -> None:
    job = f"killed-{uuid4().hex[:6]}"
    name = waits(cluster, job)
    ran: list[subprocess.Popen[bytes]] = []
    assert cluster.card.twin is not None
    with between(cluster, forward=taken, act=lambda: os.kill(ran[0].pid, signal.SIGKILL)) as endpoint:
        environ = {
            "PATH": "/usr/bin:/bin",
            "AWS_ENDPOINT_URL": cluster.card.twin.endpoint,
            "AWS_ENDPOINT_URL_BATCH": endpoint,
            "AWS_ACCESS_KEY_ID": cluster.card.twin.access_key_id,
            "AWS_SECRET_ACCESS_KEY": cluster.card.twin.secret_access_key,
            "AWS_DEFAULT_REGION": cluster.card.region,
            "TUTTI_BUCKET": cluster.card.bucket,
            "TUTTI_WAITING": cluster.card.waiting,
        }
        code = "import functions.follow as f; input(); f.handler({}, None)"
        ran.append(subprocess.Popen([sys.executable, "-c", code], env=environ, stdin=subprocess.PIPE))
        ran[0].communicate(b"\n", timeout=60)
        assert ran[0].returncode == -signal.SIGKILL
    assert len(jobs_of(cluster, job)) == int(taken)
    assert call(cluster) == {}, "its claim is good for a while"
    assert waiting.find(cluster, name) == waiting.Place(folder=Folder.WAITING, user=cluster.user, name=name)
    _an_hour_later(cluster, name)
    assert list(call(cluster)) == [name]
    [job_id] = jobs_of(cluster, job)
    assert Run.find(cluster, name).id == job_id
    assert Run(job_id, cluster).wait().state == "SUCCEEDED"


def _an_hour_later(cluster: Cluster, name: str) -> None:
    """The claim as it is when it was made an hour ago."""
    at: dict[str, Any] = {
        "Bucket": cluster.card.bucket,
        "Key": key(cluster.card.waiting, Folder.WAITING, cluster.user, name),
    }
    kept = Waiting.from_text(cluster.s3.get_object(**at)["Body"].read().decode(), user=cluster.user, name=name)
    assert kept.claimed is not None
    cluster.s3.put_object(**at, Body=replace(kept, claimed=kept.claimed - 3600).to_text().encode())


def test_what_is_written_again_after_it_was_submitted_is_not_submitted_again(cluster: Cluster) -> None:
    """A desk whose first answer was lost sends its call again, perhaps when all is done."""
    job = f"again-{uuid4().hex[:6]}"
    name = waits(cluster, job)
    at: dict[str, Any] = {
        "Bucket": cluster.card.bucket,
        "Key": key(cluster.card.waiting, Folder.WAITING, cluster.user, name),
    }
    body = cluster.s3.get_object(**at)["Body"].read()
    assert list(call(cluster)) == [name]
    cluster.s3.put_object(**at, Body=body)
    assert call(cluster) == {}
    assert len(jobs_of(cluster, job)) == 1
    assert waiting.find(cluster, name) == waiting.Place(folder=Folder.SUBMITTED, user=cluster.user, name=name)
