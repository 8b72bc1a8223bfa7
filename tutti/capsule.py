"""The run capsule: all that a run was made of, kept in the bucket, so that it can be run again and compared.

`<prefix>runs/<job id>.json`: the request itself (program, variables, size), the image as its digest, the inputs with
their sizes and ETags, the cluster and what its card says of the queue, versions, and from which run it goes on.
`<prefix>runs/<job id>.start.json`, by the run itself: what its inputs held when it staged them, where the desk could
not know. A schedule's capsule is `<prefix>runs/<schedule>.json`, and the jobs that it submits have no other.
"""

from __future__ import annotations

import json
import shlex
import time
import warnings
from collections.abc import Iterator, Mapping, MutableMapping
from importlib.metadata import version
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from tutti.aws import told
from tutti.batch import with_variables
from tutti.core.waiting import capsule_key
from tutti.errors import InputError, NotFoundError, Problem, TuttiError
from tutti.jobs import container_of
from tutti.listing import describe
from workload.contents import MOST_LISTED, RUNS, UNKNOWN, contents, start_record
from workload.contract import SHARED_SCHEME, Tag
from workload.documents import program_of
from workload.settings import variable

if TYPE_CHECKING:
    from tutti.cluster import Cluster

CAPSULE_VERSION: Final = 2
INPUTS: Final = variable("inputs")


class CapsuleWarning(UserWarning):
    """A job was submitted, or will be, and its capsule could not be written."""


def keep(
    cluster: Cluster, job_id: str, document: Mapping[str, Any], seen: MutableMapping[str, Any] | None = None
) -> None:
    """Write the capsule of a job that was just submitted. Where that fails it is a warning: the job is there.

    `seen` holds what was found of images and inputs, for jobs that are submitted together.
    """
    try:
        _write(cluster, job_id, document, {} if seen is None else seen)
    except TuttiError as error:
        words = f"{job_id} was submitted, but its capsule was not kept, so that tutti rerun cannot know it: {error}"
        warnings.warn(words, CapsuleWarning, stacklevel=2)


def to_come(cluster: Cluster, document: Mapping[str, Any]) -> dict[str, Any] | None:
    """The capsule of a job that the cluster will submit, without its id. Where that fails it is a warning, and None."""
    try:
        return made(cluster, "", document, {})
    except TuttiError as error:
        warnings.warn(
            f"it will have no capsule, so that tutti rerun cannot know it: {error}", CapsuleWarning, stacklevel=2
        )
        return None


@told
def made(cluster: Cluster, job_id: str, document: Mapping[str, Any], seen: MutableMapping[str, Any]) -> dict[str, Any]:
    """The capsule of a job that `document` submits now. `seen` as for `keep`."""
    definition, inputs = document["jobDefinition"], inputs_of(document)
    if definition not in seen:
        seen[definition] = _image(cluster, definition)
    for uri in inputs:
        if uri not in seen:
            seen[uri] = held(cluster, uri)
    return {
        "version": CAPSULE_VERSION,
        "job": job_id,
        "submitted": time.time(),
        "tutti": version("tutti"),
        "cluster": {"stack": cluster.card.stack, "region": cluster.card.region, "account": cluster.card.account},
        "card": _of_the_card(cluster, document["jobQueue"]),
        "request": dict(document),
        "image": seen[definition],
        "inputs": {uri: seen[uri] for uri in inputs},
        "resumes": document.get("tags", {}).get(Tag.RESUMES.value, ""),
        "schedule": document.get("tags", {}).get(Tag.SCHEDULE.value, ""),
    }


@told
def _write(cluster: Cluster, job_id: str, document: Mapping[str, Any], seen: MutableMapping[str, Any]) -> None:
    capsule = made(cluster, job_id, document, seen)
    cluster.s3.put_object(
        Bucket=cluster.card.bucket,
        Key=key(cluster, job_id),
        Body=json.dumps(capsule, indent=1).encode(),
        ContentType="application/json",
    )


@told
def read(cluster: Cluster, job_id: str) -> dict[str, Any]:
    """A run's capsule; of a run that a schedule submitted, the schedule's, with the inputs as the run found them.

    `inputs_of_start`: whether the inputs are what the run found when it staged them; else what the desk saw before.

    Raises
    ------
    NotFoundError
        It has none: another client submitted it, or it is too old.
    InputError
        It was written by a newer client, or by one that is too old.
    """
    start = started(cluster, job_id)
    capsule = _object(cluster, key(cluster, job_id))
    if capsule is None and (schedule := (start or {}).get("schedule") or _schedule_of(cluster, job_id)):
        capsule = _object(cluster, key(cluster, schedule))
    if capsule is None:
        raise NotFoundError(
            f"{job_id} has no capsule in the bucket: it was not submitted by tutti submit, or the capsule has expired. "
            "What Batch still knows of it runs again with: tutti resubmit"
        )
    if (found := capsule.get("version", 0)) != CAPSULE_VERSION:
        what = f"its capsule has version {found!r}; this tutti reads version {CAPSULE_VERSION}"
        remedy = "pip install --upgrade tutti" if found > CAPSULE_VERSION else f"tutti resubmit {job_id}"
        raise InputError([Problem(where=job_id, what=what, remedy=remedy)])
    inputs = {**capsule["inputs"], **(start or {}).get("inputs", {})}
    return {**capsule, "job": job_id, "inputs": inputs, "inputs_of_start": start is not None}


@told
def started(cluster: Cluster, job_id: str) -> dict[str, Any] | None:
    """What a run said of its start; None where it did not: nobody asked it to, or it came not so far."""
    return _object(cluster, f"{cluster.card.prefix}{RUNS}{start_record(job_id)}")


def _object(cluster: Cluster, name: str) -> dict[str, Any] | None:
    """The JSON in an object. Looked for first: to who may list a prefix alone, S3 denies what is not there."""
    found = cluster.s3.list_objects_v2(Bucket=cluster.card.bucket, Prefix=name, MaxKeys=1).get("Contents", [])
    if [o["Key"] for o in found] != [name]:
        return None
    document: dict[str, Any] = json.loads(cluster.s3.get_object(Bucket=cluster.card.bucket, Key=name)["Body"].read())
    return document


def _schedule_of(cluster: Cluster, job_id: str) -> str:
    """The schedule that submitted a job that Batch still knows; empty where none did."""
    tags: Mapping[str, str] = next((item.get("tags", {}) for item in describe(cluster, [job_id])), {})
    return str(tags.get(Tag.SCHEDULE.value, ""))


@told
def gone(cluster: Cluster, capsule: Mapping[str, Any]) -> list[Problem]:
    """What of a run is no longer there, or no longer what it was."""
    request = capsule["request"]
    found = []
    queues = {q.arn for q in cluster.card.queues}
    if request["jobQueue"] not in queues:
        found.append(Problem(where="queue", what=f"{request['jobQueue']} is no longer on the cluster's card"))
    elif (nodes := _of_the_card(cluster, request["jobQueue"])) != capsule["card"]:
        was = capsule["card"]
        changed = [f"{key} was {was.get(key)}, is {value}" for key, value in nodes.items() if value != was.get(key)]
        found.append(Problem(where="queue", what="; ".join(changed)))
    definitions = cluster.batch.describe_job_definitions(jobDefinitions=[request["jobDefinition"]])["jobDefinitions"]
    if not definitions or definitions[0].get("status") == "INACTIVE":
        found.append(Problem(where="definition", what=f"{request['jobDefinition']} is gone (deregistered)"))
    elif (image := container_of(definitions[0]).get("image", "")) != capsule["image"]:
        found.append(Problem(where="image", what=f"was {capsule['image']}, is {image}"))
    elif _image_is_gone(cluster, image):
        found.append(Problem(where="image", what=f"{image} is no longer in its repository"))
    for uri, before in capsule["inputs"].items():
        found += input_changes(uri, before, held(cluster, uri))
    return found


def _image_is_gone(cluster: Cluster, image: str) -> bool:
    """Whether it certainly is: who may not ask, or asks another registry, does not know."""
    from tutti.why.asker import Asker  # noqa: PLC0415  only where a run is run again
    from tutti.why.gather_task import image_of  # noqa: PLC0415  the same

    found = Asker().part("the image", lambda: image_of(cluster, image), on=image)
    return found is not None and found.found is False


def again(kept: Mapping[str, Any]) -> dict[str, Any]:
    """The request that runs a capsule's run once more: after nothing, and not by its schedule."""
    document = {k: v for k, v in kept["request"].items() if k != "dependsOn"}
    if not kept.get("schedule"):
        return document
    tags = {name: value for name, value in document["tags"].items() if name != Tag.SCHEDULE}
    return with_variables({**document, "tags": tags}, {variable("schedule"): ""})


def key(cluster: Cluster, job_id: str) -> str:
    """Where a capsule lies in the bucket."""
    return capsule_key(f"{cluster.card.prefix}{RUNS}", job_id)


def inputs_of(document: Mapping[str, Any]) -> list[str]:
    """The URIs that a request stages in."""
    gang = document.get("nodeOverrides", {}).get("nodePropertyOverrides", [{}])[0]
    overrides = document.get("containerOverrides") or gang.get("containerOverrides", {})
    said = {e["name"]: e["value"] for e in overrides.get("environment", [])}
    uris: list[str] = json.loads(said.get(INPUTS, "[]"))
    return uris


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Where two runs differ: (what, here, there); what must differ (ids, times) is left out."""
    first, second = _flat(_said(one)), _flat(_said(other))
    found = [(p, first.get(p, "-"), second.get(p, "-")) for p in first.keys() | second.keys()]
    return sorted([row for row in found if row[1] != row[2]] + _of_inputs(one["inputs"], other["inputs"]))


def _of_inputs(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Inputs that two runs do not share: how much each held, and which files differ."""
    rows = []
    for uri in sorted(one.keys() | other.keys()):
        before, now = one.get(uri), other.get(uri)
        if before == now:
            continue
        sizes = [_size_of(uri, side) for side in (before, now)]
        if before and now and (files := input_changes(uri, before, now, changed="changed")):
            sizes[1] += f": {'; '.join(problem.what for problem in files)}"
        rows.append((f"input {uri}", *sizes))
    return [(what, here, there) for what, here, there in rows if here != there]


def _size_of(uri: str, held: Mapping[str, Any] | None) -> str:
    if held is None:
        return "-"
    if not held.get("known"):
        return "not known"
    kind = f"{'file' if uri.startswith(SHARED_SCHEME) else 'object'}{'' if held['count'] == 1 else 's'}"
    return f"{held['count']:,}{'' if held['all'] else ' or more'} {kind}, {held['bytes']:,} bytes"


def _said(capsule: Mapping[str, Any]) -> dict[str, Any]:
    """A capsule in the user's terms: variables by name, sizes by name."""
    request = dict(capsule["request"])
    gang = request.pop("nodeOverrides", {})
    overrides = request.pop("containerOverrides", None)
    if overrides is None:
        overrides = gang.get("nodePropertyOverrides", [{}])[0].get("containerOverrides", {})
    needs = {n["type"].lower(): n["value"] for n in overrides.get("resourceRequirements", [])}
    return {
        **{k: v for k, v in request.items() if k != "propagateTags"},
        **({"nodes": gang["numNodes"]} if "numNodes" in gang else {}),
        "command": shlex.join(program_of(overrides.get("command", []))),
        "environment": {e["name"]: e["value"] for e in overrides.get("environment", []) if e["name"] != INPUTS},
        "resources": needs,
        "image": capsule["image"],
        "cluster": capsule["cluster"],
        "card": capsule["card"],
        "tutti": capsule["tutti"],
        "resumes": capsule["resumes"],
    }


def _flat(value: Any, path: str = "") -> dict[str, str]:
    if isinstance(value, Mapping):
        return {
            k: v for name, item in value.items() for k, v in _flat(item, f"{path}.{name}" if path else name).items()
        }
    if isinstance(value, list):
        return {k: v for n, item in enumerate(value) for k, v in _flat(item, f"{path}[{n}]").items()}
    return {path: str(value)}


def _of_the_card(cluster: Cluster, queue: str) -> dict[str, Any]:
    """What a queue's nodes are; the queue, the definition and the image themselves are in the request."""
    found = next((q for q in cluster.card.queues if q.arn == queue), None)
    if found is None:
        return {}
    return {"instance_types": list(found.instance_types), "zone": found.zone, "vcpus": found.vcpus, "efa": found.efa}


def _image(cluster: Cluster, definition: str) -> str:
    """The image that a definition names; a stack's definitions name it by digest."""
    found: Any = cluster.batch.describe_job_definitions(jobDefinitions=[definition])["jobDefinitions"]
    if not found:
        return ""
    image: str = container_of(found[0]).get("image", "")
    return image


def held(cluster: Cluster, uri: str) -> dict[str, Any]:
    """What an input names, as the nodes read it: sizes and ETags; of the shared folder nothing is known from here."""
    if uri.startswith(SHARED_SCHEME):
        return dict(UNKNOWN)
    found = islice(_objects(cluster, uri), MOST_LISTED + 1)
    return contents([(o["Key"], o["Size"], o["ETag"].strip('"')) for o in found])


def _objects(cluster: Cluster, uri: str) -> Iterator[Any]:
    """The objects of an input in the order of their keys; a name without a slash is an object, else a folder."""
    bucket, _, name = uri.removeprefix("s3://").partition("/")
    if name and not name.endswith("/"):
        first = cluster.s3.list_objects_v2(Bucket=bucket, Prefix=name, MaxKeys=1).get("Contents", [])
        if first and first[0]["Key"] == name:
            yield first[0]
            return
        name += "/"
    for page in cluster.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=name):
        yield from page.get("Contents", [])


def input_changes(
    uri: str, before: Mapping[str, Any], now: Mapping[str, Any], *, changed: str = "changed since"
) -> list[Problem]:
    """How an input differs: by name within the objects that are kept by name, by count and size beyond them."""
    if not (before.get("known") and now.get("known")):
        return []
    was, is_ = before["objects"], now["objects"]
    ends = [max(side["objects"], default="") for side in (before, now) if side["count"] > len(side["objects"])]
    was, is_ = ({k: v for k, v in tags.items() if not ends or k <= min(ends)} for tags in (was, is_))
    found = []
    for keys, words in (
        (was.keys() - is_.keys(), ("is gone", "are gone")),
        (is_.keys() - was.keys(), ("was added", "were added")),
        ({k for k in was.keys() & is_.keys() if was[k] != is_[k]}, (changed, changed)),
    ):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            name = "" if min(keys) == uri else f"{min(keys)}"
            found.append(Problem(where=uri, what=f"{name}{more} {words[len(keys) > 1]}".strip()))
    if not found and (before["digest"], before["all"]) != (now["digest"], now["all"]):
        sizes = [
            f"{side['count']:,}{'' if side['all'] else ' or more'} of {side['bytes']:,} bytes" for side in (before, now)
        ]
        kind = "files" if uri.startswith(SHARED_SCHEME) else "objects"
        what = f"{kind} beyond the first {len(was):,} {changed}: there were {sizes[0]}, there are {sizes[1]}"
        found.append(Problem(where=uri, what=what))
    return found
