"""A job and a card -> the SubmitJob request, checked before anything is sent. Pure but for `send`.

Spelling and limits: the API model 2016-08-10; aws-batch-facts sections 4 and 10.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from tutti.core.placement import Need, Placement, place
from tutti.core.refusal import THROTTLED
from tutti.errors import InputError, Problem, likely
from tutti.job import ALONG, Job
from workload.contents import RUNS
from workload.contract import SHARED_SCHEME, Card, CardQueue, Limits, Mpi, QueuePriority, Tag, Variable
from workload.documents import (
    OPEN_RANGE,
    name_values,
    node_command,
    node_mtbf,
    resource_requirements,
    retry_strategy,
    timeout,
)

if TYPE_CHECKING:
    from types_boto3_batch.client import BatchClient

AFTER_STATES: Final = ("ok", "any", "each")
PATIENCE_S: Final = 120.0  # how long a throttled submission is tried again


def need_of(job: Job) -> Need:
    """What a job asks of a cluster."""
    ranks = job.ranks_per_node
    product = None if ranks is None or job.oversubscribe else ranks * (job.threads or 1)
    if ranks is None and job.threads and not job.oversubscribe:
        product = job.threads
    return Need(
        nodes=job.nodes,
        array=job.array is not None,
        parameterized=bool(job.param) and not job.command,
        mpi=Mpi(job.mpi) if job.mpi in list(Mpi) else None,
        vcpus=job.vcpus,
        memory_mib=job.memory,
        gpus=job.gpus,
        ranks_x_threads=product,
        instance_type=job.instance_type,
        image=job.image,
        queue=job.queue,
        priority=QueuePriority[job.priority.upper()] if job.priority else None,
    )


def request(job: Job, card: Card, *, where: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The keyword arguments of `submit_job`, but for the user's tag (`signed`).

    Raises
    ------
    InputError
        what the cluster or AWS Batch would refuse, or keep RUNNABLE for ever; all of it, named by `where`.
    """
    places = where or {}
    if lost := [
        Problem(where=places.get(k, k), what=f"{k} goes along with a submission: tutti submit, or Job.submit")
        for k in ALONG
        if getattr(job, k) != Job.model_fields[k].default
    ]:
        raise InputError(lost)
    placed = place(need_of(job), card)
    problems: list[Problem] = []
    if not isinstance(placed, Placement):
        raise InputError([Problem(where=places.get(r.key, r.key), what=r.words) for r in placed])
    problems += [Problem(where=places.get(key, key), what=words) for key, words in _misused(job, placed)]
    settings = job.settings(timeout_s=placed.definition.timeout_s, grace_s=card.grace_s)
    if any(uri.startswith(SHARED_SCHEME) for uri in settings.inputs):  # what is there, only the run can see
        settings = settings.but(record=records(card))
    problems += [Problem(where=places.get(p.split(":", maxsplit=1)[0], ""), what=p) for p in settings.problems()]
    if problems:
        raise InputError(problems)
    name = job.name or name_from(job.command, placed.definition.kind)
    environment = {**_place_variables(placed.queue), **settings.to_environment(), **job.env}
    document: dict[str, Any] = {
        "jobName": name,
        "jobQueue": placed.queue.arn,
        "jobDefinition": placed.definition.arn,
        "tags": tags(job, card, name=name),
        "propagateTags": True,
        **_overrides(job, placed, environment),
    }
    if job.param:
        document["parameters"] = dict(job.param)
    if job.timeout is not None:
        document["timeout"] = timeout(job.timeout)
    if job.retries is not None or job.retry_on is not None:
        attempts = placed.definition.attempts if job.retries is None else job.retries + 1
        document["retryStrategy"] = retry_strategy(
            max(attempts, 2) if job.retry_on is not None else attempts, job.retry_on
        )
    if job.array is not None:
        document["arrayProperties"] = {"size": job.array}
    if depends := [dependency(after) for after in job.after]:
        document["dependsOn"] = depends
    check_size(document)
    return document


def records(card: Card) -> str:
    """Where runs say what their inputs held: a prefix of the bucket."""
    return f"s3://{card.bucket}/{card.prefix}{RUNS}"


def with_variables(document: Mapping[str, Any], more: Mapping[str, str]) -> dict[str, Any]:
    """The request with more variables for every node."""

    def told(overrides: Mapping[str, Any]) -> dict[str, Any]:
        known = {pair["name"]: pair["value"] for pair in overrides.get("environment", [])}
        return {**overrides, "environment": name_values({**known, **more})}

    if "nodeOverrides" not in document:
        return {**document, "containerOverrides": told(document.get("containerOverrides", {}))}
    gang = document["nodeOverrides"]
    ranges = [{**r, "containerOverrides": told(r["containerOverrides"])} for r in gang["nodePropertyOverrides"]]
    return {**document, "nodeOverrides": {**gang, "nodePropertyOverrides": ranges}}


def check_size(document: Mapping[str, Any]) -> None:
    """Refuse a request that AWS Batch would not take for its size.

    Raises
    ------
    InputError
        over 30 KiB.
    """
    size = len(json.dumps(document, separators=(",", ":")).encode())
    if size > Limits.PAYLOAD_BYTES:
        what = f"the submission has {size:,} bytes; AWS Batch allows {Limits.PAYLOAD_BYTES:,}"
        remedy = "Put long arguments and variables into a file and stage it with --input"
        raise InputError([Problem(where="", what=what, remedy=remedy)])


def tags(job: Job, card: Card, *, name: str) -> dict[str, str]:
    """The tags of a submission: whose it is, and the user's labels."""
    return {**job.label, Tag.STACK.value: card.stack, Tag.GROUP.value: card.group, Tag.JOB.value: name}


def signed(document: Mapping[str, Any], user: str) -> dict[str, Any]:
    """The request with its user's tag. Apart from `request`, for to know the user is a call to AWS."""
    return {**document, "tags": {**document["tags"], Tag.USER.value: user}}


def name_from(command: Sequence[str], kind: str) -> str:
    """A job's name from its command: the program that a reader would name it by."""
    words = [w for w in command if not w.startswith("-")]
    runners = re.compile(r"(.*/)?(python[\d.]*|bash|sh|mpi4py|workload|run|env|time)")
    telling = next((w for w in words if not runners.fullmatch(w)), words[0] if words else kind)
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", PurePosixPath(telling).stem).strip("-_")[:128]
    return name or kind


def dependency(after: str) -> dict[str, str]:
    """`dependsOn` for `ID`, `ID:ok`, `ID:each` (arrays, element by element) or `sequential` (within an array).

    Raises
    ------
    InputError
        another word behind the colon.
    """
    if after == "sequential":
        return {"type": "SEQUENTIAL"}
    job_id, _, state = after.partition(":")
    if state.isdigit():  # a child of an array
        return {"jobId": after}
    if state not in {"", *AFTER_STATES}:
        what = f"got {after!r}; allowed: ID, {', '.join(f'ID:{s}' for s in AFTER_STATES)}, sequential"
        raise InputError([Problem(where="after", what=what + likely(state, AFTER_STATES))])
    return {"jobId": job_id, "type": "N_TO_N"} if state == "each" else {"jobId": job_id}


def send(client: BatchClient, document: Mapping[str, Any], *, sleep: Callable[[float], None] = time.sleep) -> str:
    """Submit; the new job's id. Tried again only where AWS says that it did not take the request: SubmitJob has no
    token, so a lost answer must not become a second job. The client is made without retries of its own.
    """
    from botocore.exceptions import ClientError  # noqa: PLC0415  heavy: `tutti --help` must not pay for it

    waited, pause = 0.0, 0.25
    while True:
        try:
            return client.submit_job(**document)["jobId"]
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") not in THROTTLED or waited >= PATIENCE_S:
                raise
        wait = pause * random.uniform(0.5, 1.5)  # noqa: S311  spreads clients; nothing secret
        sleep(wait)
        waited, pause = waited + wait, min(2 * pause, 8.0)


def _misused(job: Job, placed: Placement) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    known = placed.definition.parameters
    used = {m.group(1) for word in job.command for m in re.finditer(r"Ref::([A-Za-z0-9_-]+)", word)}
    for name in job.param:
        if job.command and name not in used:
            found.append((f"param.{name}", f"the command has no Ref::{name}: the value would go nowhere"))
        elif not job.command and name not in known:
            names = ", ".join(known) or "none"
            words = (
                f"definition {placed.definition.name} has no parameter {name!r}{likely(name, known)}; allowed: {names}"
            )
            found.append((f"param.{name}", words))
    if missing := sorted(used - set(job.param) - set(known)):
        found.append(("command", f"Ref::{missing[0]} has no value; give it with --param {missing[0]}=VALUE"))
    if "sequential" in job.after and job.array is None:
        found.append(("after", "sequential orders the jobs of an array; give --array N, or the ID of a job"))
    return found


def _overrides(job: Job, placed: Placement, environment: Mapping[str, str]) -> dict[str, Any]:
    container: dict[str, Any] = {"environment": name_values(environment)}
    if job.command:
        container["command"] = node_command(job.command)
    queue, definition = placed.queue, placed.definition
    whole_node = placed.nodes is not None  # Batch runs one container of a gang on an instance: it may have all of it
    vcpus = job.vcpus or (queue.vcpus if whole_node else min(definition.vcpus, queue.vcpus))
    memory = job.memory or (queue.memory_mib if whole_node else min(definition.memory_mib, queue.memory_mib))
    gpus = (queue.gpus if whole_node else definition.gpus) if job.gpus is None else job.gpus
    if (vcpus, memory, gpus) != (definition.vcpus, definition.memory_mib, definition.gpus):
        container["resourceRequirements"] = resource_requirements(vcpus=vcpus, memory_mib=memory, gpus=gpus)
    if placed.nodes is None:
        return {"containerOverrides": container}
    if job.instance_type and len(queue.instance_types) > 1:
        container["instanceType"] = job.instance_type
    nodes = {"targetNodes": OPEN_RANGE, "containerOverrides": container}
    return {"nodeOverrides": {"numNodes": placed.nodes, "nodePropertyOverrides": [nodes]}}


def _place_variables(queue: CardQueue) -> dict[str, str]:
    """What a definition that serves several pools cannot say of the node."""
    said = {
        Variable.POOL: queue.pool,
        Variable.ZONE: queue.zone,
        Variable.EFA: "1" if queue.efa else "",
        Variable.NODE_MTBF: node_mtbf(queue.node_mtbf_days),
    }
    if len(queue.instance_types) == 1:
        said[Variable.INSTANCE_TYPE] = queue.instance_types[0]
    if queue.gpus:
        said[Variable.GPUS] = str(queue.gpus)
    return {name.value: value for name, value in said.items() if value}
