"""`submit --at`, `--every`, `--notify`, and the money of a run, as a user meets them: the command line against the twin."""

from __future__ import annotations

import getpass
import json
import re
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tutti import Cluster, capsule
from tutti.core.bill import money
from tutti.errors import NotFoundError
from tutti.listing import list_jobs
from tutti.schedule import meant, when
from tutti.twin.api.pricing import DATE, HOURLY
from tutti.twin.cluster import NODE_TYPE

Tutti = Callable[..., "subprocess.CompletedProcess[str]"]


def until(what: Callable[[], Any], seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.1)
    return found


def submitted(cluster: Cluster, name: str) -> list[str]:
    return [job.id for job in list_jobs(cluster) if job.name == name]


def schedules(tutti: Tutti) -> dict[str, Any]:
    return {s["name"]: s for s in json.loads(tutti("schedule", "ls", "--json").stdout)}


def test_at_submits_once_at_its_time_and_the_schedule_is_gone(tutti: Tutti, cluster: Cluster) -> None:
    job = f"later-{uuid4().hex[:6]}"
    told = tutti("submit", "--name", job, "--at", "+4s", "--nodes", "2", "--label", "a=b", "--", "true")
    assert told.returncode == 0, told.stderr
    name, _, expression = told.stdout.strip().partition(": ")
    assert re.fullmatch(r"at\(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\)", expression)
    listed = tutti("schedule", "ls").stdout
    assert name in listed
    assert job in listed
    assert schedules(tutti)[name]["job"] == job
    [job_id] = until(lambda: submitted(cluster, job))
    assert tutti("wait", job_id).returncode == 0
    assert name not in schedules(tutti)
    detail = cluster.batch.describe_jobs(jobs=[job_id])["jobs"][0]
    assert detail["tags"]["a"] == "b"
    assert detail["tags"]["tutti:user"] == cluster.user


def test_every_submits_at_once_and_goes_on_until_it_is_removed(tutti: Tutti, cluster: Cluster) -> None:
    job = f"often-{uuid4().hex[:6]}"
    told = tutti("submit", "--name", job, "--every", "1m", "--nodes", "1", "--json", "--", "true")
    assert told.returncode == 0, told.stderr
    answer = json.loads(told.stdout)
    assert answer["expression"] == "rate(1 minute)"
    name = answer["schedule"]
    [job_id] = until(lambda: submitted(cluster, job))
    assert tutti("wait", job_id).returncode == 0
    found = schedules(tutti)[name]
    assert (found["job"], found["when"], found["state"], found["user"]) == (
        job,
        "rate(1 minute)",
        "ENABLED",
        cluster.user,
    )
    assert 0 < found["next"] - time.time() <= 60
    assert tutti("schedule", "rm", job).stdout == f"1 removed: {name}\n", "by its job's name"
    assert name not in schedules(tutti)
    assert capsule.read(cluster, job_id)["schedule"] == name, "what ran keeps its capsule"
    gone = tutti("schedule", "rm", name)
    assert (gone.returncode, f"no schedule '{name}'" in gone.stderr) == (3, True)


def test_a_job_of_a_schedule_has_the_schedule_s_capsule_and_the_inputs_that_it_found_itself(
    tutti: Tutti, cluster: Cluster
) -> None:
    job = f"nightly-{uuid4().hex[:6]}"
    place: dict[str, Any] = {"Bucket": cluster.card.bucket}
    key = f"{cluster.card.prefix}input/{job}.txt"
    uri = f"s3://{cluster.card.bucket}/{key}"
    cluster.s3.put_object(**place, Key=key, Body=b"of then")
    told = tutti(
        "submit", "--name", job, "--at", "+5s", "--nodes", "1", "--input", uri, "--", "cat", f"input/{job}.txt"
    )
    name = told.stdout.partition(": ")[0]
    assert capsule.read(cluster, name)["inputs"][uri]["bytes"] == len("of then")
    cluster.s3.put_object(**place, Key=key, Body=b"of the night")  # between its schedule and its start
    [job_id] = until(lambda: submitted(cluster, job))
    assert tutti("wait", job_id).returncode == 0
    assert name not in schedules(tutti), "the schedule is gone; what it submitted has its capsule"
    kept = capsule.read(cluster, job_id)
    assert (kept["job"], kept["schedule"], kept["inputs_of_start"]) == (job_id, name, True)
    assert kept["inputs"][uri]["bytes"] == len("of the night")
    assert (capsule.started(cluster, job_id) or {})["schedule"] == name, (
        "it knows its schedule when Batch has forgotten the job"
    )
    again = tutti("rerun", job_id, "--wait", "--json")
    assert again.returncode == 0, again.stderr
    assert f"was submitted by {name}: its image and its nodes are known as of" in again.stderr
    rerun = json.loads(again.stdout)
    assert "tutti:schedule" not in rerun["tags"]
    found = {d["what"]: (d["one"], d["other"]) for d in json.loads(tutti("diff", job_id, rerun["id"], "--json").stdout)}
    assert set(found) - {"seconds"} == {"environment.TUTTI_SCHEDULE", "schedule", "tags.tutti:schedule"} & set(found)
    assert found["tags.tutti:schedule"] == (name, "-")
    rows = json.loads(tutti("cost", "--by", "job", "--json").stdout)["rows"]
    assert [row["runs"] for row in rows if row["key"] == job] == [2]
    cluster.s3.put_object(**place, Key=key, Body=b"of the day")
    assert f"{key} changed since" in tutti("rerun", job_id).stderr


def test_a_likely_name_is_offered_and_nothing_is_removed_where_one_is_wrong(tutti: Tutti) -> None:
    told = tutti("submit", "--name", "nightly", "--every", "cron(0 3 * * ? *)", "--nodes", "1", "--", "true")
    name = told.stdout.partition(": ")[0]
    wrong = tutti("schedule", "rm", name, f"{name}x")
    assert (wrong.returncode, f"did you mean '{name}'" in wrong.stderr) == (3, True)
    assert schedules(tutti)[name]["when"] == "cron(0 3 * * ? *)"
    assert tutti("schedule", "rm", name).returncode == 0


JOBS = {"tutti-nightly-1a": "nightly", "tutti-late-1b": "late", "tutti-late-1c": "late", "after-tidy-1d": "tidy"}


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("tutti-late-1b", "tutti-late-1b"),
        ("nightly", "tutti-nightly-1a"),
        ("tidy", "after-tidy-1d"),
        ("tutti-n", "tutti-nightly-1a"),
    ],
)
def test_a_schedule_is_meant_by_its_name_the_start_of_it_or_its_job_s_name(word: str, name: str) -> None:
    assert meant(word, JOBS) == name
    assert meant(name, {**JOBS, f"{name}2": word}) == name, "a whole name means itself"


@pytest.mark.parametrize("word", ["late", "tutti-late"])
def test_a_word_that_means_several_schedules_removes_none_and_lists_them(word: str) -> None:
    with pytest.raises(NotFoundError, match=r"2 schedules; name one of: tutti-late-1b, tutti-late-1c"):
        meant(word, JOBS)


@pytest.mark.parametrize("word", ["", "night", "ightly"])
def test_a_word_that_means_no_schedule_is_told_what_there_is(word: str) -> None:
    with pytest.raises(NotFoundError, match=f"no schedule '{word}'.*there are: tutti-nightly-1a, "):
        meant(word, JOBS)


NOW = datetime(2026, 11, 20, 13, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "every", "expression"),
    [
        ("2026-12-01T06:00Z", None, "at(2026-12-01T06:00:00)"),
        ("2026-12-01T06:00+02:00", None, "at(2026-12-01T04:00:00)"),
        ("+90m", None, "at(2026-11-20T14:30:00)"),
        (None, "30m", "rate(30 minutes)"),
        (None, "1d", "rate(1 day)"),
        (None, "rate(5 minutes)", "rate(5 minutes)"),
        (None, "cron(0 6 ? * MON-FRI *)", "cron(0 6 ? * MON-FRI *)"),
    ],
)
def test_times_are_put_as_scheduler_has_them(at: str | None, every: str | None, expression: str) -> None:
    assert when(at, every, now=NOW) == (expression, "UTC")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--every", "cron(0 6 * * * *)"], "? as day or as weekday"),
        (["--every", "cron(61 6 * * ? *)"], "got '61' as minute of cron(...); allowed: 0 to 59"),
        (["--every", "cron(0 6 30 2 ? *)"], "which is never"),
        (["--every", "cron(0 3 * *)"], "got 'cron(0 3 * *)'; allowed: 30m, 6h, 1d, or cron(MINUTE HOUR DAY"),
        (["--every", "0m"], "allowed: 30m, 6h, 1d, or cron("),
        (["--at", "tomorrow"], "or +2h from now"),
        (["--at", "+soon"], "or +2h from now"),
    ],
)
def test_times_that_cannot_be_are_refused_before_anything_is_sent(tutti: Tutti, flags: list[str], words: str) -> None:
    before = schedules(tutti)
    told = tutti("submit", "--nodes", "1", *flags, "--", "true")
    assert (told.returncode, words in told.stderr) == (2, True), told.stderr
    assert schedules(tutti) == before


def test_notify_tells_the_address_of_its_job_s_end_and_of_no_other_s(tutti: Tutti, cluster: Cluster) -> None:
    sqs = cluster.client("sqs")
    url = sqs.create_queue(QueueName=f"mine-{uuid4().hex[:6]}")["QueueUrl"]
    address = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    other = tutti("submit", "--name", "unheard", "--nodes", "1", "--wait", "--", "true")
    assert other.returncode == 0
    good = tutti("submit", "--name", "good", "--notify", address, "--nodes", "2", "--", "true").stdout.strip()
    bad = tutti(
        "submit", "--name", "bad", "--notify", address, "--nodes", "1", "--", "sh", "-c", "exit 3"
    ).stdout.strip()
    heard: list[dict[str, Any]] = []

    def receive() -> bool:
        messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        heard.extend(json.loads(json.loads(message["Body"])["Message"]) for message in messages)
        return len(heard) >= 2

    until(receive)
    told = {notice["detail"]["jobId"]: notice for notice in heard}
    assert set(told) == {good, bad}
    assert (
        told[good]["message"]
        == f"Job good ({good}): SUCCEEDED. Essential container in task exited More: tutti status {good}"
    )
    assert told[bad]["detail"]["status"] == "FAILED"
    again = tutti("submit", "--notify", address, "--nodes", "1", "--wait", "--", "true")
    assert again.returncode == 0, "one subscription an address is enough"


def test_money_is_shown_before_and_after_with_the_date_of_the_price(tutti: Tutti) -> None:
    """`--dry-run`, `--max-cost`, the end of a run and `cost` speak of one price, the twin's list price of its date."""
    price = float(HOURLY[NODE_TYPE])
    asked = ("--nodes", "2", "--timeout", "1h", "--retries", "1")
    plan = json.loads(tutti("submit", *asked, "--dry-run", "--json", "--", "true").stdout)["estimate"]
    assert (plan["usd_per_node_hour"], plan["price_of"]) == (price, DATE)
    assert plan["most_usd"] == pytest.approx(2 * price * plan["attempts"])
    dear = tutti("submit", *asked, "--max-cost", "0.10", "--", "true")
    assert (dear.returncode, f"may cost ${money(plan['most_usd'])}" in dear.stderr) == (2, True), dear.stderr
    run = tutti("submit", *asked, "--max-cost", "5", "--name", "paid", "--wait", "--", "true")
    assert run.returncode == 0, run.stderr
    assert DATE in tutti("submit", *asked, "--dry-run", "--", "true").stdout
    rows = json.loads(tutti("cost", "--by", "job", "--json").stdout)["rows"]
    [paid] = [row for row in rows if row["key"] == "paid"]
    assert paid["usd"] == pytest.approx(2 * price * 60 / 3600, rel=0.01), "a minute an attempt at least"
    assert tutti("cost", "--by", "user").stdout.splitlines()[1].split()[0] == getpass.getuser(), "people read names"


def test_relative_times_count_from_now() -> None:
    expression, _ = when("+10s", None)
    moment = datetime.strptime(expression, "at(%Y-%m-%dT%H:%M:%S)").replace(tzinfo=UTC)
    assert timedelta() < moment - datetime.now(UTC) <= timedelta(seconds=10)
