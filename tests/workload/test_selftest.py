"""The image's self-test names what is missing, and finds nothing wrong where all is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from workload import selftest


def executable(folder: Path, name: str) -> None:
    path = folder / name
    path.write_text("#!/bin/sh\necho version 1\n")
    path.chmod(0o755)


def test_an_image_without_a_launcher_is_not_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert any("no MPI launcher" in problem for problem in selftest.problems())


def test_an_image_that_one_could_log_into_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    executable(tmp_path, "mpiexec")
    executable(tmp_path, "sshd")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert [problem for problem in selftest.problems() if "sshd is in the image" in problem]


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "NEEDED", ("workload.contract", "no_such_package", "no_such.module"))
    found = [problem for problem in selftest.problems() if "Python package" in problem]
    assert found == ["the Python package no_such_package is missing", "the Python package no_such.module is missing"]
