"""What a stack has beside Batch, logs and data: events, the notices' topic, schedules, functions, prices."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tutti.twin import cluster
from tutti.twin.agenda import Agenda, Document
from tutti.twin.api.errors import ApiError
from tutti.twin.api.pricing import TARGET, Pricing
from tutti.twin.api.scheduler import SUBMIT, Scheduler, submission
from tutti.twin.credentials import Keys
from tutti.twin.events import EventBridge
from tutti.twin.follower import Follower
from tutti.twin.front import Answer, Call, Part
from tutti.twin.functions import Functions
from tutti.twin.logstore import LogStore
from tutti.twin.moto_app import Moto
from tutti.twin.registry import Place
from tutti.twin.store import Store
from tutti.twin.targets import Targets
from workload import notices

_TRIES: Final = 60  # of a submission that comes while Batch has too many, a second apart


class Beside:
    """Made before the twin answers; acts from `start` on."""

    def __init__(self, *, moto: Moto, logs: LogStore, store: Store, place: Place, keys: Keys) -> None:
        self._moto = moto
        self._place = place
        self._keys = keys
        self._endpoint = ""
        self._furnished = threading.Lock()
        where = {"account": place.account, "region": place.region}
        self._functions = Functions(moto, logs, self._as_a_function, account=place.account, region=place.region)
        self._targets = Targets(moto, logs, self._invoke, **where)
        self._follower = Follower(moto, place)
        self._follows = False
        self.events = EventBridge(moto, self._targets, **where)
        self._agenda = Agenda(store)
        self._queues: Sequence[str] = ()
        self._submit: Callable[[dict[str, Any]], Any] | None = None

    def start(self, endpoint: str, queues: Sequence[str], submit: Callable[[dict[str, Any]], Any]) -> None:
        """`submit`: Batch's SubmitJob, for schedules; `queues`: the stack's; `endpoint`: as functions find it."""
        self._endpoint, self._queues, self._submit = endpoint, queues, submit
        self._agenda.start(self._act)
        threading.Thread(target=self._catch_up, name="follower", daemon=True).start()

    def note(self, call: Call) -> None:
        """Follow a request to S3 that was answered."""
        if self._follower.note(call):
            self._follow()

    def close(self) -> None:
        self._agenda.close()
        self.events.close()

    def parts(self) -> dict[str, Part]:
        """What answers, by the service that a call is signed for."""
        scheduler = Scheduler(self._agenda, self._place, (cluster.SCHEDULES,))
        pricing = Pricing(self._place.region)

        def answer_scheduler(call: Call) -> Answer:
            return Answer.of_json(scheduler.answer(call.method, call.path, call.query, call.body))

        def answer_pricing(call: Call) -> Answer:
            return Answer.of_json(pricing.answer(call.headers.get("x-amz-target", "").removeprefix(TARGET), call.body))

        return {
            "scheduler": answer_scheduler,
            "pricing": answer_pricing,
            "lambda": self._functions.answer,
            "sns": self._furnish,
            "events": self._furnish,
        }

    def _furnish(self, _call: Call | None = None) -> None:
        """Make the topic and its rule before anybody looks for them: not at the start, they take 0.3 s to load."""
        with self._furnished:
            if self.events.listening:
                return
            self._moto.ready()
            from moto.events.models import events_backends  # noqa: PLC0415  moto is loaded late on purpose
            from moto.sns.models import sns_backends  # noqa: PLC0415  the same

            sns_backends[self._place.account][self._place.region].create_topic(cluster.TOPIC.rpartition(":")[2])
            pattern = notices.pattern(self._queue_arns(), [notices.STATE_CHANGE], notices.ENDED, notices.ASKED_FOR)
            transformer = {"InputPathsMap": notices.paths(notices.TEXT), "InputTemplate": notices.TEXT}
            rules = events_backends[self._place.account][self._place.region]
            rules.put_rule(cluster.ENDED_RULE, event_pattern=json.dumps(pattern))
            target = {"Id": "notices", "Arn": cluster.TOPIC, "InputTransformer": transformer}
            rules.put_targets(cluster.ENDED_RULE, None, [target])
            self.events.listening = True

    def _follow(self) -> None:
        """Make what submits what waits: not at the start, for it takes as long as the topic."""
        self._furnish()
        with self._furnished:
            if not self._follows:
                self._follower.furnish(self._queue_arns())
                self._follows = True

    def _catch_up(self) -> None:
        """Jobs that something waits for may have ended with the twin's last life, and no event tells it."""
        if self._follower.restore():
            self._follow()
            self._functions.start(cluster.FOLLOWER, "{}")

    def _invoke(self, name: str, event: str) -> None:
        if name != cluster.FOLLOWER or self._follower.hears(event):
            self._functions.start(name, event)

    def _queue_arns(self) -> list[str]:
        return [self._place.arn("job-queue", name) for name in self._queues]

    def _as_a_function(self) -> Mapping[str, str]:
        return {
            "AWS_ENDPOINT_URL": self._endpoint,
            "AWS_REGION": self._place.region,
            "AWS_DEFAULT_REGION": self._place.region,
            "AWS_ACCESS_KEY_ID": self._keys.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self._keys.secret_access_key,
        }

    def _act(self, schedule: Document) -> None:
        """What a schedule is for, now."""
        target = schedule["Target"]
        if target["Arn"] != SUBMIT:
            group = target.get("SqsParameters", {}).get("MessageGroupId", "")
            self._targets.send(target["Arn"], target.get("Input", "{}"), group=group)
            return
        for _ in range(_TRIES):
            try:
                if self._submit is not None:
                    self._submit(submission(target["Input"]))
            except ApiError as error:
                if error.status != 429:
                    raise
                time.sleep(1)
            else:
                return
