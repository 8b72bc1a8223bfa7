"""The half of Batch that runs jobs: submit, describe, list, cancel, terminate, snapshot."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from tutti.twin.api.details import job_detail, job_summary, node_detail, node_summary
from tutti.twin.api.errors import ApiError
from tutti.twin.api.paging import paged, start_of
from tutti.twin.api.submission import resolve
from tutti.twin.engine import Engine
from tutti.twin.jobs import Job, JobSpec, Kind, Status
from tutti.twin.registry import Registry
from tutti.twin.runner import Runner
from workload.contract import Limits

_PAGE: Final = 1000
_FILTERED_PAGE: Final = 100
_SNAPSHOT: Final = 100


class BatchJobs:
    """Operations by the API's own names: each takes the request's parameters and gives the response's."""

    def __init__(self, runner: Runner, registry: Registry) -> None:
        self._runner = runner
        self._registry = registry
        self._rate = RateLimit(per_second=Limits.SUBMITS_PER_S)

    def SubmitJob(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802  the API's own name
        if not self._rate.admit(time.monotonic()):
            raise ApiError("Too many requests", code="TooManyRequestsException", status=429)
        queue = self._registry.queue(request["jobQueue"])
        if queue is None:
            raise ApiError(f"JobQueue {request['jobQueue']} not found.")
        if queue["state"] != "ENABLED":
            raise ApiError(f"JobQueue {request['jobQueue']} is disabled.")
        definition = self._registry.definition(request["jobDefinition"])
        if definition is None or definition["status"] != "ACTIVE":
            raise ApiError(f"JobDefinition {request['jobDefinition']} not found or not ACTIVE.")
        if request.get("shareIdentifier") and not queue.get("schedulingPolicyArn"):
            raise ApiError("shareIdentifier: the job queue has no scheduling policy")
        spec = resolve(request, definition, queue["jobQueueName"])
        job_id = str(uuid.uuid4())

        def submit(engine: Engine, now: float) -> Job:
            _check_dependencies(spec, engine.jobs)
            return engine.submit(job_id, spec, now)

        self._runner.call(submit, keep=True)
        return {"jobArn": self._registry.place.arn("job", job_id), "jobName": spec.name, "jobId": job_id}

    def DescribeJobs(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        ids = request["jobs"]
        if len(ids) > Limits.DESCRIBE_IDS:
            raise ApiError(f"at most {Limits.DESCRIBE_IDS} jobs can be described at once, got {len(ids)}")

        def describe(engine: Engine, _now: float) -> list[dict[str, Any]]:
            return [found for i in ids if (found := self._describe(engine, _bare(i))) is not None]

        return {"jobs": self._runner.call(describe)}

    def ListJobs(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        given = [k for k in ("jobQueue", "arrayJobId", "multiNodeJobId") if request.get(k)]
        if len(given) != 1:
            raise ApiError("exactly one of jobQueue, arrayJobId and multiNodeJobId must be given")
        filters = request.get("filters", [])
        if len(filters) > 1:
            raise ApiError("only one filter can be used at a time")
        page = min(request.get("maxResults", _PAGE), _FILTERED_PAGE if filters else _PAGE)
        return self._runner.call(lambda engine, _now: self._list(engine, given[0], request, filters, max(1, page)))

    def CancelJob(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        self._on_known(request["jobId"], lambda engine, job, now: engine.cancel(job, request["reason"], now))
        return {}

    def TerminateJob(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        self._on_known(request["jobId"], lambda engine, job, now: engine.terminate(job, request["reason"], now))
        return {}

    def CancelJobs(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return self._bulk(request, lambda engine, job, now: engine.cancel(job, request["reason"], now))

    def TerminateJobs(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return self._bulk(request, lambda engine, job, now: engine.terminate(job, request["reason"], now))

    def GetJobQueueSnapshot(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        queue = self._registry.queue(request["jobQueue"])
        if queue is None:
            raise ApiError(f"JobQueue {request['jobQueue']} not found.")

        def snapshot(engine: Engine, now: float) -> dict[str, Any]:
            jobs = engine.runnable(queue["jobQueueName"])[:_SNAPSHOT]
            front = [
                {"jobArn": self._registry.place.arn("job", j.id), "earliestTimeAtPosition": j.runnable_at} for j in jobs
            ]
            return {"frontOfQueue": {"jobs": front, "lastUpdatedAt": int(now * 1000)}}

        return self._runner.call(snapshot)

    # ------------------------------------------------------------ parts

    def _describe(self, engine: Engine, job_id: str) -> dict[str, Any] | None:
        base, _, index = job_id.partition("#")
        job = engine.jobs.get(base)
        if job is None:
            return None
        if not index:
            return job_detail(job, self._registry.place, engine.children[base] if job.kind is Kind.ARRAY else {})
        if job.kind is not Kind.MULTINODE or not index.isdigit() or int(index) >= job.spec.nodes:
            return None
        return node_detail(job, int(index), self._registry.place)

    def _list(
        self, engine: Engine, by: str, request: Mapping[str, Any], filters: list[dict[str, Any]], page: int
    ) -> dict[str, Any]:
        start = start_of(request.get("nextToken"))
        status = request.get("jobStatus")
        place = self._registry.place
        if by == "multiNodeJobId":
            job = self._known(engine, request[by], Kind.MULTINODE)
            rows = [node_summary(job, n, place) for n in range(job.spec.nodes)]
            rows = [r for r in rows if status is None or r["status"] == status]
            return paged("jobSummaryList", rows, start, page)
        if by == "arrayJobId":
            parent = self._known(engine, request[by], Kind.ARRAY)
            children: Iterable[Job] = (engine.jobs[f"{parent.id}:{k}"] for k in range(parent.spec.array_size))
            found = [j for j in children if j.status == (status or Status.RUNNING)]
        else:
            queue = self._registry.queue(request[by])
            if queue is None:
                raise ApiError(f"JobQueue {request[by]} not found.")
            here = [j for j in engine.jobs.values() if not j.parent and j.spec.queue == queue["jobQueueName"]]
            if filters:
                accept = _filter(filters[0])
                found = [j for j in here if accept(j)]
            else:
                found = [j for j in here if j.status == (status or Status.RUNNING)]
            # Newest first, as AWS sorts.
            found.sort(key=lambda j: -j.number)
        chosen = paged("jobSummaryList", found, start, page)
        return {**chosen, "jobSummaryList": [job_summary(j, place) for j in chosen["jobSummaryList"]]}

    def _known(self, engine: Engine, job_id: str, kind: Kind) -> Job:
        job = engine.jobs.get(_bare(job_id))
        if job is None or job.kind is not kind:
            raise ApiError(f"{job_id} is not a {kind} job")
        return job

    def _on_known(self, job_id: str, act: Callable[[Engine, str, float], None]) -> None:
        """One job; CancelJob and TerminateJob of an unknown one are refused."""

        def call(engine: Engine, now: float) -> None:
            if _bare(job_id) not in engine.jobs:
                raise ApiError(f"Job {job_id} not found.")
            act(engine, _bare(job_id), now)

        self._runner.call(call, keep=True)

    def _bulk(self, request: Mapping[str, Any], act: Callable[[Engine, str, float], None]) -> dict[str, Any]:
        ids = request["jobs"]
        if len(ids) > Limits.BULK_JOBS:
            raise ApiError(f"at most {Limits.BULK_JOBS} jobs at once, got {len(ids)}")

        def call(engine: Engine, now: float) -> None:
            for job_id in ids:
                if _bare(job_id) in engine.jobs:
                    act(engine, _bare(job_id), now)

        self._runner.call(call, keep=True)
        # Jobs that cannot be found count as processed, as AWS has it.
        return {"successful": list(ids), "errors": []}


class RateLimit:
    """A token bucket of one second's worth."""

    def __init__(self, *, per_second: float) -> None:
        self._per_second = per_second
        self._tokens = float(per_second)
        self._last = 0.0

    def admit(self, now: float) -> bool:
        self._tokens = min(self._per_second, self._tokens + (now - self._last) * self._per_second)
        self._last = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def _bare(job_id: str) -> str:
    """The id of a job that may be given by its ARN."""
    return job_id.rpartition("job/")[2] if job_id.startswith("arn:") else job_id


def _check_dependencies(spec: JobSpec, jobs: Mapping[str, Job]) -> None:
    for dependency in spec.depends_on:
        other = dependency.get("jobId", "")
        if not other:
            continue
        if other not in jobs:
            raise ApiError(f"dependsOn: job {other} not found")
        if dependency.get("type") == "N_TO_N" and jobs[other].spec.array_size != spec.array_size:
            raise ApiError(f"dependsOn: N_TO_N needs an array of the same size, and {other} is none")


def _filter(given: Mapping[str, Any]) -> Callable[[Job], bool]:
    name, values = given.get("name", ""), given.get("values", [])
    if len(values) != 1:
        raise ApiError(f"filter {name}: exactly one value")
    value = values[0]
    prefix = value.endswith("*")
    stem = value.rstrip("*")
    match name:
        case "JOB_NAME":
            low = stem.lower()
            return lambda j: j.spec.name.lower().startswith(low) if prefix else j.spec.name.lower() == low
        case "JOB_DEFINITION" if value.startswith("arn:"):
            return lambda j: j.spec.definition == value
        case "JOB_DEFINITION":
            return lambda j: _definition_name(j).startswith(stem) if prefix else _definition_name(j) == stem
        case "SHARE_IDENTIFIER":
            return lambda j: j.spec.share == value
        case "BEFORE_CREATED_AT" | "AFTER_CREATED_AT":
            if not value.isdigit():
                raise ApiError(f"filter {name}: {value!r} is no time in milliseconds")
            moment = int(value)
            before = name == "BEFORE_CREATED_AT"
            return lambda j: j.created_at < moment if before else j.created_at > moment
    raise ApiError(f"filter {name!r} is not known")


def _definition_name(job: Job) -> str:
    return job.spec.definition.rpartition("/")[2].partition(":")[0]
