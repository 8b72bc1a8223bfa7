"""What the twin's tests share."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tutti.twin.nodes import Isolation, NodeHost, NodeHostError, NodeSpec


def start_host(isolation: Isolation, *, user_namespace: bool | None = None) -> NodeHost:
    """A node host; where this machine does not permit it: a failure in CI, a skip elsewhere."""
    try:
        return NodeHost(isolation, name=f"tutti-test-{uuid4().hex[:8]}", user_namespace=user_namespace)
    except NodeHostError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))


@pytest.fixture
def process_host() -> Iterator[NodeHost]:
    with start_host(Isolation.PROCESS) as host:
        yield host


@pytest.fixture
def netns_host() -> Iterator[NodeHost]:
    with start_host(Isolation.NETNS) as host:
        yield host


@pytest.fixture(params=["process", "netns", "netns in a user namespace"])
def any_host(request: pytest.FixtureRequest) -> Iterator[NodeHost]:
    isolation = Isolation(request.param.split()[0])
    with start_host(isolation, user_namespace="user" in request.param or None) as host:
        yield host


@pytest.fixture
def node_spec(tmp_path: Path) -> Callable[..., NodeSpec]:
    """`node_spec(N, *argv, **fields)`: node N, with its own address, folder and log."""

    def make(index: int, *argv: str, **fields: Any) -> NodeSpec:
        defaults: dict[str, Any] = {
            "environment": {"PATH": os.environ["PATH"]},
            "folder": str(tmp_path / f"node-{index}"),
            "log": str(tmp_path / f"node-{index}.log"),
            "address": f"10.77.1.{index + 1}",
            "host_name": f"node-{index}",
        }
        return NodeSpec(key=f"job#{index}", argv=argv, **{**defaults, **fields})

    return make
