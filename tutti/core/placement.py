"""Where a job runs: the queue and the definition of the card that fit what it needs, or every reason why none does.

Pure: a card and a need in, a placement or refusals out. Sources: DESIGN B1, B2, B15; traps 22.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from workload.contract import Card, CardDefinition, CardQueue, Mpi, PoolKind, QueuePriority

GANGS: Final = ("mpi", "mpi-parameterized", "gpu-mpi")  # kinds of definitions that are multi-node parallel jobs
ON_DEMAND: Final = "on-demand"


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a job asks of a cluster; None: does not matter."""

    nodes: int | None = None  # None: a single container
    array: bool = False
    parameterized: bool = False
    mpi: Mpi | None = None
    vcpus: int | None = None
    memory_mib: int | None = None
    gpus: int | None = None
    ranks_x_threads: int | None = None  # what must fit on a node's cores
    instance_type: str | None = None
    image: str | None = None
    queue: str | None = None
    priority: QueuePriority | None = None


@dataclass(frozen=True, kw_only=True)
class Placement:
    queue: CardQueue
    definition: CardDefinition
    nodes: int | None  # None: a single container or an array of them


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a job cannot run on this cluster: the key of the job that is to blame, and the words."""

    key: str
    words: str


def place(need: Need, card: Card) -> Placement | list[Refusal]:
    """The first queue of the card, in its order, that can run the job; its definition. Else every refusal."""
    queues = [q for q in card.queues if need.queue in (None, q.name, q.arn)]
    if not queues:
        names = [q.name for q in card.queues]
        return [Refusal(key="queue", words=f"no queue {need.queue!r} on this cluster{_near(need.queue, names)}")]
    if need.queue is None and (lacking := _no_such_gpus(need, card)):
        return [lacking]
    refusals: list[Refusal] = []
    for queue in queues:
        definition = _definition(need, queue, card)
        if isinstance(definition, Refusal):
            found = [definition]
        else:
            nodes = _nodes(need, definition)
            found = _misfits(need, nodes, queue, definition)
            if not found:
                return Placement(queue=queue, definition=definition, nodes=nodes)
        refusals += [r for r in found if r not in refusals]
    return _most_telling(refusals, asked_queue=need.queue is not None)


def definition_kind(need: Need, queue: CardQueue) -> str | Refusal:
    """The kind of definition that a need means on a queue."""
    if need.array:
        return "array" if queue.kind is PoolKind.SINGLE else Refusal(key="array", words=_needs_kind(queue, "single"))
    if queue.kind is PoolKind.SINGLE or queue.capacity != ON_DEMAND:
        if need.parameterized or (need.nodes or 1) > 1:
            why = "Spot or Fargate capacity" if queue.capacity != ON_DEMAND else "single-node jobs"
            words = (
                f"queue {queue.name} has {why}: AWS Batch would keep a multi-node job RUNNABLE there for ever. "
                "Use a queue of kind mpi or gpu, or leave --queue out"
            )
            return Refusal(key="queue", words=words)
        return "single"
    if queue.kind is PoolKind.GPU:
        return "gpu-mpi"
    if need.gpus:
        return Refusal(key="gpus", words=_needs_kind(queue, "gpu"))
    return "mpi-parameterized" if need.parameterized else "mpi"


def _definition(need: Need, queue: CardQueue, card: Card) -> CardDefinition | Refusal:
    kind = definition_kind(need, queue)
    if isinstance(kind, Refusal):
        return kind
    if need.nodes is None and kind in GANGS and not need.parameterized and _has_single(card) and need.queue is None:
        return Refusal(key="nodes", words=_needs_kind(queue, "single"))
    known = [d for d in card.definitions if d.kind == kind and d.pool in {"", queue.pool}]
    if not known:
        return Refusal(key="queue", words=f"this cluster has no job definition of kind {kind}")
    images = [d for d in known if need.image in (None, d.image)]
    if not images:
        names = sorted({d.image for d in known})
        return Refusal(key="image", words=f"no image {need.image!r} for {kind} jobs; {_allowed(names, need.image)}")
    fitting = [d for d in images if need.mpi is None or need.mpi in d.mpis]
    if not fitting:
        has = sorted({m.value for d in images for m in d.mpis})
        words = f"got {need.mpi!s}, but image {images[0].image} has {', '.join(has) or 'no MPI'}"
        others = sorted({d.image for d in known if need.mpi in d.mpis})
        return Refusal(key="mpi", words=words + (f"; image {others[0]} has it" if others else ""))
    return fitting[0]


def _no_such_gpus(need: Need, card: Card) -> Refusal | None:
    """More GPUs than any node of the cluster has: then no queue is to blame."""
    most = max(card.queues, key=lambda q: q.gpus)
    if (need.gpus or 0) <= most.gpus:
        return None
    has = (
        f"a node has {most.gpus} at most, of queue {most.name}" if most.gpus else "this cluster has no node with a GPU"
    )
    return Refusal(key="gpus", words=f"got {need.gpus} a node; {has}")


def _nodes(need: Need, definition: CardDefinition) -> int | None:
    if definition.kind not in GANGS:
        return None
    return need.nodes or (definition.nodes if need.parameterized else 1)


def _misfits(need: Need, nodes: int | None, queue: CardQueue, definition: CardDefinition) -> list[Refusal]:
    found = []

    def refuse(key: str, words: str) -> None:
        found.append(Refusal(key=key, words=words))

    if need.priority is not None and queue.priority != need.priority:
        refuse(
            "priority",
            f"queue {queue.name} has priority {queue.priority}, {need.priority.name.lower()} is {need.priority:d}",
        )
    if need.instance_type is not None and need.instance_type not in queue.instance_types:
        has = ", ".join(queue.instance_types)
        refuse("instance_type", f"got {need.instance_type!r}; queue {queue.name} has {has}")
    if (need.vcpus or 0) > queue.vcpus:
        refuse("vcpus", f"got {need.vcpus} a node; a node of queue {queue.name} has {queue.vcpus}")
    if (need.memory_mib or 0) > queue.memory_mib:
        refuse(
            "memory",
            f"got {need.memory_mib} MiB a node; a node of queue {queue.name} gives {queue.memory_mib} MiB",
        )
    if (need.gpus or 0) > queue.gpus:
        refuse("gpus", f"got {need.gpus} a node; a node of queue {queue.name} has {queue.gpus}")
    if need.ranks_x_threads is not None and need.ranks_x_threads > queue.cores:
        cores = f"{queue.cores} core{'s' if queue.cores > 1 else ''}"
        refuse(
            "ranks_per_node",
            f"{need.ranks_x_threads} ranks x threads a node; a node of queue {queue.name} has {cores} "
            "(say oversubscribe to run more)",
        )
    vcpus = need.vcpus or (queue.vcpus if nodes else min(definition.vcpus, queue.vcpus))
    asked = vcpus * (nodes or 1)
    if asked > queue.max_vcpus:
        refuse(
            "nodes",
            f"{nodes or 1} nodes x {vcpus} vCPUs = {asked}; queue {queue.name} has {queue.max_vcpus} at most: "
            f"the job would wait for ever. At most {queue.max_vcpus // vcpus} nodes fit",
        )
    return found


def _most_telling(refusals: Sequence[Refusal], *, asked_queue: bool) -> list[Refusal]:
    """Of many queues' refusals those that the user can act on: of the queues that are of the right kind, one a key."""
    telling = [r for r in refusals if asked_queue or not (r.key == "queue" or r.words.startswith(_KIND))]
    by_key: dict[str, Refusal] = {}
    for refusal in telling or refusals:
        by_key.setdefault(refusal.key, refusal)
    return list(by_key.values())


_KIND: Final = "needs a queue of kind"


def _needs_kind(queue: CardQueue, kind: str) -> str:
    return f"{_KIND} {kind}; {queue.name} is of kind {queue.kind}"


def _has_single(card: Card) -> bool:
    return any(q.kind is PoolKind.SINGLE for q in card.queues) and any(d.kind == "single" for d in card.definitions)


def _near(word: str | None, names: Sequence[str]) -> str:
    return f"; {_allowed(names, word)}"


def _allowed(names: Sequence[str], word: str | None) -> str:
    near = get_close_matches(word or "", names, n=1)
    return (f"did you mean {near[0]!r}? " if near else "") + f"allowed: {', '.join(names)}"
