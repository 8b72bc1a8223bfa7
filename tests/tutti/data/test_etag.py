"""ETags as S3 makes them, told from a file's content."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tutti.data.etag import MIB, etag_of_parts, is_content


def etag(content: bytes, part: int | None) -> str:
    if part is None:
        return hashlib.md5(content, usedforsecurity=False).hexdigest()
    parts = [content[at : at + part] for at in range(0, len(content), part)]
    return etag_of_parts([hashlib.md5(p, usedforsecurity=False).digest() for p in parts])


@pytest.mark.parametrize("part", [None, 5 * MIB, 8 * MIB, 16 * MIB])
@pytest.mark.parametrize("size", [1, 8 * MIB, 17 * MIB + 3])
def test_the_content_is_known_by_the_etag_whatever_the_parts_were(tmp_path: Path, size: int, part: int | None) -> None:
    content = bytes(range(251)) * (size // 251 + 1)
    file = tmp_path / "file"
    file.write_bytes(content[:size])
    assert is_content(file, etag(content[:size], part))
    assert not is_content(file, etag(content[1 : size + 1] + b"x", part))


def test_an_empty_file_and_an_etag_that_says_nothing(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    assert is_content(file, etag(b"", None))
    assert not is_content(file, "")
    assert not is_content(file, "not-an-etag")
