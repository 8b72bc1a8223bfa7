"""Starting and ending a job's nodes on the node host: addresses, keys, folders, environment, log streams."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import randrange
from typing import Any, Final
from urllib.parse import quote

from tutti.twin.addresses import PLACES, AddressBook, cpu_list, cpu_shares
from tutti.twin.credentials import CREDENTIALS_PATH, METADATA_PATH, KeyRing
from tutti.twin.effects import NodeKey
from tutti.twin.environment import NodePlace, Surroundings, node_environment
from tutti.twin.instances import Instances, Need
from tutti.twin.jobs import Job, Kind, Reason
from tutti.twin.logstore import LogStore
from tutti.twin.nodes import Drill, Isolation, NodeEnd, Nodes, NodeSpec
from tutti.twin.runner import Runner
from workload.contract import EVENT_MARK, Event
from workload.contract import Path as ContainerPath

DEFAULT_GROUP: Final = "/aws/batch/job"
_MIN_SHM_MIB: Final = 64


@dataclass(kw_only=True)
class _Attempt:
    """What an attempt holds while nodes of it are left."""

    addresses: list[str]
    cpus: list[tuple[int, ...]]


@dataclass(kw_only=True)
class _Running:
    address: str
    group: str
    stream: str
    task: str
    instance: str
    asked: float  # when it was asked for, Unix seconds
    lost: bool = False


class NodeHands:
    """The twin's hands. Called by the runner's effects thread; the node host reports in a thread of its own."""

    def __init__(
        self,
        *,
        runner: Runner,
        keys: KeyRing,
        logs: LogStore,
        instances: Instances,
        around: Surroundings,
        scratch: Path,
        shared: Path,
        secret: Callable[[str], str],
        log_limit: int,
    ) -> None:
        """`secret` finds the value of a secret by its ARN, and raises LookupError where there is none."""
        self._runner = runner
        self._keys = keys
        self._logs = logs
        self._instances = instances
        self._around = around
        self._scratch = scratch
        self._shared = shared
        self._secret = secret
        self._log_limit = log_limit
        self._book = AddressBook(around.isolation, first=randrange(PLACES))  # noqa: S311  apart, not secret
        self._cpus = sorted(os.sched_getaffinity(0))
        self._attempts: dict[str, _Attempt] = {}
        self._running: dict[str, _Running] = {}
        self._lock = threading.Lock()
        self.host: Nodes | None = None

    def start(self, node: NodeKey, job: Job) -> None:
        if self.host is None:
            raise RuntimeError("there is no node host")
        try:
            self.host.start(self._spec(node, job))
        except (LookupError, OSError, RuntimeError) as error:
            self.ended(NodeEnd(key=str(node), code=1, started=False, reason=f"ResourceInitializationError: {error}"))

    def term(self, node: NodeKey) -> None:
        if self.host:
            self.host.drill(str(node), Drill.TERM)

    def kill(self, node: NodeKey) -> None:
        if self.host:
            self.host.drill(str(node), Drill.KILL)

    def drill(self, node: NodeKey, action: Drill) -> None:
        """Do to a node what `tutti drill` asks for; its log says so, for whoever measures from there.

        Raises
        ------
        LookupError
            It does not run.

        """
        with self._lock:
            running = self._running.get(str(node))
            if running is None or self.host is None:
                raise LookupError(f"node {node.index} of job {node.job} does not run")
            running.lost = running.lost or action is Drill.LOSE
        now = time.time()
        self.host.drill(str(node), action)
        told = {"event": Event.DRILLED.value, "at": round(now, 3), "action": action.value}
        line = f"[{node.index}] {EVENT_MARK}{json.dumps(told, separators=(',', ':'))}"
        self._logs.append(running.group, running.stream, [(int(now * 1000), line)])

    def over(self, job: str, attempt: int) -> None:
        """Nothing of that attempt is left: its addresses and folders may go."""
        name = f"{job}.{attempt}"
        with self._lock:
            self._attempts.pop(name, None)
            self._book.release(name)
        shutil.rmtree(self._scratch / _short(job, attempt), ignore_errors=True)

    def metadata(self, path: str) -> dict[str, Any] | None:
        """What ECS's agent tells a container of itself: its address above all, for a main node has no other source.

        `path`: TASK, or TASK/task for the whole task. The twin pulls nothing: a pull takes no time.
        """
        task, _, what = path.partition("/")
        with self._lock:
            running = next((r for r in self._running.values() if r.task == task), None)
        if running is None or what not in {"", "task"}:
            return None
        network = {"NetworkMode": "awsvpc", "IPv4Addresses": [running.address]}
        container = {"DockerId": task, "Name": "default", "Networks": [network]}
        if not what:
            return container
        pulled = datetime.fromtimestamp(running.asked, UTC).isoformat().replace("+00:00", "Z")
        return {"PullStartedAt": pulled, "PullStoppedAt": pulled, "LaunchType": "EC2", "Containers": [container]}

    # ------------------------------------------------------------ reports of the host

    def started(self, key: str, _pid: int) -> None:
        with self._lock:
            running = self._running.get(key)
        if running:
            found = {"address": running.address, "stream": running.stream, "task": running.task}
            found["instance"] = running.instance
            self._runner.call(lambda engine, now: engine.node_started(NodeKey.parse(key), now, **found))

    def ended(self, end: NodeEnd) -> None:
        self._keys.dismiss(end.key)
        with self._lock:
            running = self._running.pop(end.key, None)
        lost = running is not None and running.lost
        self._instances.release(end.key, time.time(), lost=lost)
        reason = Reason.OUT_OF_MEMORY if end.out_of_memory and end.code == 137 else end.reason
        code = end.code if end.started and not lost else None
        self._runner.call(
            lambda engine, now: engine.node_ended(NodeKey.parse(end.key), now, exit_code=code, reason=reason, lost=lost)
        )

    # ------------------------------------------------------------ one node

    def _spec(self, node: NodeKey, job: Job) -> NodeSpec:
        container = job.spec.container(node.index)
        attempt = self._attempt(node, job)
        task = uuid.uuid4().hex
        group, stream = _stream(container, job, task)
        address = attempt.addresses[node.index]
        memory = job.spec.requirement(node.index, "MEMORY")
        need = Need(
            vcpus=max(1, job.spec.requirement(node.index, "VCPU")),
            memory_mib=memory,
            alone=job.kind is Kind.MULTINODE,
        )
        now = time.time()
        instance = self._instances.take(str(node), job.environment, need, now)
        with self._lock:
            self._running[str(node)] = _Running(
                address=address, group=group, stream=stream, task=task, instance=instance, asked=now
            )
        scratch = self._scratch / _short(node.job, node.attempt) / str(node.index)
        cpus = attempt.cpus[node.index]
        docker = self._around.isolation is Isolation.DOCKER
        place = NodePlace(
            index=node.index,
            address=address,
            main_address=attempt.addresses[job.spec.main],
            scratch=ContainerPath.SCRATCH if docker else str(scratch),
            cpus=cpu_list(cpus),
            credentials_path=CREDENTIALS_PATH + quote(str(node), safe=""),
            metadata_path=METADATA_PATH + task,
            token=self._keys.admit(str(node)),
            secrets={s["name"]: self._secret(s["valueFrom"]) for s in container.get("secrets", ())},
        )
        names = {host_name(a): a for a in attempt.addresses}
        return NodeSpec(
            key=str(node),
            argv=tuple(container["command"]),
            environment=node_environment(job, self._around, place),
            folder=str(scratch),
            log=str(self._logs.file(group, stream)),
            address=address,
            host_name=host_name(address),
            hosts={} if self._around.isolation is Isolation.PROCESS else names,
            image=container["image"],
            mounts={str(scratch): ContainerPath.SCRATCH, str(self._shared): ContainerPath.SHARED} if docker else {},
            shm_mib=max(_MIN_SHM_MIB, container.get("linuxParameters", {}).get("sharedMemorySize", 0)),
            cpus=cpus,
            memory_mib=memory,
            log_limit=self._log_limit,
        )

    def _attempt(self, node: NodeKey, job: Job) -> _Attempt:
        name = f"{node.job}.{node.attempt}"
        with self._lock:
            if name not in self._attempts:
                taken = {cpu for a in self._attempts.values() for share in a.cpus for cpu in share}
                free = [cpu for cpu in self._cpus if cpu not in taken]
                vcpus = max(1, job.spec.requirement(node.index, "VCPU"))
                self._attempts[name] = _Attempt(
                    addresses=self._book.allot(name, job.spec.nodes),
                    cpus=cpu_shares(free, job.spec.nodes, vcpus),
                )
            return self._attempts[name]


def host_name(address: str) -> str:
    """As EC2 names an instance by its address."""
    return f"ip-{address.replace('.', '-')}"


def _short(job: str, attempt: int) -> str:
    """A short folder name: sockets' paths are limited to 107 bytes. Array children keep their index."""
    base, _, index = job.partition(":")
    return f"{base[:13]}{'-' + index if index else ''}.{attempt}"


def _stream(container: Mapping[str, Any], job: Job, task: str) -> tuple[str, str]:
    """Log group and stream, as Batch builds them (aws-batch-facts section 9)."""
    options = container.get("logConfiguration", {}).get("options", {})
    name = job.spec.definition.rpartition("/")[2].partition(":")[0]
    prefix = options.get("awslogs-stream-prefix") or name[:200]
    return options.get("awslogs-group", DEFAULT_GROUP), f"{prefix}/default/{task}"
