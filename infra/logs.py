"""Logs: one group for the jobs' output, one for the events of the stack's queues."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_aws as aws

from infra import policies
from infra.naming import Names

EVENT_GROUPS: Final = "/aws/events/tutti"  # EventBridge writes only below /aws/events/


@dataclass(frozen=True, kw_only=True)
class LogsArgs:
    """Inputs of Logs."""

    names: Names
    retention_days: int
    tags: Mapping[str, str]


class Logs(pulumi.ComponentResource):
    jobs_arn: pulumi.Output[str]
    events_arn: pulumi.Output[str]
    ready: Sequence[pulumi.Resource]

    def __init__(self, name: str, args: LogsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tutti:monitoring:Logs", name, {}, opts)

        def group(what: str, full: str) -> aws.cloudwatch.LogGroup:
            return aws.cloudwatch.LogGroup(
                f"{name}-{what}",
                name=full,
                retention_in_days=args.retention_days,
                tags={**args.tags, "Name": full},
                opts=pulumi.ResourceOptions(parent=self),
            )

        jobs, events = group("jobs", args.names.log_group), group("events", args.names.event_log_group)
        self.jobs_arn, self.events_arn = jobs.arn, events.arn
        self.ready = [jobs]
        self.register_outputs({"jobs_arn": self.jobs_arn, "events_arn": self.events_arn})


@dataclass(frozen=True, kw_only=True)
class EventAccessArgs:
    """Inputs of EventAccess. `scope`: the log groups' name after /aws/events/tutti/, "*" for all of the account."""

    scope: str
    region: str
    account: str
    partition: str


class EventAccess(pulumi.ComponentResource):
    """EventBridge's right to write events to log groups.

    An account has ten such policies a region, and the number cannot be raised: so a shared stack makes one for every
    stack on it.
    """

    def __init__(self, name: str, args: EventAccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tutti:monitoring:EventAccess", name, {}, opts)
        arn = f"arn:{args.partition}:logs:{args.region}:{args.account}:log-group:{EVENT_GROUPS}/{args.scope}"
        own = "tutti-*" if args.scope == "*" else f"tutti-{args.scope}-*"
        rules = f"arn:{args.partition}:events:{args.region}:{args.account}:rule/{own}"
        aws.cloudwatch.LogResourcePolicy(
            f"{name}-events",
            policy_name=f"tutti-{name}-events",
            policy_document=json.dumps(policies.events_to_logs(arn, rule_arns=rules)),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})
