"""How often a function is called for one event, as Lambda calls it."""

from __future__ import annotations

import threading
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from tutti.twin.functions import AGAIN_S, Ended, Functions
from tutti.twin.logstore import LogStore
from tutti.twin.moto_app import Moto


class Told(Functions):
    """Functions that end as they are told."""

    def __init__(self, folder: Path, *errors: bool) -> None:
        moto = Moto(lambda: None, lambda _call, _status: None)
        super().__init__(moto, LogStore(folder), dict, account="1", region="r", again_s=(0.0, 0.0))
        self._errors = [*errors]
        self.heard: SimpleQueue[str] = SimpleQueue()

    def run(self, name: str, event: str) -> Ended:
        self.heard.put(f"{name} {event}")
        return Ended(answer="", error=self._errors.pop(0))

    def _find(self, name: str) -> Any:
        return name


@pytest.mark.parametrize("errors", [(True, True, True), (True, False), (False,)])
def test_what_fails_on_an_event_is_called_twice_more_and_what_is_good_is_not(
    tmp_path: Path, errors: tuple[bool, ...]
) -> None:
    functions = Told(tmp_path, *errors)
    functions.start("f", "{}")
    for thread in [t for t in threading.enumerate() if t.name == "function-f"]:
        thread.join(10)
    assert [functions.heard.get_nowait() for _ in errors] == ["f {}"] * len(errors)
    assert functions.heard.empty()


def test_the_pauses_are_lambdas() -> None:
    assert AGAIN_S == (60, 120)
