"""Topics: alarms for operators, notices for the people whose jobs end, and the schedules they may set."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra import policies


@dataclass(frozen=True, kw_only=True)
class TopicsArgs:
    """Inputs of Topics. `addresses`: asked once each to confirm."""

    addresses: Sequence[str]
    account: str
    tags: Mapping[str, str]


class Topics(pulumi.ComponentResource):
    """Not encrypted with a key of ours: EventBridge, CloudWatch and Budgets cannot use AWS's own key for SNS."""

    alarms: pulumi.Output[str]
    notices: pulumi.Output[str]

    def __init__(self, name: str, args: TopicsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tutti:monitoring:Topics", name, {}, opts)
        self._name, self._args, self._child = name, args, pulumi.ResourceOptions(parent=self)
        self.alarms = self._topic(
            "alarms", ("budgets.amazonaws.com", "cloudwatch.amazonaws.com", "events.amazonaws.com")
        )
        self.notices = self._topic("notices", ("events.amazonaws.com",))
        for i, address in enumerate(args.addresses):
            aws.sns.TopicSubscription(
                f"{name}-alarms-{i}", topic=self.alarms, protocol="email", endpoint=address, opts=self._child
            )
        self.register_outputs({"alarms": self.alarms, "notices": self.notices})

    def _topic(self, what: str, services: Sequence[str]) -> pulumi.Output[str]:
        name, account = f"{self._name}-{what}", self._args.account
        topic = aws.sns.Topic(name, tags={**self._args.tags, "Name": name}, opts=self._child)
        aws.sns.TopicPolicy(
            name,
            arn=topic.arn,
            policy=topic.arn.apply(lambda arn: json.dumps(policies.publish(arn, account=account, services=services))),
            opts=self._child,
        )
        return topic.arn
