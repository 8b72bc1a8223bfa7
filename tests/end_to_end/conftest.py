"""A twin for whole jobs: submitted by the client, run by the gang's runtime, broken by drills."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tutti.cluster import Cluster
from tutti.home import Home
from tutti.twin import control
from tutti.twin.nodes import Isolation
from tutti.twin.options import TwinOptions
from workload.contract import Mpi


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """The home of a running twin whose nodes are plain processes."""
    home = Home(root=tmp_path_factory.mktemp("whole-jobs"))
    control.up(home, TwinOptions(isolation=Isolation.PROCESS, child_spread_s=0.05))
    yield home
    control.down(home)


@pytest.fixture
def cluster(desk: Home) -> Cluster:
    return Cluster.current({"TUTTI_HOME": str(desk.root)})


@pytest.fixture
def shared(desk: Home) -> Path:
    """The twin's shared folder, as its nodes see it."""
    return Path(control.call(desk, "status")["shared"])


@pytest.fixture(params=[Mpi.MPICH, Mpi.OPENMPI])
def mpi(request: pytest.FixtureRequest, cluster: Cluster) -> Mpi:
    """The MPI under test: skips (in CI: fails) where the twin's nodes have none."""
    name = Mpi(request.param)
    if name not in cluster.card.definitions[0].mpis:
        why = f"the twin's nodes have no {name}: `make test` installs it"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    return name
