"""Monitoring: the dashboard, events of jobs and queues, metrics made of them, and alarms."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pulumi
import pulumi_aws as aws

from infra.dashboard import DashboardArgs, dashboard
from infra.naming import Names
from workload import notices
from workload.notices import QUEUE_BLOCKED, STATE_CHANGE

PERIOD_S: Final = 300
NEAR_LIMIT: Final = 90  # percent
# What people read in a mail: which job, where, why. EventBridge replaces <name>.
FAILED_TEXT: Final = '"Job <name> (<id>) failed: <reason> - queue <queue> - more: tutti why <id>"'
BLOCKED_TEXT: Final = '"Queue <queue> is blocked by job <name> (<id>): <reason> - more: tutti why <id>"'


@dataclass(frozen=True, kw_only=True)
class MonitoringArgs:
    """Inputs of Monitoring. `after_access`: what lets EventBridge write to the log group, where this stack makes it.

    `spend_topic_name`: the topic to which a budget, and nobody else, publishes; None where there is no budget.
    """

    names: Names
    region: str
    queue_names: Sequence[str]
    queue_arns: Sequence[pulumi.Input[str]]
    instance_types: Sequence[str]
    file_system: pulumi.Input[str]
    event_log_group_arn: pulumi.Input[str]
    alarms_topic: pulumi.Input[str]
    notices_topic: pulumi.Input[str]
    spend_topic_name: pulumi.Input[str] | None
    after_access: Sequence[pulumi.Resource]
    tags: Mapping[str, str]


class Monitoring(pulumi.ComponentResource):
    dashboard_url: pulumi.Output[str]

    def __init__(self, name: str, args: MonitoringArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tutti:monitoring:Monitoring", name, {}, opts)
        self._name, self._args, self._child = name, args, pulumi.ResourceOptions(parent=self)
        self._rule("failed", STATE_CHANGE, ["FAILED"], text=FAILED_TEXT, topic=args.alarms_topic)
        self._rule("blocked", QUEUE_BLOCKED, [], text=BLOCKED_TEXT, topic=args.alarms_topic)
        self._rule(
            "ended", STATE_CHANGE, notices.ENDED, text=notices.TEXT, topic=args.notices_topic, more=notices.ASKED_FOR
        )
        self._event_log()
        self._count_alarm(
            "failed", "FailedJobs", f'{{ $.detail-type = "{STATE_CHANGE}" && $.detail.status = "FAILED" }}'
        )
        self._count_alarm("blocked", "BlockedQueues", f'{{ $.detail-type = "{QUEUE_BLOCKED}" }}')
        self._file_system_alarms()
        if args.spend_topic_name is not None:
            self._spend_alarm(args.spend_topic_name)
        board = aws.cloudwatch.Dashboard(
            f"{name}-dashboard",
            dashboard_name=f"tutti-{args.names.stack}",
            dashboard_body=pulumi.Output.from_input(args.file_system).apply(self._body),
            opts=self._child,
        )
        self.dashboard_url = pulumi.Output.concat(
            f"https://{args.region}.console.aws.amazon.com/cloudwatch/home?region={args.region}#dashboards/dashboard/",
            board.dashboard_name,
        )
        self.register_outputs({"dashboard_url": self.dashboard_url})

    def _tags(self, what: str) -> dict[str, str]:
        return {**self._args.tags, "Name": f"{self._name}-{what}"}

    def _body(self, file_system: str) -> str:
        args = self._args
        shown = DashboardArgs(
            region=args.region,
            namespace=args.names.namespace,
            queues=args.queue_names,
            instance_types=args.instance_types,
            file_system=file_system,
            event_log_group=args.names.event_log_group,
        )
        return json.dumps(dashboard(shown))

    def _pattern(
        self, detail_types: Sequence[str], statuses: Sequence[str] = (), more: Mapping[str, Any] | None = None
    ) -> pulumi.Output[str]:
        """Events of the stack's own queues."""
        return pulumi.Output.all(*self._args.queue_arns).apply(
            lambda queues: json.dumps(notices.pattern(queues, detail_types, statuses, more))
        )

    def _rule(
        self,
        what: str,
        detail_type: str,
        statuses: Sequence[str],
        *,
        text: str,
        topic: pulumi.Input[str],
        more: Mapping[str, Any] | None = None,
    ) -> None:
        rule = aws.cloudwatch.EventRule(
            f"{self._name}-{what}",
            description=f"{detail_type} {' or '.join(statuses)}".strip(),
            event_pattern=self._pattern([detail_type], statuses, more),
            tags=self._tags(what),
            opts=self._child,
        )
        aws.cloudwatch.EventTarget(
            f"{self._name}-{what}",
            rule=rule.name,
            arn=topic,
            input_transformer=aws.cloudwatch.EventTargetInputTransformerArgs(
                input_paths=notices.paths(text), input_template=text
            ),
            opts=self._child,
        )

    def _event_log(self) -> None:
        rule = aws.cloudwatch.EventRule(
            f"{self._name}-log",
            description="Events of the stack's queues, kept as a log",
            event_pattern=self._pattern([STATE_CHANGE, QUEUE_BLOCKED]),
            tags=self._tags("log"),
            opts=self._child,
        )
        aws.cloudwatch.EventTarget(
            f"{self._name}-log",
            rule=rule.name,
            arn=self._args.event_log_group_arn,
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(self._args.after_access)),
        )

    def _count_alarm(self, what: str, metric: str, pattern: str) -> None:
        """A metric of our own out of the event log, and an alarm when it counts anything in 300 s."""
        namespace = self._args.names.namespace
        aws.cloudwatch.LogMetricFilter(
            f"{self._name}-{what}",
            log_group_name=self._args.names.event_log_group,
            pattern=pattern,
            metric_transformation=aws.cloudwatch.LogMetricFilterMetricTransformationArgs(
                name=metric, namespace=namespace, value="1", unit="Count"
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(self._args.after_access)),
        )
        description = f"{metric} of the stack {self._args.names.stack}: tutti status, tutti why ID"
        self._alarm_on_any(what, description, namespace=namespace, metric_name=metric)

    def _spend_alarm(self, topic_name: pulumi.Input[str]) -> None:
        """The budget counts by the group's tag, which no metric of AWS does: so its messages are what is counted."""
        names = self._args.names
        self._alarm_on_any(
            "spend",
            f"The budget of the stack {names.stack} has said that a share of the month is spent: "
            f"aws budgets describe-budget --account-id ACCOUNT --budget-name {names.base}",
            namespace="AWS/SNS",
            metric_name="NumberOfMessagesPublished",
            dimensions={"TopicName": topic_name},
        )

    def _alarm_on_any(
        self,
        what: str,
        description: str,
        *,
        namespace: str,
        metric_name: str,
        dimensions: Mapping[str, pulumi.Input[str]] | None = None,
    ) -> None:
        """An alarm when the metric counts anything in 300 s."""
        aws.cloudwatch.MetricAlarm(
            f"{self._name}-{what}",
            alarm_description=description,
            namespace=namespace,
            metric_name=metric_name,
            dimensions=dimensions,
            statistic="Sum",
            period=PERIOD_S,
            evaluation_periods=1,
            threshold=1,
            comparison_operator="GreaterThanOrEqualToThreshold",
            treat_missing_data="notBreaching",
            alarm_actions=[self._args.alarms_topic],
            tags=self._tags(what),
            opts=self._child,
        )

    def _file_system_alarms(self) -> None:
        query = aws.cloudwatch.MetricAlarmMetricQueryArgs
        metric = aws.cloudwatch.MetricAlarmMetricQueryMetricArgs
        dimensions = {"FileSystemId": self._args.file_system}
        aws.cloudwatch.MetricAlarm(
            f"{self._name}-efs-operations",
            alarm_description="The shared file system is near its limit of operations: fewer small files, or Lustre",
            namespace="AWS/EFS",
            metric_name="PercentIOLimit",
            dimensions=dimensions,
            statistic="Maximum",
            period=PERIOD_S,
            evaluation_periods=3,
            threshold=NEAR_LIMIT,
            comparison_operator="GreaterThanOrEqualToThreshold",
            treat_missing_data="notBreaching",
            alarm_actions=[self._args.alarms_topic],
            tags=self._tags("efs-operations"),
            opts=self._child,
        )
        aws.cloudwatch.MetricAlarm(
            f"{self._name}-efs-throughput",
            alarm_description="The shared file system is near its permitted throughput: provision more, or Lustre",
            metric_queries=[
                query(
                    id="used",
                    expression="100 * moved / PERIOD(moved) / permitted",
                    label="percent of the permitted throughput",
                    return_data=True,
                ),
                query(
                    id="moved",
                    metric=metric(
                        namespace="AWS/EFS",
                        metric_name="MeteredIOBytes",
                        dimensions=dimensions,
                        period=PERIOD_S,
                        stat="Sum",
                    ),
                ),
                query(
                    id="permitted",
                    metric=metric(
                        namespace="AWS/EFS",
                        metric_name="PermittedThroughput",
                        dimensions=dimensions,
                        period=PERIOD_S,
                        stat="Average",
                    ),
                ),
            ],
            evaluation_periods=3,
            threshold=NEAR_LIMIT,
            comparison_operator="GreaterThanOrEqualToThreshold",
            treat_missing_data="notBreaching",
            alarm_actions=[self._args.alarms_topic],
            tags=self._tags("efs-throughput"),
            opts=self._child,
        )
