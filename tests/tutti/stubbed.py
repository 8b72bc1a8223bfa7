"""A cluster of prepared answers, which botocore checks against AWS's own models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import boto3
from botocore.stub import Stubber

from workload.contract import Card, CardDefinition, CardQueue, PoolKind


def queue(arn: str) -> CardQueue:
    """A queue of small nodes."""
    return CardQueue(
        name=arn.rpartition(":")[2], arn=arn, pool="cpu", kind=PoolKind.MPI, priority=10, instance_types=("c7i.2xlarge",),
        zone="us-east-1a", max_vcpus=256, vcpus=8, cores=4, memory_mib=15000,
    )  # fmt: skip


class Stubbed:
    """A cluster whose clients give prepared answers."""

    is_twin = False

    def __init__(self, *, queues: Sequence[CardQueue | str] = (), definitions: Sequence[CardDefinition] = ()) -> None:
        known = tuple(queue(q) if isinstance(q, str) else q for q in queues)
        self.card = Card(
            stack="dev", group="dev", region="us-east-1", account="1", queues=known, definitions=tuple(definitions), bucket="b",
            prefix="dev/", file_system="fs-1", log_group="/g",
        )  # fmt: skip
        self.stubs: dict[str, Stubber] = {}
        self.clients: dict[str, Any] = {}

    def client(self, service: str, **_: Any) -> Any:
        if service not in self.clients:
            self.clients[service] = boto3.client(
                service, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="s"
            )  # type: ignore[call-overload]  # the service's name is only known when it runs
            self.stubs[service] = Stubber(self.clients[service])
            self.stubs[service].activate()
        return self.clients[service]

    @property
    def batch(self) -> Any:
        return self.client("batch")

    @property
    def s3(self) -> Any:
        return self.client("s3")

    def answers(self, service: str, call: str, answer: dict[str, Any]) -> None:
        self.client(service)
        self.stubs[service].add_response(call, answer)

    def refuses(self, service: str, call: str, code: str) -> None:
        self.client(service)
        self.stubs[service].add_client_error(call, code)
