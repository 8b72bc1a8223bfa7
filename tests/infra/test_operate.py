"""`make up`, `preview` and `down`: the CLI of the SDK's version, no prompt in CI, and clear words for what is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from infra.operate import VERBS, command_line, install, interactive, lacking, queues_of

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "name: tutti\nconfig:\n  images:\n    default:\n      - name: tutti\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "Pulumi.yaml").write_text(PROJECT)
    return tmp_path


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of a fresh machine: no credentials, no login, no tools."""
    for name in [n for n in os.environ if n.startswith(("AWS_", "PULUMI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return {"HOME": str(tmp_path), "PATH": str(tmp_path / "bin")}


def fake(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_a_fresh_machine_is_told_all_that_it_lacks(project: Path, nobody: dict[str, str]) -> None:
    problems = lacking("dev", nobody, project, asks=False)
    assert [p.split(":")[0] for p in problems] == ["AWS credentials", "a place for the state", "Docker"]


def test_docker_that_does_not_answer_is_quoted(project: Path, nobody: dict[str, str], tmp_path: Path) -> None:
    fake(tmp_path / "bin" / "docker", "echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    assert "Cannot connect to the Docker daemon" in lacking("dev", nobody, project, asks=False)[-1]


def test_docker_is_needed_only_where_an_image_is_built(project: Path, nobody: dict[str, str]) -> None:
    given = "config:\n  tutti:images:\n    - name: wrf\n      uri: registry.example/wrf:1\n"
    (project / "Pulumi.astro.yaml").write_text(given)
    assert not [p for p in lacking("astro", nobody, project, asks=False) if p.startswith("Docker")]
    assert [p for p in lacking("dev", nobody, project, asks=False) if p.startswith("Docker")]


def test_credentials_and_login_are_enough(
    project: Path, nobody: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(tmp_path / "bin" / "docker", "exit 0")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    assert lacking("dev", {**nobody, "PULUMI_ACCESS_TOKEN": "x"}, project, asks=False) == []
    assert lacking("dev", nobody, project, asks=True) == [], "a terminal is asked to log in by Pulumi itself"


def test_a_state_of_ones_own_needs_its_passphrase(project: Path, nobody: dict[str, str]) -> None:
    problems = lacking("dev", {**nobody, "PULUMI_BACKEND_URL": "s3://state"}, project, asks=False)
    assert any("PULUMI_CONFIG_PASSPHRASE" in p for p in problems)
    known = {**nobody, "PULUMI_BACKEND_URL": "s3://state", "PULUMI_CONFIG_PASSPHRASE": ""}
    assert not any("PASSPHRASE" in p for p in lacking("dev", known, project, asks=False))


@pytest.mark.parametrize("verb", VERBS)
def test_nothing_prompts_in_ci(verb: str) -> None:
    assert not interactive({"CI": "true"}, terminal=True)
    line = command_line("pulumi", verb, "dev", asks=False)
    assert "--non-interactive" in line
    assert ("--yes" in line) == (verb != "preview")


def test_a_person_is_asked() -> None:
    assert interactive({}, terminal=True)
    assert not interactive({}, terminal=False)
    assert command_line("pulumi", "down", "dev", asks=True) == ["pulumi", "destroy", "--stack", "dev"]


def test_the_cli_of_the_sdks_version_is_used_where_it_is_installed(nobody: dict[str, str], tmp_path: Path) -> None:
    """`PulumiCommand.install` downloads only what ~/.pulumi/versions/VERSION lacks."""
    own = tmp_path / ".pulumi" / "versions" / version("pulumi") / "bin" / "pulumi"
    fake(own, f"echo v{version('pulumi')}")
    assert Path(install(nobody).command) == own


def test_an_old_cli_on_the_path_is_passed_over(
    nobody: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake(tmp_path / "bin" / "pulumi", "echo v3.1.0")
    own = tmp_path / ".pulumi" / "versions" / version("pulumi") / "bin" / "pulumi"
    fake(own, f"echo v{version('pulumi')}")
    assert Path(install(nobody).command) == own
    assert "is v3.1.0; taking v" in capsys.readouterr().err


def run(home: Path, *argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
    base = {
        "HOME": str(home),
        "PATH": f"{home / 'bin'}:/usr/bin:/bin",
        "AWS_EC2_METADATA_DISABLED": "true",
        "CI": "true",
    }
    return subprocess.run(
        [sys.executable, "-m", "infra.operate", *argv],
        cwd=ROOT,
        env={**base, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_up_selects_the_stack_and_brings_it_up(tmp_path: Path) -> None:
    own = tmp_path / ".pulumi" / "versions" / version("pulumi") / "bin" / "pulumi"
    fake(own, f'[ "$1" = version ] && echo v{version("pulumi")} || echo "$@" >> "$HOME/calls"')
    fake(tmp_path / "bin" / "docker", "exit 0")
    given = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "PULUMI_ACCESS_TOKEN": "x"}
    done = run(tmp_path, "up", "dev", **given)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "calls").read_text().splitlines() == [
        "stack select dev --create --non-interactive",
        "up --stack dev --non-interactive --yes",
    ]


def pulumi_with(home: Path, state: dict[str, Any]) -> None:
    """A CLI that keeps what it is called with, and whose stack has this state."""
    (home / "state").write_text(json.dumps(state))
    own = home / ".pulumi" / "versions" / version("pulumi") / "bin" / "pulumi"
    fake(
        own,
        f'[ "$1" = version ] && echo v{version("pulumi")} && exit\n'
        '[ "$2" = export ] && cat "$HOME/state" && exit\necho "$@" >> "$HOME/calls"',
    )
    fake(home / "bin" / "docker", "exit 0")


GIVEN = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "PULUMI_ACCESS_TOKEN": "x"}


def test_down_destroys_the_queues_first_with_the_program_that_guards_them(tmp_path: Path) -> None:
    resources = [{"urn": "urn:q", "type": "aws:batch/jobQueue:JobQueue"}, {"urn": "urn:v", "type": "aws:ec2/vpc:Vpc"}]
    pulumi_with(tmp_path, {"version": 3, "deployment": {"resources": resources}})
    assert run(tmp_path, "down", "dev", **GIVEN).returncode == 0
    assert (tmp_path / "calls").read_text().splitlines()[1:] == [
        "destroy --stack dev --non-interactive --yes --run-program --target-dependents --target urn:q",
        "destroy --stack dev --non-interactive --yes",
    ]


def test_a_destroy_that_was_cut_off_goes_on_without_the_program(tmp_path: Path) -> None:
    """The queues are gone, and with them outputs that the program would look for."""
    pulumi_with(tmp_path, {"version": 3, "deployment": {"resources": [{"urn": "urn:v", "type": "aws:ec2/vpc:Vpc"}]}})
    assert run(tmp_path, "down", "dev", **GIVEN).returncode == 0
    assert (tmp_path / "calls").read_text().splitlines()[1:] == ["destroy --stack dev --non-interactive --yes"]


def test_a_stack_that_was_never_up_has_no_queues() -> None:
    assert queues_of('{"version": 3, "deployment": {"manifest": {}}}') == []


def test_a_machine_that_lacks_something_gets_a_list_and_code_3(tmp_path: Path) -> None:
    done = run(tmp_path, "up", "dev")
    assert done.returncode == 3
    assert done.stderr.startswith("make up STACK=dev lacks:\n  - AWS credentials")
    assert not (tmp_path / ".pulumi").exists(), "nothing was downloaded"


def test_a_wrong_verb_is_refused(tmp_path: Path) -> None:
    done = run(tmp_path, "destroy", "dev")
    assert (done.returncode, done.stderr) == (2, "got destroy dev; allowed: up|preview|down STACK\n")
