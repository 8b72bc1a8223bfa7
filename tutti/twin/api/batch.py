"""Batch on HTTP: which operation a path names, its parameters checked against the API's model, its answer."""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import unquote

from tutti.twin.api import model
from tutti.twin.api.batch_jobs import BatchJobs
from tutti.twin.api.batch_resources import BatchResources
from tutti.twin.api.errors import ApiError
from tutti.twin.engine import Engine
from tutti.twin.jobs import JobSpec
from tutti.twin.registry import Place
from tutti.twin.runner import Runner

_TAGS: Final = "/v1/tags/"


class Batch:
    def __init__(self, jobs: BatchJobs, resources: BatchResources, runner: Runner, place: Place) -> None:
        self._jobs = jobs
        self._resources = resources
        self._runner = runner
        self._place = place

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: bytes) -> dict[str, Any]:
        """The response to one request.

        Raises
        ------
        ApiError
            What the service would refuse.

        """
        if path.startswith(_TAGS):
            return self._tags(method, unquote(path.removeprefix(_TAGS)), query, body)
        operation = model.operations("batch").get((method, path))
        if operation is None:
            raise ApiError(f"{method} {path} is no operation of Batch", code="UnknownOperationException", status=404)
        handler = getattr(self._jobs, operation, None) or getattr(self._resources, operation, None)
        if handler is None:
            raise ApiError(f"the twin does not do {operation}", code="NotImplementedException", status=501)
        request = _json(body)
        model.check("batch", operation, request)
        result: dict[str, Any] = handler(request)
        return result

    def _tags(self, method: str, arn: str, query: dict[str, list[str]], body: bytes) -> dict[str, Any]:
        """ListTagsForResource, TagResource, UntagResource."""
        tags = self._job_tags(arn) if ":job/" in arn else self._resources.tags_of(arn)
        if tags is None:
            raise ApiError(f"{arn} does not exist")
        match method:
            case "GET":
                return {"tags": tags}
            case "POST":
                request = {"resourceArn": arn, **_json(body)}
                model.check("batch", "TagResource", request)
                tags = {**tags, **request["tags"]}
            case _:
                tags = {k: v for k, v in tags.items() if k not in query.get("tagKeys", [])}
        if ":job/" in arn:
            self._set_job_tags(arn, tags)
        else:
            self._resources.set_tags(arn, tags)
        return {}

    def _job_tags(self, arn: str) -> dict[str, str] | None:
        def find(engine: Engine, _now: float) -> dict[str, str] | None:
            job = engine.jobs.get(arn.rpartition("/")[2])
            return None if job is None else dict(job.spec.tags)

        return self._runner.call(find)

    def _set_job_tags(self, arn: str, tags: dict[str, str]) -> None:
        def change(engine: Engine, _now: float) -> None:
            job = engine.jobs[arn.rpartition("/")[2]]
            job.spec = JobSpec.from_json({**job.spec.to_json(), "tags": tags})
            self._runner.rewrite_spec(job)

        self._runner.call(change)


def _json(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body or b"{}")
    except ValueError:
        raise ApiError("the body is not JSON", code="SerializationException") from None
    if not isinstance(value, dict):
        raise ApiError("the body is not a JSON object", code="SerializationException")
    return value
