"""The tag of a built image: a digest of everything that goes into its build. Pure but for reading files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from docker.utils.build import exclude_paths  # type: ignore[import-untyped]  # the Docker SDK has no types

DIGITS: Final = 16


class ContextError(Exception):
    """A build context that cannot be read."""


def content_tag(context: Path, dockerfile: Path, *, target: str, platform: str, build_args: Mapping[str, str]) -> str:
    """A tag that is the same for the same content: repositories are immutable, so every other content needs another.

    Files that `.dockerignore` leaves out do not count, as Docker does not see them; times and owners do not either.

    Raises
    ------
    ContextError
        The context or the Dockerfile is not there.
    """
    for path, what in ((context, "a folder"), (dockerfile, "a file")):
        if not path.exists():
            raise ContextError(f"images: {path} is not there; allowed: {what} of the project, named from its root")
    ignore = context / ".dockerignore"
    patterns = [line for line in _lines(ignore) if line and not line.startswith("#")] if ignore.exists() else []
    digest = hashlib.sha256()
    for name in sorted(exclude_paths(str(context), patterns)):
        path = context / name
        if path.is_symlink():
            _add(digest, name, f"-> {path.readlink()}".encode())
        elif path.is_file():
            mode = "x" if os.access(path, os.X_OK) else "-"
            _add(digest, f"{mode} {name}", path.read_bytes())
    _add(digest, "Dockerfile", dockerfile.read_bytes())
    for key, value in (("target", target), ("platform", platform), *sorted(build_args.items())):
        _add(digest, key, value.encode())
    return digest.hexdigest()[:DIGITS]


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text().splitlines()]


def _add(digest: hashlib._Hash, name: str, content: bytes) -> None:
    digest.update(f"{name}\0{len(content)}\0".encode())
    digest.update(content)
