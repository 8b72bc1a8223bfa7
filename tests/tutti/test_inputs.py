"""Inputs that are not there are told before a job is paid for, with as few calls as can tell."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any, cast

import pytest

from tests.tutti.stubbed import Stubbed
from tutti import Cluster, Job
from tutti.errors import InputError
from tutti.inputs import refuse_missing
from tutti.listing import list_jobs

Tutti = Callable[..., "subprocess.CompletedProcess[str]"]


def look(stubbed: Stubbed, *uris: str, **more: Any) -> None:
    job = Job(command=["true"], nodes=1, input=uris, **more)
    refuse_missing(job, cast("Cluster", stubbed), {"input": "job.yaml:3: input"})


def asked(*answers: str | None) -> Stubbed:
    """A cluster whose bucket answers with these first keys, one a call."""
    stubbed = Stubbed()
    for key in answers:
        stubbed.answers("s3", "list_objects_v2", {"Contents": [{"Key": key}]} if key else {})
    return stubbed


@pytest.mark.parametrize(
    ("uri", "first_keys"),
    [
        ("s3://lab/data/a", ["data/a"]),
        ("s3://lab/data", ["data/a"]),
        ("s3://lab/data/", ["data/a"]),
        ("s3://lab", ["data/a"]),
        ("s3://lab/data", ["data-beside", "data/a"]),
    ],
)
def test_an_input_that_is_there_is_found_with_one_call_and_two_beside_its_like(uri: str, first_keys: list[str]) -> None:
    stubbed = asked(*first_keys)
    look(stubbed, uri)
    stubbed.stubs["s3"].assert_no_pending_responses()


@pytest.mark.parametrize(("uri", "first_keys"), [("s3://lab/data", [None]), ("s3://lab/data", ["data-beside", None])])
def test_an_input_that_is_not_there_is_refused_where_it_was_said(uri: str, first_keys: list[str | None]) -> None:
    words = r"^job\.yaml:3: input: nothing lies at s3://lab/data\. What there is: tutti data ls$"
    with pytest.raises(InputError, match=words):
        look(asked(*first_keys), uri)


@pytest.mark.parametrize("code", ["AccessDenied", "NoSuchBucket", "InternalError", "ExpiredToken"])
def test_who_cannot_look_says_nothing(code: str) -> None:
    stubbed = Stubbed()
    stubbed.refuses("s3", "list_objects_v2", code)
    look(stubbed, "s3://lab/data")
    stubbed.stubs["s3"].assert_no_pending_responses()


@pytest.mark.parametrize(
    ("uri", "later"),
    [
        ("shared:input/a", {}),
        ("s3://lab/data", {"after": ["11111111-1111-1111-1111-111111111111"]}),
        ("s3://lab/data", {"at": "+2h"}),
        ("s3://lab/data", {"every": "6h"}),
    ],
)
def test_no_call_is_made_for_other_inputs_nor_for_a_job_that_starts_later(uri: str, later: dict[str, Any]) -> None:
    stubbed = Stubbed()
    look(stubbed, uri, **later)
    assert not stubbed.clients


def test_every_missing_input_is_named_and_nothing_is_submitted(tutti: Tutti, cluster: Cluster) -> None:
    here = f"s3://{cluster.card.bucket}/{cluster.card.prefix}nosuch"
    cluster.s3.put_object(Bucket=cluster.card.bucket, Key=f"{cluster.card.prefix}nosuch-there", Body=b"1")
    before = len(list_jobs(cluster))
    flags = ("--input", f"{here}/a", "--input", f"{here}-there", "--input", here, "--nodes", "1")
    for more in ((), ("--dry-run",)):
        told = tutti("submit", *flags, *more, "--", "true")
        assert (told.returncode, told.stdout) == (2, "")
        assert told.stderr.count("--input: nothing lies at") == 2
        assert f"nothing lies at {here}/a. " in told.stderr
        assert f"nothing lies at {here}. " in told.stderr
    with pytest.raises(InputError, match=f"nothing lies at {here}"):
        Job(command=["true"], nodes=1, input=[here]).submit(cluster)
    assert len(list_jobs(cluster)) == before
