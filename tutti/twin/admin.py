"""The twin's own calls, which no AWS service has: drills, shortages, its state, its end. Signed like all others."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from tutti.twin.api.errors import ApiError
from tutti.twin.effects import NodeKey
from tutti.twin.engine import Engine
from tutti.twin.front import Answer, Call
from tutti.twin.hands import NodeHands
from tutti.twin.jobs import ON_NODES, WAITING, Kind
from tutti.twin.nodes import Drill, NodeHostError
from tutti.twin.registry import Registry
from tutti.twin.runner import Runner

PATH: Final = "/tutti/admin/"
DELAY: Final = "delay"


class Admin:
    def __init__(
        self,
        *,
        runner: Runner,
        registry: Registry,
        hands: NodeHands,
        about: Callable[[], dict[str, Any]],
        stop: threading.Event,
    ) -> None:
        """`about` says what the twin is; `stop` is set when it is to end."""
        self._runner = runner
        self._registry = registry
        self._hands = hands
        self._about = about
        self._stop = stop

    def __call__(self, call: Call) -> Answer:
        request = json.loads(call.body or b"{}")
        match call.path.removeprefix(PATH):
            case "status":
                return Answer.of_json(self._status())
            case "drill":
                return Answer.of_json(self._drill(**request))
            case "shortage":
                return Answer.of_json(self._shortage(**request))
            case "down":
                self._stop.set()
                return Answer.of_json({})
        raise ApiError(f"{call.path} is no call of the twin", code="NotFound", status=404)

    def _status(self) -> dict[str, Any]:
        def count(engine: Engine, _now: float) -> dict[str, Any]:
            jobs = [j for j in engine.jobs.values() if j.kind is not Kind.ARRAY]
            return {
                "waiting": sum(j.status in WAITING for j in jobs),
                "running": sum(j.status in ON_NODES for j in jobs),
                "jobs": len(jobs),
                "used_vcpus": dict(engine.used_vcpus()),
            }

        return {**self._about(), **self._runner.call(count), "shortages": sorted(self._registry.shortages)}

    def _drill(self, *, job: str, node: int, action: str, seconds: float = 0.0) -> dict[str, Any]:
        def find(engine: Engine, _now: float) -> NodeKey:
            found = engine.jobs.get(job)
            if found is None:
                raise ApiError(f"there is no job {job}", code="NotFound", status=404)
            if not 0 <= node < found.spec.nodes:
                raise ApiError(f"node {node}: job {job} has nodes 0 to {found.spec.nodes - 1}")
            if action == DELAY:
                engine.delays[job, node] = seconds
            return NodeKey(job, found.attempt, node)

        key = self._runner.call(find)
        at = time.time()
        if action != DELAY:
            try:
                self._hands.drill(key, Drill(action))
            except (LookupError, ValueError, NodeHostError) as error:
                raise ApiError(str(error)) from error
        return {"job": job, "node": node, "attempt": key.attempt, "action": action, "at": at}

    def _shortage(self, *, queue: str, on: bool) -> dict[str, Any]:
        document = self._registry.queue(queue)
        if document is None:
            known = ", ".join(sorted(self._registry.queues))
            raise ApiError(f"there is no queue {queue}; queues: {known}", code="NotFound", status=404)
        first = min(document["computeEnvironmentOrder"], key=lambda e: int(e["order"]))
        name = first["computeEnvironment"].rpartition("/")[2]
        (self._registry.shortages.add if on else self._registry.shortages.discard)(name)
        self._runner.refresh()
        return {"environment": name, "shortage": on}
