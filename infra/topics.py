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
    """Inputs of Topics. `addresses`: asked once each to confirm. `spend`: there is a budget, which gets a topic."""

    addresses: Sequence[str]
    spend: bool
    account: str
    tags: Mapping[str, str]


class Topics(pulumi.ComponentResource):
    """Not encrypted with a key of ours: EventBridge, CloudWatch and Budgets cannot use AWS's own key for SNS.

    `spend` takes what the budget says and nothing else: SNS counts its messages, which is the alarm's metric.
    """

    alarms: pulumi.Output[str]
    notices: pulumi.Output[str]
    spend: aws.sns.Topic | None

    def __init__(self, name: str, args: TopicsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tutti:monitoring:Topics", name, {}, opts)
        self._name, self._args, self._child = name, args, pulumi.ResourceOptions(parent=self)
        self.alarms = self._topic("alarms", ("cloudwatch.amazonaws.com", "events.amazonaws.com")).arn
        self.notices = self._topic("notices", ("events.amazonaws.com",)).arn
        self.spend = self._topic("spend", ("budgets.amazonaws.com",)) if args.spend else None
        for i, address in enumerate(args.addresses):
            aws.sns.TopicSubscription(
                f"{name}-alarms-{i}", topic=self.alarms, protocol="email", endpoint=address, opts=self._child
            )
        self.register_outputs({"alarms": self.alarms, "notices": self.notices})

    def _topic(self, what: str, services: Sequence[str]) -> aws.sns.Topic:
        name, account = f"{self._name}-{what}", self._args.account
        topic = aws.sns.Topic(name, tags={**self._args.tags, "Name": name}, opts=self._child)
        aws.sns.TopicPolicy(
            name,
            arn=topic.arn,
            policy=topic.arn.apply(lambda arn: json.dumps(policies.publish(arn, account=account, services=services))),
            opts=self._child,
        )
        return topic
