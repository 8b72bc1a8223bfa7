"""Nodes as containers of a real image, through the `docker` command: the same surface as `NodeHost`.

Each container is on two networks: that of the nodes, and a link-local one whose gateway is 169.254.170.2, where ECS
answers with a task's credentials. What it made is labelled, and removed when it closes or starts again.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tutti.twin.nodes.client import NodeHostError
from tutti.twin.nodes.logfile import LogWriter
from tutti.twin.nodes.spec import Drill, Isolation, NodeEnd, NodeSpec

NODES_SUBNET: Final = "10.78.0.0/16"
NODES_GATEWAY: Final = "10.78.0.1"
ECS_SUBNET: Final = "169.254.170.0/24"
ECS_GATEWAY: Final = "169.254.170.2"
_LABEL: Final = "tutti.twin"
_CHUNK: Final = 64 * 1024
_NO_IMAGE: Final = ("No such image", "pull access denied", "Unable to find image", "failed to resolve")


class DockerHost:
    """All containers of one twin. A thread for each node runs it and keeps its log."""

    def __init__(
        self,
        *,
        name: str,
        on_start: Callable[[str, int], None] = lambda _key, _pid: None,
        on_end: Callable[[NodeEnd], None] = lambda _end: None,
    ) -> None:
        """Make the networks.

        Raises
        ------
        NodeHostError
            No engine answers, or the networks' addresses are taken.

        """
        self.isolation = Isolation.DOCKER
        self.contained = "docker"
        self.pid_namespace = True
        self._name = name
        self._on_start = on_start
        self._on_end = on_end
        self._nodes: dict[str, threading.Thread] = {}
        self._lock = threading.Lock()
        if (asked := _docker("version", "--format", "{{.Server.Version}}")).returncode:
            raise NodeHostError(f"no Docker engine answers: {_last_line(asked.stderr)}")
        self._remove_all()
        for network, subnet, gateway in (
            (f"{name}-nodes", NODES_SUBNET, NODES_GATEWAY),
            (f"{name}-ecs", ECS_SUBNET, ECS_GATEWAY),
        ):
            made = _docker(
                *("network", "create", "--label", f"{_LABEL}={name}", "--subnet", subnet, "--gateway", gateway, network)
            )
            if made.returncode:
                self._remove_all()
                raise NodeHostError(f"network {subnet} cannot be made: {_last_line(made.stderr)}")

    def start(self, spec: NodeSpec) -> None:
        """Ask for a node; its start and its end are reported."""
        thread = threading.Thread(target=self._run, args=[spec], name=f"container-{spec.key}", daemon=True)
        with self._lock:
            self._nodes[spec.key] = thread
        thread.start()

    def drill(self, key: str, action: Drill) -> None:
        """Do `action` to the node; to one that has ended meanwhile it does nothing."""
        container = self._container(key)
        network = f"{self._name}-nodes"
        match action:
            case Drill.KILL:
                _docker("kill", container)
            case Drill.TERM:
                _docker("kill", "--signal", "TERM", container)
            case Drill.STOP:
                _docker("pause", container)
            case Drill.CONT:
                _docker("unpause", container)
            case Drill.CUT:
                _docker("network", "disconnect", network, container)
            case Drill.MEND:
                address = _docker("inspect", "--format", f'{{{{index .Config.Labels "{_LABEL}.address"}}}}', container)
                _docker("network", "connect", "--ip", address.stdout.strip(), network, container)
            case Drill.LOSE:
                _docker("network", "disconnect", "--force", network, container)
                _docker("kill", container)

    def listen(self, address: str, port: int) -> socket.socket:
        """A listening socket on a gateway's address, which containers reach."""
        return socket.create_server((address, port), backlog=1024)

    def close(self) -> None:
        """End all containers; returns when they and their networks are gone."""
        with self._lock:
            threads = list(self._nodes.values())
        self._remove_all(networks=False)
        for thread in threads:
            thread.join(30)
        self._remove_all()

    def _container(self, key: str) -> str:
        return f"{self._name}-{key.replace('#', '-').replace(':', '-')}"

    def _run(self, spec: NodeSpec) -> None:
        log = LogWriter(Path(spec.log), spec.log_limit)
        try:
            end = self._run_logged(spec, log)
        except (OSError, subprocess.SubprocessError) as error:
            end = NodeEnd(key=spec.key, code=127, started=False, reason=f"CannotStartContainerError: {error}")
        if end.reason:
            log.say(end.reason)
        log.close()
        with self._lock:
            self._nodes.pop(spec.key, None)
        self._on_end(end)

    def _run_logged(self, spec: NodeSpec, log: LogWriter) -> NodeEnd:
        container = self._container(spec.key)
        Path(spec.folder).mkdir(parents=True, exist_ok=True)
        Path(spec.folder).chmod(0o777)  # the image's user is not the desk's
        made = self._create(spec, container)
        if not made.returncode:
            made = _docker("network", "connect", f"{self._name}-ecs", container)
        if not made.returncode:
            made = _docker("start", container)
        if made.returncode:
            _docker("rm", "--force", container)
            kind = "CannotPull" if any(mark in made.stderr for mark in _NO_IMAGE) else "CannotStart"
            reason = f"{kind}ContainerError: {_last_line(made.stderr)}"
            return NodeEnd(key=spec.key, code=127, started=False, reason=reason)
        self._on_start(spec.key, 0)
        with subprocess.Popen(
            ["docker", "logs", "--follow", container], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
        ) as follower:
            if follower.stdout is not None:
                while data := os.read(follower.stdout.fileno(), _CHUNK):
                    log.feed(data)
        code = _docker("wait", container).stdout.strip()
        memory = _docker("inspect", "--format", "{{.State.OOMKilled}}", container).stdout.strip()
        _docker("rm", "--force", container)
        return NodeEnd(
            key=spec.key, code=int(code) if code.isdigit() else 137, out_of_memory=memory == "true", leftovers=0
        )

    def _create(self, spec: NodeSpec, container: str) -> subprocess.CompletedProcess[str]:
        files = min(spec.open_files, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        options = {
            "--name": container,
            "--hostname": spec.host_name,
            "--network": f"{self._name}-nodes",
            "--ip": spec.address,
            "--shm-size": f"{spec.shm_mib}m",
            "--pids-limit": str(spec.processes),
            "--security-opt": "no-new-privileges",
        }
        if spec.memory_mib:
            options |= {"--memory": f"{spec.memory_mib}m", "--memory-swap": f"{spec.memory_mib}m"}
        if spec.cpus:
            options["--cpuset-cpus"] = ",".join(map(str, spec.cpus))
        words = [word for pair in options.items() for word in pair]
        words += ["--no-healthcheck", "--ulimit", f"nofile={files}:{files}", "--ulimit", "core=0"]
        words += ["--label", f"{_LABEL}={self._name}", "--label", f"{_LABEL}.address={spec.address}"]
        for source, target in spec.mounts.items():
            words += ["--volume", f"{source}:{target}"]
        for name, address in spec.hosts.items():
            words += ["--add-host", f"{name}:{address}"]
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
            # A file, for arguments can be read by everybody; what has several lines goes through the command's own
            # environment, for a file cannot hold it.
            plain = {n: v for n, v in spec.environment.items() if "\n" not in v}
            other = {n: v for n, v in spec.environment.items() if "\n" in v}
            file.writelines(f"{name}={value}\n" for name, value in plain.items())
            file.flush()
            for name in other:
                words += ["--env", name]
            return _docker("create", "--env-file", file.name, *words, spec.image, *spec.argv, environment=other)

    def _remove_all(self, *, networks: bool = True) -> None:
        mine = f"label={_LABEL}={self._name}"
        if left := _docker("ps", "--all", "--quiet", "--filter", mine).stdout.split():
            _docker("rm", "--force", *left)
        if networks and (left := _docker("network", "ls", "--quiet", "--filter", mine).stdout.split()):
            _docker("network", "rm", *left)


def said_by(image: str, script: str) -> str:
    """What a shell script writes in a container of `image`; empty where that cannot be run."""
    return _docker("run", "--rm", "--network", "none", "--entrypoint", "sh", image, "-c", script).stdout


def _docker(*words: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    with contextlib.suppress(FileNotFoundError):
        return subprocess.run(
            ["docker", *words],
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    return subprocess.CompletedProcess(["docker", *words], 127, "", "there is no docker command")


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no reason given"
