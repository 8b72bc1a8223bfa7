"""The whole program: what `dev` makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def test_dev(stack: Callable[..., Any]) -> None:
    dev = stack()
    assert dev.outputs["card"]
    print(len(dev.resources))
