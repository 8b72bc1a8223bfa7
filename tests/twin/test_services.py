"""What stands beside Batch on the same endpoint, for whoever tries functions and stacks at a desk."""

from typing import Any

import pytest

Desk = Any


@pytest.mark.parametrize(
    ("service", "call"),
    [
        ("s3", "list_buckets"),
        ("iam", "list_roles"),
        ("ec2", "describe_instances"),
        ("efs", "describe_file_systems"),
        ("ecr", "describe_repositories"),
        ("sns", "list_topics"),
        ("sqs", "list_queues"),
        ("events", "list_rules"),
        ("cloudwatch", "list_metrics"),
        ("secretsmanager", "list_secrets"),
        ("stepfunctions", "list_state_machines"),
        ("lambda", "list_functions"),
        ("ssm", "describe_parameters"),
        ("scheduler", "list_schedules"),
        ("sts", "get_caller_identity"),
        ("batch", "describe_job_queues"),
        ("logs", "describe_log_groups"),
    ],
)
def test_a_service_of_the_design_answers_on_the_one_endpoint(desk: Desk, service: str, call: str) -> None:
    assert getattr(desk.client(service), call)()["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_budgets_answer_too(desk: Desk) -> None:
    assert desk.client("budgets").describe_budgets(AccountId=desk.card.account)["Budgets"] == []


def test_a_service_that_is_not_there_is_refused_in_words(desk: Desk) -> None:
    client = desk.client("gamelift")
    with pytest.raises(client.exceptions.ClientError, match="does not have the service gamelift"):
        client.list_fleets()


def test_the_card_names_the_topic_and_the_schedules_that_are_there(desk: Desk) -> None:
    topics = desk.client("sns").list_topics()["Topics"]
    assert desk.card.topic in {t["TopicArn"] for t in topics}
    [rule] = [r for r in desk.client("events").list_rules()["Rules"] if r["Name"] == "tutti-twin-ended"]
    assert rule["State"] == "ENABLED"
    assert desk.client("scheduler").get_schedule_group(Name=desk.card.schedule_group)["State"] == "ACTIVE"
    assert desk.card.scheduler_role
