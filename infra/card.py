"""Card: all that the client knows about a cluster, in one SSM parameter and the stack's output `card`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from infra.definitions import LOG_SECONDS, Definition
from infra.naming import Names
from infra.pool_config import PoolPlan
from workload.contract import Card as ClusterCard
from workload.contract import CardDefinition, CardQueue, QueuePriority


@dataclass(frozen=True, kw_only=True)
class CardArgs:
    """Inputs of Card. `queue_arns`: by pool and priority; `definition_arns`: by name; `image_uris`: by image."""

    names: Names
    region: str
    account: str
    pools: Sequence[PoolPlan]
    definitions: Sequence[Definition]
    queue_arns: Mapping[str, Mapping[QueuePriority, pulumi.Input[str]]]
    definition_arns: Mapping[str, pulumi.Input[str]]
    image_uris: Mapping[str, pulumi.Input[str]]
    bucket: pulumi.Input[str]
    file_system: pulumi.Input[str]
    lustre: pulumi.Input[str]
    dashboard_url: pulumi.Input[str]
    topic: pulumi.Input[str]
    scheduler_role: pulumi.Input[str]
    tags: Mapping[str, str]


class Card(pulumi.ComponentResource):
    content: pulumi.Output[Any]
    arn: pulumi.Output[str]

    def __init__(self, name: str, args: CardArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tutti:card:Card", name, {}, opts)
        arns = {pool: {p.name: arn for p, arn in queues.items()} for pool, queues in args.queue_arns.items()}
        self.content = pulumi.Output.all(
            queues=arns,
            definitions=dict(args.definition_arns),
            images=dict(args.image_uris),
            place={
                "bucket": args.bucket,
                "file_system": args.file_system,
                "lustre": args.lustre,
                "dashboard_url": args.dashboard_url,
                "topic": args.topic,
                "scheduler_role": args.scheduler_role,
            },
        ).apply(lambda known: write(args, known))
        parameter = aws.ssm.Parameter(
            f"{name}-card",
            name=args.names.card,
            type="String",
            tier="Intelligent-Tiering",  # 4 KB hold a few pools
            description="The cluster card, which the client `tutti` reads",
            value=self.content.apply(lambda content: json.dumps(content, separators=(",", ":"))),
            tags={**args.tags, "Name": args.names.card},
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.arn = parameter.arn
        self.register_outputs({"arn": self.arn})


def write(args: CardArgs, known: Mapping[str, Any]) -> dict[str, Any]:
    """The card as JSON, once every ARN is known. Queues come in order: pools as configured, high priority first."""
    card = ClusterCard(
        stack=args.names.stack,
        group=args.names.group,
        region=args.region,
        account=args.account,
        queues=tuple(
            _queue(pool, priority, args.names, known["queues"][pool.name][priority.name])
            for pool in args.pools
            for priority in QueuePriority
        ),
        definitions=tuple(
            _definition(d, known["definitions"][d.name], known["images"][d.image.name]) for d in args.definitions
        ),
        prefix=args.names.prefix,
        log_group=args.names.log_group,
        schedule_group=args.names.schedule_group,
        waiting=args.names.waiting,
        grace_s=min((pool.config.stop_timeout for pool in args.pools), default=30) - LOG_SECONDS,
        **known["place"],
    )
    return card.to_json()


def _queue(pool: PoolPlan, priority: QueuePriority, names: Names, arn: str) -> CardQueue:
    config = pool.config
    return CardQueue(
        name=names.queue(pool.name, priority),
        arn=arn,
        pool=pool.name,
        kind=config.kind,
        priority=int(priority),
        instance_types=tuple(kind.name for kind in pool.types),
        zone=pool.zones[0] if len(pool.zones) == 1 else "",
        max_vcpus=config.max_vcpus,
        vcpus=pool.vcpus,
        cores=pool.cores,
        memory_mib=pool.memory_mib,
        gpus=pool.gpus,
        efa=bool(pool.efa_interfaces),
        nitro=pool.nitro,
        capacity="fargate" if config.fargate else "spot" if pool.spot_vcpus else "on-demand",
        node_mtbf_days=config.node_mtbf_days,
    )


def _definition(definition: Definition, arn: str, uri: str) -> CardDefinition:
    return CardDefinition(
        name=definition.name,
        arn=arn,
        kind=definition.kind,
        image=definition.image.name,
        image_uri=uri,
        mpis=definition.image.mpi,
        nodes=definition.nodes,
        timeout_s=definition.minutes * 60,
        attempts=definition.attempts,
        vcpus=definition.vcpus,
        memory_mib=definition.memory_mib,
        pool=definition.pool.name,
        gpus=definition.gpus,
        parameters=dict(definition.parameters),
        architecture=definition.image.architecture,
    )
