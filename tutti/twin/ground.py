"""What nodes stand on: the isolation that can be had, and how from there the twin is reached."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from tutti.twin import cluster
from tutti.twin.environment import INHERITED, Surroundings
from tutti.twin.nodes import Isolation, NodeEnd, NodeHost, NodeHostError, Nodes
from tutti.twin.nodes.docker import ECS_GATEWAY, NODES_GATEWAY, DockerHost, said_by
from tutti.twin.nodes.network import BRIDGE_ADDRESS, CREDENTIALS_ADDRESS
from tutti.twin.options import TwinOptions
from tutti.twin.place import TwinPlace
from tutti.twin.server import Server
from workload.contract import SHARED_FOLDERS, Mpi
from workload.contract import Path as ContainerPath

_LOG = logging.getLogger(__name__)
_ASK_EVERY_MPI = (
    "for m in $(ls /usr/bin/mpiexec* /usr/local/bin/mpiexec* 2>/dev/null) mpiexec; do $m --version; done 2>/dev/null"
)


def node_host(
    options: TwinOptions, name: str, on_start: Callable[[str, int], None], on_end: Callable[[NodeEnd], None]
) -> Nodes:
    """What was asked for; where nothing was, namespaces if they can be had, else plain processes.

    Raises
    ------
    NodeHostError
        What was asked for cannot be had here.

    """
    if options.isolation is Isolation.DOCKER:
        return DockerHost(name=name, on_start=on_start, on_end=on_end)
    if options.isolation is not None:
        return NodeHost(options.isolation, name=name, on_start=on_start, on_end=on_end)
    try:
        return NodeHost(Isolation.NETNS, name=name, on_start=on_start, on_end=on_end)
    except NodeHostError as error:
        _LOG.warning("%s; nodes are plain processes", error)
        return NodeHost(Isolation.PROCESS, name=name, on_start=on_start, on_end=on_end)


def surroundings(host: Nodes, place: TwinPlace, endpoint: str, server: Server) -> Surroundings:
    """What all nodes are told, once the twin answers in their network too, and the shared folder is there."""
    credentials = endpoint
    port = int(endpoint.rpartition(":")[2])
    if host.isolation is Isolation.NETNS:
        for address, number in ((str(BRIDGE_ADDRESS.ip), port), (str(CREDENTIALS_ADDRESS.ip), 80)):
            server.serve(host.listen(address, number), from_nodes=True)
        endpoint, credentials = f"http://{BRIDGE_ADDRESS.ip}:{port}", f"http://{CREDENTIALS_ADDRESS.ip}"
    elif host.isolation is Isolation.DOCKER:
        for address in (NODES_GATEWAY, ECS_GATEWAY):
            server.serve(host.listen(address, port), from_nodes=True)
        endpoint, credentials = f"http://{NODES_GATEWAY}:{port}", f"http://{ECS_GATEWAY}:{port}"
    for folder in SHARED_FOLDERS:
        path = place.shared / folder
        path.mkdir(parents=True, exist_ok=True)
        if host.isolation is Isolation.DOCKER:
            path.chmod(0o777)  # the image's user is not the desk's
    return Surroundings(
        isolation=host.isolation,
        marker=place.name,
        path=node_path(),
        inherited={name: os.environ[name] for name in INHERITED if name in os.environ},
        region=cluster.REGION,
        shared=shared(host, place),
        endpoint=endpoint,
        credentials=credentials,
    )


def shared(host: Nodes, place: TwinPlace) -> str:
    """The shared folder as nodes see it."""
    return ContainerPath.SHARED if host.isolation is Isolation.DOCKER else str(place.shared)


def mpis(host: Nodes, image: str) -> tuple[Mpi, ...]:
    """MPI implementations that nodes have."""
    if host.isolation is Isolation.DOCKER:
        return cluster.mpis_in(said_by(image, _ASK_EVERY_MPI))
    return cluster.mpis_on(node_path())


def node_path() -> str:
    """PATH of nodes: this installation's programs, an Open MPI beside it, then the desk's own."""
    own = Path(sys.executable).parent
    beside = own.parent.parent / ".mpi" / "openmpi" / "bin"
    return os.pathsep.join([str(own), *([str(beside)] if beside.is_dir() else []), os.environ.get("PATH", os.defpath)])
