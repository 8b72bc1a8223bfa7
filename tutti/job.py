"""A job as a user describes it: `Job`, the one model behind job files, the flags of `tutti submit` and the Python API.

Each field is a job-file key and a flag (`ranks_per_node`, `--ranks-per-node`); how it is read stands in `tutti.values`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from tutti import values
from workload.contract import BATCH_PREFIX, Limits, Mpi, Tag
from workload.settings import AUTO, CORES, NONE, InputTo, Settings

if TYPE_CHECKING:
    from tutti.cluster import Cluster
    from tutti.run import Run

OURS: Final = "TUTTI_"
RESERVED_TAGS: Final = len(Tag)
ALONG: Final = ("max_cost", "upload", "compile", "at", "every", "notify")  # of a submission, not of the job alone
_NAME: Final = "a letter or digit, then letters, digits, - and _, at most 128"
_ARN: Final = r"arn:aws[a-z-]*:secretsmanager:[^:]+:\d{12}:secret:.+"
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NODES: Final = values.whole(Limits.NODES.start, Limits.NODES.stop - 1)

_TEXT: Final = {"type": "string"}
_NUMBER_OR_TEXT: Final = {"anyOf": [{"type": "integer"}, {"type": "string"}]}
LIST: Final = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_MAP: Final = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
_ENV: Final = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}}


def _ranks(value: object) -> int | None:
    return None if value in (None, CORES) else values.whole(1)(value)


def _command(value: object) -> tuple[str, ...]:
    return values.argv(value)


def read(reader: Callable[[Any], Any], schema: Mapping[str, Any]) -> tuple[BeforeValidator, WithJsonSchema]:
    return BeforeValidator(reader), WithJsonSchema(dict(schema))


def optional(reader: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else reader(value)


Texts = Annotated[tuple[str, ...], *read(values.listed, LIST)]
Pairs = Annotated[dict[str, str], *read(values.pairs, _MAP)]
Seconds = Annotated[int, *read(values.duration, _NUMBER_OR_TEXT)]


class Job(BaseModel):
    """What to run, on what, and how. Times are in seconds or as `2h`; memory is in MiB or as `8GiB`.

    Raises
    ------
    pydantic.ValidationError
        from the constructor; `tutti.jobfile` turns it into an `InputError`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    command: Annotated[tuple[str, ...], *read(_command, LIST)] = Field(
        default=(), description="the program and its arguments; without one the definition's own runs"
    )
    name: Annotated[
        str | None, *read(optional(values.matching(Limits.JOB_NAME.pattern, _NAME)), _TEXT | {"maxLength": 128})
    ] = Field(default=None, description="the job's name; else the program's")
    nodes: Annotated[int | None, *read(optional(_NODES), {"type": "integer", "minimum": 1, "maximum": 1000})] = Field(
        default=None, description="nodes of the gang, 1-1,000; without it a single container"
    )
    ranks_per_node: Annotated[int | None, *read(_ranks, _NUMBER_OR_TEXT)] = Field(
        default=None, description="MPI ranks a node, or `cores`: one a physical core (the default)"
    )
    threads: Annotated[int | None, *read(optional(values.whole(1)), {"type": "integer", "minimum": 1})] = Field(
        default=None, description="threads a rank; else cores / ranks a node"
    )
    oversubscribe: Annotated[bool, *read(values.boolean, {"type": "boolean"})] = Field(
        default=False, description="allow more ranks x threads than cores"
    )
    mpi: Annotated[str, *read(values.choice(AUTO, NONE, *Mpi), {"enum": [AUTO, NONE, *Mpi]})] = Field(
        default=AUTO, description="auto, mpich, openmpi or intel; none: the program once on each node"
    )
    input: Texts = Field(default=(), description="s3://BUCKET/KEY, a prefix, or shared:PATH, to stage in")
    input_to: Annotated[InputTo, *read(values.choice(*InputTo), {"enum": list(InputTo)})] = Field(
        default=InputTo.NODE, description="node: each node its own copy; shared: once for the gang"
    )
    output: Texts = Field(default=(), description="where output/ goes: s3://BUCKET/PREFIX or shared:PATH")
    env: Annotated[dict[str, str], *read(values.pairs, _ENV)] = Field(
        default_factory=dict,
        description="variables for the program, NAME=VALUE; NAME alone: the caller's value (public in AWS's console)",
    )
    secret: Pairs = Field(default_factory=dict, description="variables whose values are in Secrets Manager, by ARN")
    vcpus: Annotated[int | None, *read(optional(values.whole(1)), {"type": "integer", "minimum": 1})] = Field(
        default=None, description="vCPUs a node; else the definition's"
    )
    memory: Annotated[int | None, *read(optional(values.memory_mib), _NUMBER_OR_TEXT)] = Field(
        default=None, description="memory a node, MiB or 8GiB; else the definition's"
    )
    gpus: Annotated[int | None, *read(optional(values.whole(0)), {"type": "integer", "minimum": 0})] = Field(
        default=None, description="GPUs a node"
    )
    instance_type: Annotated[str | None, *read(optional(values.text), _TEXT)] = Field(
        default=None, description="an instance type that a queue of the cluster has"
    )
    image: Annotated[str | None, *read(optional(values.text), _TEXT)] = Field(
        default=None, description="an image by its name on the cluster card; else the first"
    )
    param: Pairs = Field(default_factory=dict, description="values of the definition's Ref::NAME parameters")
    label: Pairs = Field(default_factory=dict, description="tags of the job, for lists, cancel and cost")
    timeout: Annotated[int | None, *read(optional(values.duration), _NUMBER_OR_TEXT)] = Field(
        default=None, description="ends the job so long after its start, at least 60 s"
    )
    signal_before: Seconds = Field(default=0, description="SIGTERM to the ranks so long before the timeout")
    retries: Annotated[
        int | None, *read(optional(values.whole(0, 9)), {"type": "integer", "minimum": 0, "maximum": 9})
    ] = Field(default=None, description="further attempts when a node or the platform failed, 0-9")
    retry_on: Annotated[
        int | None, *read(optional(values.whole(1, 255)), {"type": "integer", "minimum": 1, "maximum": 255})
    ] = Field(default=None, description="one exit code of the program that is retried too")
    hang_after: Seconds = Field(default=0, description="no progress for so long ends the job with 214; 0: off")
    join_timeout: Annotated[int | None, *read(optional(values.duration), _NUMBER_OR_TEXT)] = Field(
        default=None, description="how long nodes may take to join (20m, at most 0.3 x timeout)"
    )
    grace: Annotated[int | None, *read(optional(values.duration), _NUMBER_OR_TEXT)] = Field(
        default=None, description="from SIGTERM to SIGKILL; else the cluster's"
    )
    preflight: Annotated[bool, *read(values.boolean, {"type": "boolean"})] = Field(
        default=True, description="check nodes and network before the launch"
    )
    metrics: Annotated[bool, *read(values.boolean, {"type": "boolean"})] = Field(
        default=True, description="progress as CloudWatch metrics"
    )
    checkpoint: Annotated[str, *read(values.text, _TEXT)] = Field(
        default="", description="where the program keeps checkpoints: s3://BUCKET/PREFIX or shared:PATH"
    )
    workdir: Annotated[str, *read(values.text, _TEXT)] = Field(
        default="", description="where the ranks run; else the job's own folder. shared:PATH is made; %j: the job's id"
    )
    priority: Annotated[
        Literal["high", "low"] | None, *read(optional(values.choice("high", "low")), {"enum": ["high", "low"]})
    ] = Field(default=None, description="high or low; else the cluster's first queue that fits")
    queue: Annotated[str | None, *read(optional(values.text), _TEXT)] = Field(
        default=None, description="a queue by name; else chosen by kind, size and priority"
    )
    array: Annotated[
        int | None,
        *read(optional(values.whole(2, 10_000)), {"type": "integer", "minimum": 2, "maximum": 10_000}),
    ] = Field(default=None, description="run so many single-node copies, 2-10,000")
    after: Texts = Field(
        default=(),
        description="start after a job: ID or ID:ok, ID:any (whatever becomes of it), ID:each (arrays)",
    )
    max_cost: Annotated[float | None, *read(optional(values.dollars), {"type": ["number", "string"]})] = Field(
        default=None, description="refuse what may cost more than so many USD"
    )
    upload: Texts = Field(
        default=(), description="a folder of code (.tuttiignore), or a file, to bring along; ranks run where it lies"
    )
    compile: Annotated[str | None, *read(optional(values.text), _TEXT)] = Field(
        default=None, description="a command to run once in the dev image before the gang, in the uploaded folder"
    )
    at: Annotated[str | None, *read(optional(values.text), _TEXT)] = Field(
        default=None, description="submit at a time: 2026-12-01T06:00, or +2h from now"
    )
    every: Annotated[str | None, *read(optional(values.text), _TEXT)] = Field(
        default=None, description="submit now and then every 30m, 6h, 1d; or cron(...), at its times"
    )
    notify: Annotated[str | None, *read(optional(values.text), _TEXT)] = Field(
        default=None, description="tell this address (mail, SQS queue, https, phone) when the job has ended"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if problems := [*self._clashes()]:
            raise ClashError(problems)
        return self

    def _clashes(self) -> list[tuple[str, str]]:
        """What is wrong between fields or within one: (key, words)."""
        found: list[tuple[str, str]] = []
        if self.array is not None and self.nodes is not None:
            found.append(
                ("array", "an array holds single-node jobs: leave nodes out, or use `tutti sweep` for MPI jobs")
            )
        if self.timeout is not None and self.timeout < Limits.MIN_TIMEOUT_S:
            found.append(
                ("timeout", f"got {self.timeout} s; allowed: {Limits.MIN_TIMEOUT_S} s or more (AWS Batch's limit)")
            )
        if self.timeout is not None and 0 < self.timeout <= self.signal_before:
            found.append(
                ("signal_before", f"got {self.signal_before} s; allowed: less than the timeout, {self.timeout} s")
            )
        if self.join_timeout is not None and self.join_timeout < 1:
            found.append(("join_timeout", f"got {self.join_timeout} s; allowed: 1 s or more"))
        if self.retry_on is not None and self.retries == 0:
            found.append(("retry_on", "nothing is retried with retries: 0; allowed with 1-9 retries"))
        if len(self.after) > Limits.DEPENDENCIES:
            found.append(("after", f"got {len(self.after)} jobs; allowed: {Limits.DEPENDENCIES} (AWS Batch's limit)"))
        if len(self.label) > Limits.TAGS - RESERVED_TAGS:
            found.append(("label", f"got {len(self.label)}; allowed: {Limits.TAGS - RESERVED_TAGS}"))
        found += [
            (f"label.{n}", f"names that start with {n.partition(':')[0]}: are not a user's; choose another name")
            for n in self.label
            if n.startswith(("aws:", "tutti:"))
        ]
        found += self._wrong_places() + self._wrong_variables()
        return found

    def _wrong_places(self) -> list[tuple[str, str]]:
        places = [("input", uri) for uri in self.input] + [("output", uri) for uri in self.output]
        if self.checkpoint:
            places.append(("checkpoint", self.checkpoint))
        return [
            (key, f"got {uri!r}; allowed: s3://BUCKET/KEY or shared:PATH{_local_hint(uri)}")
            for key, uri in places
            if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?|shared:.+", uri)
        ]

    def _wrong_variables(self) -> list[tuple[str, str]]:
        found = []
        for key, variables in (("env", self.env), ("secret", self.secret)):
            for name, value in variables.items():
                where = f"{key}.{name}"
                if name.startswith(BATCH_PREFIX):
                    found.append(
                        (where, f"names that start with {BATCH_PREFIX} are AWS Batch's own; choose another name")
                    )
                elif name.startswith(OURS):
                    found.append((where, f"names that start with {OURS} are Tutti's own; settings have flags and keys"))
                elif not _VARIABLE.fullmatch(name):
                    found.append((where, "allowed: letters, digits and _, not a digit first"))
                elif key == "env" and value == "":
                    found.append((where, "AWS Batch drops variables with an empty value; give one or leave it out"))
        found += [
            (f"secret.{n}", f"got {v!r}; allowed: the ARN of a secret in Secrets Manager")
            for n, v in self.secret.items()
            if not re.fullmatch(_ARN, v)
        ]
        found += [(f"secret.{n}", "is in env too; keep one of them") for n in self.secret if n in self.env]
        return found

    def settings(self, *, timeout_s: int, grace_s: int) -> Settings:
        """What the nodes are told; the definition's `timeout_s` and the cluster's `grace_s` where the job says none."""
        timeout = self.timeout or timeout_s
        default = Settings()
        return Settings(
            mpi=self.mpi,
            ranks_per_node=self.ranks_per_node,
            threads=self.threads,
            oversubscribe=self.oversubscribe,
            inputs=self.input,
            input_to=self.input_to,
            outputs=self.output,
            secrets=self.secret or None,
            timeout=timeout,
            join_timeout=default.join_timeout if self.join_timeout is None else self.join_timeout,
            grace=grace_s if self.grace is None else self.grace,
            signal_before=self.signal_before,
            hang_after=self.hang_after,
            preflight=self.preflight,
            metrics=self.metrics,
            checkpoint=self.checkpoint,
            workdir=self.workdir,
        )

    def submit(self, cluster: Cluster) -> Run:
        """Submit the job and what goes along with it; nothing is sent where the cluster cannot run it.

        With `after="ID:any"` it returns once that job has ended and this one has an id. The cluster submits it all the
        same where nobody waits here any more.

        Raises
        ------
        tutti.errors.InputError
            what does not fit the cluster, all of it; `at` and `every`, which have no run yet.
        """
        from tutti.run import Run  # noqa: PLC0415  Run knows Job: one of the two must wait

        return Run.submit(self, cluster)


class ClashError(ValueError):
    """Fields that are wrong together; pydantic carries it to `tutti.jobfile`."""

    def __init__(self, clashes: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{key}: {words}" for key, words in clashes))
        self.clashes = clashes


def _local_hint(uri: str) -> str:
    return "" if "://" in uri else f" (put a file there with: tutti data put {uri})"
