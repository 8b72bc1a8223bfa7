"""What happens in a gang, as it is said to people."""

from __future__ import annotations

from typing import Any

import pytest

from tutti.core.events import Happening, in_words
from workload.contract import Event


@pytest.mark.parametrize(
    ("event", "fields", "words"),
    [
        (Event.ASSEMBLED, {"nodes": 1, "seconds": 0.2}, "assembled: 1 node in 0.2 s"),
        (Event.ASSEMBLED, {"nodes": 12}, "assembled: 12 nodes"),
        (Event.LAUNCHED, {"ranks": 1, "mpi": "mpich"}, "launched: 1 rank with mpich"),
        (Event.LAUNCHED, {"ranks": 2, "mpi": "mpich"}, "launched: 2 ranks with mpich"),
    ],
)
def test_one_node_is_no_nodes(event: Event, fields: dict[str, Any], words: str) -> None:
    assert in_words(Happening(event=event, at=0.0, node=0, fields=fields)) == words
