"""What submits what waits for jobs' ends (`--after ID:any`): the stack's function and its rule, made when needed.

The function runs at each end that something waits for. On AWS it runs at every end of the group's, to the same effect:
a Python process for each of ten thousand ends is nothing that a desk should bear.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any, Final

from tutti.core.waiting import Folder, Waiting, owner
from tutti.twin import cluster
from tutti.twin.front import Call
from tutti.twin.moto_app import Moto
from tutti.twin.registry import Place
from workload import notices
from workload.contract import Variable

TIMEOUT_S: Final = 30
_HANDLER: Final = "functions.follow.handler"


class Follower:
    """Knows what waits from the objects that are written and deleted."""

    def __init__(self, moto: Moto, place: Place) -> None:
        self._moto = moto
        self._place = place
        self._lock = threading.Lock()
        self._awaited: dict[str, frozenset[str]] = {}  # jobs by key

    def restore(self) -> bool:
        """Read what waited when the twin stopped; whether anything did."""
        self._moto.ready()
        for key in list(self._objects()):
            self._add(key)
        return bool(self._awaited)

    def note(self, call: Call) -> bool:
        """Follow a request to S3 that was answered; whether it left something that waits."""
        bucket, _, key = call.path.lstrip("/").partition("/")
        if bucket == cluster.BUCKET and call.method == "PUT":
            return self._add(key)
        if bucket == cluster.BUCKET and call.method == "DELETE":
            with self._lock:
                self._awaited.pop(key, None)
        return False

    def hears(self, event: str) -> bool:
        """Whether an event is of a job that something waits for."""
        job = json.loads(event).get("detail", {}).get("jobId")
        with self._lock:
            return any(job in jobs for jobs in self._awaited.values())

    def furnish(self, queues: Sequence[str]) -> None:
        """Make the function and its rule, as the stack does. `queues`: ARNs."""
        self._moto.ready()
        from moto.awslambda.models import lambda_backends  # noqa: PLC0415  moto is loaded late on purpose
        from moto.events.models import events_backends  # noqa: PLC0415  the same
        from moto.iam.models import iam_backends  # noqa: PLC0415  the same

        role = iam_backends[self._place.account]["aws"].create_role(
            role_name=cluster.FOLLOWER,
            assume_role_policy_document="{}",
            path="/",
            permissions_boundary=None,
            description="",
            tags=[],
            max_session_duration=None,
        )
        function = lambda_backends[self._place.account][self._place.region].create_function(
            {
                "FunctionName": cluster.FOLLOWER,
                "Handler": _HANDLER,
                "Role": role.arn,
                "Runtime": "python3.13",
                "Timeout": TIMEOUT_S,
                "Code": {"ZipFile": b""},
                "Environment": {
                    "Variables": {Variable.BUCKET.value: cluster.BUCKET, Variable.WAITING.value: cluster.WAITING}
                },
            }
        )
        pattern = notices.pattern(queues, [notices.STATE_CHANGE], notices.ENDED)
        rules = events_backends[self._place.account][self._place.region]
        rules.put_rule(cluster.FOLLOWER, event_pattern=json.dumps(pattern))
        rules.put_targets(cluster.FOLLOWER, None, [{"Id": "follower", "Arn": function.function_arn}])

    def _add(self, key: str) -> bool:
        """Note what lies at a key; whether it waits."""
        if (whose := owner(cluster.WAITING, Folder.WAITING, key)) is None:
            return False
        try:
            waiting = Waiting.from_text(self._objects()[key].value.decode(), user=whose[0], name=whose[1])
        except (KeyError, ValueError):  # gone again, or nothing of ours
            return False
        with self._lock:
            self._awaited[key] = frozenset(waiting.after)
        return True

    def _objects(self) -> Any:
        from moto.s3.models import s3_backends  # noqa: PLC0415  moto is loaded late on purpose

        return s3_backends[self._place.account]["aws"].buckets[cluster.BUCKET].keys
