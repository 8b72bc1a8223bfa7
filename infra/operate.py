"""`make up|preview|down STACK=NAME`: Pulumi's CLI of the SDK's own version, and what it needs told before it is called.

    python -m infra.operate up|preview|down STACK

Exit code: Pulumi's own, or 3 where something is missing.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

import botocore.session
import yaml
from botocore.exceptions import BotoCoreError
from pulumi.automation import PulumiCommand

PROJECT: Final = Path(__file__).resolve().parents[1]
VERBS: Final[Mapping[str, str]] = {"up": "up", "preview": "preview", "down": "destroy"}
CHANGES: Final = ("up", "destroy")
MISSING: Final = 3
DOCKER_S: Final = 20
CLOUD: Final = "https://app.pulumi.com"
QUEUE: Final = "aws:batch/jobQueue:JobQueue"


def interactive(environ: Mapping[str, str], *, terminal: bool) -> bool:
    """Whether somebody is there to be asked. In CI nobody is, whatever the terminal says."""
    return terminal and environ.get("CI", "").lower() not in {"1", "true", "yes"}


def command_line(pulumi: str, verb: str, stack: str, *, asks: bool) -> list[str]:
    """Pulumi's command; without anybody to ask it takes yes for an answer, and never prompts."""
    line = [pulumi, VERBS[verb], "--stack", stack]
    if asks:
        return line
    return [*line, "--non-interactive", *(["--yes"] if VERBS[verb] in CHANGES else [])]


def command_lines(pulumi: str, verb: str, stack: str, queues: Sequence[str], *, asks: bool) -> list[list[str]]:
    """The commands of a verb, in order. `queues`: the URNs of the stack's queues, as far as they are still there.

    The queues' guard (infra/queue_guard.py) lives in the program, so queues are destroyed first, with the program. What
    is left needs no program; with one, a destroy that was cut off could not go on, for the program would look for
    outputs of what is gone (github.com/pulumi/pulumi/issues/23921).
    """
    line = command_line(pulumi, verb, stack, asks=asks)
    if verb != "down" or not queues:
        return [line]
    targets = [word for urn in queues for word in ("--target", urn)]
    return [[*line, "--run-program", "--target-dependents", *targets], line]


def queues_of(state: str) -> list[str]:
    """The URNs of the queues in what `pulumi stack export` wrote."""
    resources = (json.loads(state).get("deployment") or {}).get("resources") or []
    return [resource["urn"] for resource in resources if resource["type"] == QUEUE]


def lacking(stack: str, environ: Mapping[str, str], project: Path, *, asks: bool) -> list[str]:
    """What stands in the way, in words that say what to do; empty where nothing does."""
    found = [*_credentials(environ), *_backend(environ, asks=asks)]
    return found + (_docker() if _builds(stack, project) else [])


def install(environ: Mapping[str, str]) -> PulumiCommand:
    """The CLI on the PATH where it has the SDK's version, else one of that version in ~/.pulumi/versions.

    Raises
    ------
    OSError, subprocess.CalledProcessError
        It could not be downloaded.
    """
    wanted = version("pulumi")
    if path := shutil.which("pulumi", path=environ.get("PATH", "")):
        asked = subprocess.run([path, "version"], capture_output=True, text=True, check=False)
        if asked.stdout.strip() == f"v{wanted}":
            return PulumiCommand()
        print(f"{path} is {asked.stdout.strip() or 'broken'}; taking v{wanted}, the SDK's own version", file=sys.stderr)
    return PulumiCommand.install()


def _credentials(environ: Mapping[str, str]) -> list[str]:
    try:
        found = botocore.session.Session(profile=environ.get("AWS_PROFILE")).get_credentials()
    except BotoCoreError as error:
        return [f"AWS credentials: {error}"]
    if found is None:
        return [
            "AWS credentials: none found. Set AWS_PROFILE, log in with `aws sso login`, or run where a role is given"
        ]
    return []


def _backend(environ: Mapping[str, str], *, asks: bool) -> list[str]:
    """Where the state is kept. A terminal may be asked to log in; elsewhere it must be known."""
    home = Path(environ.get("PULUMI_HOME") or Path(environ.get("HOME", "~")).expanduser() / ".pulumi")
    url = environ.get("PULUMI_BACKEND_URL", "")
    known = url or environ.get("PULUMI_ACCESS_TOKEN") or (home / "credentials.json").exists()
    if not known and not asks:
        return [f"a place for the state: set PULUMI_ACCESS_TOKEN ({CLOUD}) or PULUMI_BACKEND_URL=s3://BUCKET"]
    words = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE")
    if url.startswith(("s3://", "file://")) and not asks and not any(word in environ for word in words):
        return [f"the passphrase of the state's secrets: set {words[0]} or {words[1]}"]
    return []


def _docker() -> list[str]:
    what = "Docker: an image is built here, or give `images` a uri"
    if shutil.which("docker") is None:
        return [f"{what}. There is no `docker` on the PATH"]
    try:
        asked = subprocess.run(["docker", "info"], capture_output=True, text=True, timeout=DOCKER_S, check=False)
    except subprocess.TimeoutExpired:
        return [f"{what}. `docker info` did not answer within {DOCKER_S} s"]
    if asked.returncode:
        said = (asked.stderr or asked.stdout).strip().splitlines()
        return [f"{what}. `docker info` says: {said[-1] if said else 'nothing'}"]
    return []


def _builds(stack: str, project: Path) -> bool:
    """Whether the stack builds an image: one of its `images` is neither given nor shared."""
    settings = yaml.safe_load((project / "Pulumi.yaml").read_text())
    images = settings["config"]["images"]["default"]
    own = project / f"Pulumi.{stack}.yaml"
    if own.exists():
        config = (yaml.safe_load(own.read_text()) or {}).get("config") or {}
        images = config.get(f"{settings['name']}:images", images)
    return any(not image.get("uri") and not image.get("shared") for image in images)


def main(argv: Sequence[str]) -> int:
    if len(argv) != len(("verb", "stack")) or argv[0] not in VERBS:
        print(f"got {' '.join(argv) or 'nothing'}; allowed: {'|'.join(VERBS)} STACK", file=sys.stderr)
        return 2
    verb, stack = argv
    asks = interactive(os.environ, terminal=sys.stdin.isatty())
    if problems := lacking(stack, os.environ, PROJECT, asks=asks):
        print(
            f"make {verb} STACK={stack} lacks:", *(f"  - {problem}" for problem in problems), sep="\n", file=sys.stderr
        )
        return MISSING
    try:
        cli = install(os.environ)
    except (OSError, subprocess.CalledProcessError) as error:
        said = (
            error.output.decode(errors="replace").strip() if isinstance(error, subprocess.CalledProcessError) else error
        )
        print(
            f"make {verb} STACK={stack} lacks:\n"
            f"  - the network: Pulumi's CLI could not be had from get.pulumi.com: {said}\n"
            "    Install it by hand (https://www.pulumi.com/docs/install) and put it on the PATH",
            file=sys.stderr,
        )
        return MISSING
    return _run(cli.command, verb, stack, asks=asks)


def _run(pulumi: str, verb: str, stack: str, *, asks: bool) -> int:
    """Select the stack, and go through the verb's commands until one fails."""
    select = [pulumi, "stack", "select", stack, "--create", *([] if asks else ["--non-interactive"])]
    if code := subprocess.run(select, cwd=PROJECT, check=False).returncode:
        return code
    queues: list[str] = []
    if verb == "down":
        export = [pulumi, "stack", "export", "--stack", stack]
        exported = subprocess.run(export, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=False)
        if exported.returncode:
            return exported.returncode
        queues = queues_of(exported.stdout)
    for line in command_lines(pulumi, verb, stack, queues, asks=asks):
        if code := subprocess.run(line, cwd=PROJECT, check=False).returncode:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
