"""The house rules of CONTRIBUTING.md, read off the tree: who may import whom, how big a file may be, what may stand."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("infra", "workload", "tutti", "functions")
STDLIB = sys.stdlib_module_names
MOST_LINES = 400
TYPES_ALONE = ("types_boto3", "_typeshed")  # stubs: there is nothing to import when the program runs

AGREED = {
    *("workload.contract", "workload.settings", "workload.documents", "workload.manifest"),
    "workload.contents",  # what a capsule keeps of inputs: the desk looks at S3, the node at both
    "workload.notices",  # the rule that the stack and the twin make is what the client subscribes to
}
# What lies beside the checkpoints is the running program's, the client's and the functions' alike.
VAULT = {"workload.vault", "workload.interval"}
RUNTIME = {
    *("workload.contract", "workload.settings", "workload.documents", "workload.manifest", "workload.node"),
    *("workload.interfaces", "workload.ecs", "workload.elf", "workload.job_secrets", "workload.record"),
    *("workload.contents", "workload.gang", "workload.staging", "workload.entrypoint"),
}
# The first row whose prefix fits a module says what it may import besides its own package and the standard library.
ARROWS: tuple[tuple[str, set[str]], ...] = (
    ("__main__", {"pulumi", "infra", "workload.contract", "workload.documents", "workload.settings"}),
    (
        "infra.operate",  # a command of the operator's: looks for credentials before it calls the CLI
        {"pulumi", "botocore", "yaml"},
    ),
    ("infra.queue_guard", {"pulumi", "botocore"}),  # asks Batch before a queue is deleted
    ("infra.context", {"docker"}),  # what .dockerignore means
    (
        "infra",
        {
            *("pulumi", "pulumi_aws", "pulumi_docker"),
            *("workload.contract", "workload.documents", "workload.settings", "workload.notices"),
        },
    ),
    ("workload.record", set()),
    ("workload.contents", set()),
    ("workload.contract", {"workload.record"}),
    ("workload.notices", {"workload.contract"}),
    ("workload.settings", {"workload.contract", "workload.record"}),
    ("workload.documents", {"workload.contract", "workload.settings"}),
    ("workload.manifest", {"workload.contract", "zlib_ng"}),
    ("workload.interval", {"workload.contract"}),
    ("workload.progress", {"workload.contract"}),
    ("workload.vault", {"workload.contract", "workload.manifest", "boto3", "botocore", "types_boto3_s3"}),
    ("workload.staging", {"workload.contents", "workload.contract", "workload.settings", "boto3", "botocore"}),
    ("workload.entrypoint", {*RUNTIME, "zmq", "boto3", "botocore"}),
    ("workload.gang", {*RUNTIME, "zmq"}),
    (
        "workload.node",
        {"workload.contract", "workload.settings", *("workload.interfaces", "workload.ecs", "workload.record")},
    ),
    ("workload.ecs", set()),
    ("workload.interfaces", {"workload.record"}),
    ("workload.job_secrets", {"boto3", "botocore"}),
    ("workload", {"*"}),  # the programs: any library for numbers, storage or pictures; FORBIDDEN says what not
    ("tutti.core", {"workload.contract", "workload.settings", "workload.manifest", "workload.interval"}),
    ("tutti", {"*", *AGREED, *VAULT}),
    ("functions", {"boto3", "botocore", "tutti.core", "workload.contract", "workload.manifest", *VAULT}),
)
FORBIDDEN: dict[str, set[str]] = {
    "workload": {"infra", "tutti", "functions", "pulumi", "pulumi_aws"},
    "tutti": {"infra", "functions", "pulumi", "pulumi_aws", "mpi4py"},
    "infra": {"tutti", "functions", "boto3"},
    "functions": {"infra", "pulumi", "pydantic", "typer"},
}


def modules() -> Iterator[tuple[str, Path]]:
    yield "__main__", ROOT / "__main__.py"
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(path: Path, module: str) -> set[str]:
    """Every module that `path` imports, wherever in the file it does."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.split(".")[: -node.level] if path.name != "__init__.py" else module.split(".")
                base = ".".join([*package, base]).rstrip(".")
            found |= {f"{base}.{alias.name}" if base in (*PACKAGES, "workload") else base for alias in node.names}
    return found


def within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")


def offences(module: str, imported: set[str]) -> list[str]:
    allowed = next(names for prefix, names in ARROWS if within(module, prefix))
    package = module.split(".", maxsplit=1)[0]
    own = next(prefix for prefix, _ in ARROWS if within(module, prefix))
    bad = []
    for name in sorted(imported):
        top = name.split(".", maxsplit=1)[0]
        if top in STDLIB or top.startswith(TYPES_ALONE):
            continue
        ours = top in PACKAGES
        fits = (
            within(name, own)
            or any(within(name, a) for a in allowed)
            or ("*" in allowed and (not ours or top == package))
        )
        if not fits or any(within(name, f) for f in FORBIDDEN.get(package, ())):
            bad.append(f"{module} imports {name}")
    return bad


@pytest.mark.parametrize(("module", "path"), [pytest.param(m, p, id=m) for m, p in modules() if p.exists()])
def test_imports_follow_the_arrows(module: str, path: Path) -> None:
    assert not offences(module, imports(path, module))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("workload.gang.roster", "boto3"),
        ("workload.gang.roster", "numpy"),
        ("workload.entrypoint", "tutti.home"),
        ("workload.kernels.ring", "infra.config"),
        ("tutti.batch", "infra.config"),
        ("tutti.batch", "mpi4py"),
        ("tutti.core.bill", "boto3"),
        ("tutti.core.bill", "tutti.cluster"),
        ("tutti.batch", "workload.gang.roster"),
        ("infra.jobs", "tutti.home"),
        ("infra.jobs", "workload.node"),
        ("functions.recover", "pydantic"),
    ],
)
def test_a_forbidden_arrow_is_found(module: str, name: str) -> None:
    assert offences(module, {name})


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return [ROOT / name for name in listed if (ROOT / name).exists()]


def test_no_file_holds_more_than_a_concept() -> None:
    assert not [
        f"{path.relative_to(ROOT)}: {count} lines"
        for path in tracked("*.py")
        if (count := len(path.read_text().splitlines())) > MOST_LINES
    ]


def test_nothing_is_left_for_later() -> None:
    later = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b|NotImplemented" r"Error")
    assert not [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked("*.py", "*.sh", "*.md")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if later.search(line)
    ]


def test_every_test_file_is_collected() -> None:
    assert not [
        str(path.relative_to(ROOT))
        for path in tracked("tests/*.py")
        if re.search(r"^\s*def test_", path.read_text(), re.MULTILINE) and not path.name.startswith("test_")
    ]


def test_importing_the_workload_starts_nothing() -> None:
    assert not (ROOT / "workload" / "__init__.py").read_text()
