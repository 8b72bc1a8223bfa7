"""`tutti why` and `tutti doctor` as users call them, on an account that a test puts into a state."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.tutti.why.account import JOB, Account, AnsweredCluster
from tutti.cli.main import main
from tutti.cluster import Cluster

Told = Callable[..., Any]


@pytest.fixture(scope="session")
def answered() -> AnsweredCluster:
    """One for all tests: to read EC2's model takes half a second."""
    return AnsweredCluster()


@pytest.fixture
def account(answered: AnsweredCluster, monkeypatch: pytest.MonkeyPatch) -> Account:
    found = Account()
    monkeypatch.setattr(Cluster, "current", lambda *_, **__: answered.of(found))
    return found


@pytest.fixture
def told(account: Account, capsys: pytest.CaptureFixture[str]) -> Told:
    """`tutti WORDS... --json`, parsed."""

    def run(*words: str) -> Any:
        with pytest.raises(SystemExit):
            main((*words, "--json"))
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def why(told: Told) -> Told:
    """`tutti why`'s answer for the account's job."""
    return lambda job=JOB: told("why", job)
