"""The command line as a user meets it: words and exit codes, in a fresh home, on a pipe, in 80 columns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
import pytest
from moto import mock_aws

from tutti.aws import ExpiredError
from tutti.cli.main import COMMANDS
from tutti.cluster import read_card
from tutti.home import Home, write_private
from workload.contract import Card, CardTwin, card_parameter

Tutti = Callable[..., subprocess.CompletedProcess[str]]
HEAVY = ("boto3", "botocore", "rich", "pydantic", "yaml")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(root=tmp_path / "home")


@pytest.fixture
def tutti(home: Home, at_home: Callable[[Path], Tutti]) -> Tutti:
    """`tutti ARGS...` in a home of its own, where no twin runs."""
    return at_home(home.root)


def keep(home: Home, card: Card) -> None:
    write_private(home.card(card.stack), json.dumps(card.to_json()))


@pytest.fixture
def deaf(card: Card) -> Card:
    """The card of a twin that is not running: nothing listens on port 1."""
    twin = CardTwin(endpoint="http://127.0.0.1:1", access_key_id="A", secret_access_key="B", isolation="process")
    return card.but(stack="twin", twin=twin)


def test_help_lists_every_command_and_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from tutti.cli.main import main\n"
        "try:\n    main(['--help'])\n"
        f"finally:\n    print('LOADED', sorted(set(sys.modules) & {set(HEAVY)!r}))\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.rstrip().endswith("LOADED []")
    assert all(f"  {name}" in told for name in COMMANDS)


@pytest.mark.parametrize("group", ["checkpoints", "cluster", "data", "drill", "schedule", "twin"])
def test_a_group_of_commands_by_itself_says_which_there_are(tutti: Tutti, group: str) -> None:
    told = tutti(group)
    assert (told.returncode, told.stderr, told.stdout) == (0, "", tutti(group, "--help").stdout)
    assert "Commands:" in told.stdout


def test_no_command_at_all_is_a_call_for_help(tutti: Tutti) -> None:
    assert tutti().stdout.startswith("Usage: tutti")
    assert tutti().returncode == 0


@pytest.mark.parametrize("command", ["submit", "status", "logs", "wait", "cancel", "resume", "cluster"])
def test_help_fits_80_columns_without_colour(tutti: Tutti, command: str) -> None:
    told = tutti(command, "--help").stdout
    assert told.startswith(f"Usage: tutti {command}")
    assert max(map(len, told.splitlines())) <= 80
    assert "\x1b" not in told


def test_no_list_of_commands_cuts_a_sentence(tutti: Tutti) -> None:
    lists = [tutti(*words, "--help").stdout.partition("Commands:")[2] for words in [[], *([name] for name in COMMANDS)]]
    assert len([text for text in lists if text]) > 5
    assert not [line for text in lists for line in text.splitlines() if line.endswith("...")]


def test_a_misspelt_command_gets_a_likely_one(tutti: Tutti) -> None:
    told = tutti("statsu")
    assert told.returncode == 2
    assert "no command 'statsu'; did you mean 'status'?" in told.stderr


def test_an_unknown_flag_is_named(tutti: Tutti) -> None:
    told = tutti("status", "--nope")
    assert (told.returncode, told.stdout) == (2, "")
    assert "--nope" in told.stderr


@pytest.mark.parametrize(
    "args", [["status"], ["submit", "--", "hostname"], ["logs", "x"], ["wait", "x"], ["cluster", "show"]]
)
def test_without_a_cluster_the_way_to_one_is_told(tutti: Tutti, args: list[str]) -> None:
    told = tutti(*args)
    assert (told.returncode, told.stdout) == (3, "")
    assert told.stderr == (
        "tutti: no cluster is known here. Start one at your desk: tutti twin up. "
        "Or use a deployed stack: tutti cluster use NAME\n"
    )


def test_a_region_is_asked_for_where_none_is_said(tutti: Tutti, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tutti("cluster", "use", "astro")
    assert told.returncode == 2
    assert "no AWS region is set. Give one: --region REGION, export AWS_REGION=" in told.stderr
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert "no AWS credentials found" in tutti("cluster", "use", "astro").stderr


@pytest.fixture
def ssm(monkeypatch: pytest.MonkeyPatch, tutti: Tutti) -> Iterator[Any]:
    """The SSM of one region, as moto has it, where credentials are at hand."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    with mock_aws():
        yield boto3.client("ssm", region_name="eu-central-1")


def test_a_region_without_the_cluster_is_named_with_the_way_to_another(tutti: Tutti, home: Home, ssm: Any) -> None:
    ssm.put_parameter(Name=card_parameter("lab"), Value="{}", Type="String")
    told = tutti("cluster", "use", "lab", "--region", "eu-west-1")
    assert (told.returncode, told.stdout) == (3, "")
    assert told.stderr == (
        "tutti: no stack 'lab' in region eu-west-1: SSM has no parameter /tutti/lab/card. "
        "Give the right region: tutti cluster use NAME --region REGION\n"
    )
    assert not home.current.exists()


def test_a_stack_s_card_is_read_from_ssm_and_used_from_then_on(tutti: Tutti, home: Home, ssm: Any, card: Card) -> None:
    ssm.put_parameter(Name=card_parameter("lab"), Value=json.dumps(card.to_json()), Type="String")
    assert tutti("cluster", "use", "lab", "--region", "eu-central-1").stdout == "using lab\n"
    assert json.loads(tutti("cluster", "show", "--json").stdout) == card.to_json()
    assert read_card(home.card("lab")) == card


def test_expired_credentials_are_told_at_once_where_nobody_waits(tutti: Tutti, home: Home, card: Card) -> None:
    """Only what once worked is waited for, so a list ends and does not hang."""
    keep(home, card)
    expired = ExpiredError("the AWS login has expired")
    with patch("tutti.listing.list_jobs", side_effect=expired):
        for args in (["status"], ["status", "-w"]):
            assert tutti(*args).returncode == 4


def test_an_unknown_cluster_is_refused_with_the_known_ones(tutti: Tutti, home: Home, card: Card) -> None:
    keep(home, card)
    told = tutti("--cluster", "lba", "status")
    assert told.returncode == 3
    assert "no cluster 'lba' is known here; did you mean 'lab'?" in told.stderr


def test_a_card_of_a_newer_version_asks_for_a_newer_client(tutti: Tutti, home: Home, card: Card) -> None:
    write_private(home.card("lab"), json.dumps({**card.to_json(), "version": 99}))
    told = tutti("status")
    assert told.returncode == 2
    assert "version 99" in told.stderr
    assert "pip install --upgrade tutti" in told.stderr


def test_a_half_written_card_is_named(tutti: Tutti, home: Home) -> None:
    write_private(home.card("lab"), '{"version": 1, "stack"')
    told = tutti("status")
    assert told.returncode == 2
    assert "lab.json" in told.stderr


def test_a_twin_that_is_not_running_is_told_with_the_remedy(tutti: Tutti, home: Home, deaf: Card) -> None:
    keep(home, deaf)
    told = tutti("status")
    assert told.returncode == 5
    assert "http://127.0.0.1:1" in told.stderr
    assert "tutti twin up" in told.stderr


def test_no_credentials_are_told_with_both_ways_out(tutti: Tutti, home: Home, card: Card) -> None:
    keep(home, card)
    told = tutti("status")
    assert told.returncode == 4
    assert told.stderr == (
        "tutti: no AWS credentials found. Log in (aws sso login, or aws configure), or use the twin: tutti twin up\n"
    )


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--nodes", "0"], "--nodes: got 0; allowed: a whole number from 1 to 1,000"),
        (["--nodes", "1001"], "--nodes: got 1001; allowed: a whole number from 1 to 1,000"),
        (["--nodes", "2", "--timeout", "59"], "--timeout: got 59 s; allowed: 60 s or more (AWS Batch's limit)"),
        (["--nodes", "2", "--env", "AWS_BATCH_X=1"], "--env: names that start with AWS_BATCH are AWS Batch's own"),
        (["--nodes", "2", "--queue", "one-low"], "--queue: queue one-low has Spot or Fargate capacity"),
        (["--nodes", "2", "--mpi", "intel", "--image", "cpu"], "--mpi: got intel, but image cpu has mpich, openmpi"),
        (["--nodes", "2", "--env", f"A={'x' * 31_000}"], "the submission has 31,"),
    ],
)
def test_a_wrong_submission_is_refused_before_anything_is_sent(
    tutti: Tutti, home: Home, deaf: Card, args: list[str], words: str
) -> None:
    keep(home, deaf)  # a twin that would not answer: whoever sends anything ends with 5
    told = tutti("submit", *args, "--", "hostname")
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.startswith(f"tutti: {words}")


def test_all_problems_of_a_job_file_are_told_at_once(tutti: Tutti, home: Home, deaf: Card, tmp_path: Path) -> None:
    keep(home, deaf)
    file = tmp_path / "job.yaml"
    file.write_text("nodes: 0\nmemry: 8G\ntimeout: soon\n")
    told = tutti("submit", str(file), "--retries", "99")
    assert told.returncode == 2
    assert len(told.stderr.splitlines()) == 4
    assert f"{file}:2: memry: unknown key 'memry'; did you mean 'memory'?" in told.stderr
    assert "--retries: got 99" in told.stderr


def test_a_missing_job_file_is_named(tutti: Tutti, home: Home, deaf: Card) -> None:
    keep(home, deaf)
    told = tutti("submit", "nowhere.yaml")
    assert told.returncode == 3
    assert "nowhere.yaml: No such file" in told.stderr


def test_the_cluster_is_shown_as_a_table_and_as_json_without_its_secret(tutti: Tutti, home: Home, deaf: Card) -> None:
    keep(home, deaf)
    shown = tutti("cluster", "show").stdout
    assert "cpu-high" in shown
    assert max(map(len, shown.splitlines())) <= 80
    data = json.loads(tutti("cluster", "show", "--json").stdout)
    assert data["queues"][0]["name"] == "cpu-high"
    assert data["twin"]["secret_access_key"] == "(in the card)"


def test_known_clusters_are_listed_and_the_one_in_use_marked(tutti: Tutti, home: Home, deaf: Card, card: Card) -> None:
    keep(home, deaf)
    keep(home, card)
    assert tutti("status").returncode == 3  # two, and none in use
    assert tutti("cluster", "use", "twin").stdout == "using twin\n"
    assert json.loads(tutti("cluster", "list", "--json").stdout) == [
        {"name": "lab", "used": False, "region": "eu-central-1", "twin": False},
        {"name": "twin", "used": True, "region": "eu-central-1", "twin": True},
    ]


def test_a_reader_that_goes_away_is_no_error_in_words(home: Home, deaf: Card) -> None:
    keep(home, deaf)
    told = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m tutti cluster show --json | head -c 1"],
        env={**os.environ, "TUTTI_HOME": str(home.root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.stderr == ""
    assert told.stdout == "{"
