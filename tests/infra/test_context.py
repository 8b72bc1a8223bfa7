"""An image's tag changes with its content, and with nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from infra.context import ContextError, content_tag


@pytest.fixture
def context(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "main.py").write_text("print(1)")
    (tmp_path / "notes.txt").write_text("not for the image")
    (tmp_path / "Dockerfile").write_text("FROM scratch")
    (tmp_path / ".dockerignore").write_text("# only the app\n*\n!app\n")
    return tmp_path


def tag(context: Path, **changes: Any) -> str:
    given: dict[str, Any] = {"target": "runtime", "platform": "linux/amd64", "build_args": {}}
    return content_tag(context, context / "Dockerfile", **{**given, **changes})


def test_the_same_content_has_the_same_tag(context: Path) -> None:
    before = tag(context)
    os.utime(context / "app" / "main.py", (0, 0))
    assert tag(context) == before


def test_what_docker_does_not_see_does_not_count(context: Path) -> None:
    before = tag(context)
    (context / "notes.txt").write_text("changed")
    assert tag(context) == before


@pytest.mark.parametrize("change", ["content", "name", "mode", "dockerfile", "target", "platform", "argument", "link"])
def test_every_other_content_has_another_tag(context: Path, change: str) -> None:
    before = tag(context)
    more: dict[str, Any] = {}
    main = context / "app" / "main.py"
    match change:
        case "content":
            main.write_text("print(2)")
        case "name":
            main.rename(context / "app" / "other.py")
        case "mode":
            main.chmod(0o755)
        case "dockerfile":
            (context / "Dockerfile").write_text("FROM debian")
        case "link":
            (context / "app" / "link").symlink_to("main.py")
        case "argument":
            more = {"build_args": {"EFA": "1"}}
        case _:
            more = {change: "other"}
    assert tag(context, **more) != before


def test_a_context_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ContextError, match=r"images: .*nowhere is not there"):
        tag(tmp_path / "nowhere")
