"""The request that is sent: as AWS's own model wants it, and refused before it is sent where AWS would not run it."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

from tutti import batch
from tutti.errors import InputError
from tutti.job import Job
from workload.contract import Card
from workload.settings import InputTo, Settings


@pytest.fixture(scope="module")
def shape() -> Any:
    return botocore.session.get_session().get_service_model("batch").operation_model("SubmitJob").input_shape


def ask(job: Job, card: Card) -> dict[str, Any]:
    return batch.signed(batch.request(job, card), "AIDAX")


def environment(request: dict[str, Any]) -> dict[str, str]:
    overrides = (
        request.get("containerOverrides") or request["nodeOverrides"]["nodePropertyOverrides"][0]["containerOverrides"]
    )
    return {e["name"]: e["value"] for e in overrides["environment"]}


JOBS = {
    "gang": Job(command=["python", "x.py"], nodes=4, ranks_per_node=2, threads=2, mpi="mpich"),
    "all": Job(
        command=["./a.out", "Ref::size"],
        name="wave",
        nodes=2,
        input=["s3://lab-data/a"],
        input_to="shared",
        output=["shared:output/x"],
        env={"A": "1"},
        secret={"TOKEN": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:x"},
        vcpus=8,
        memory="8G",
        param={"size": "4"},
        label={"project": "m31"},
        timeout="2h",
        signal_before="5m",
        retries=2,
        retry_on=17,
        hang_after="10m",
        join_timeout="5m",
        priority="low",
        after=["11111111-1111-1111-1111-111111111111"],
    ),
    "array": Job(command=["x"], array=10, after=["sequential"]),
    "single": Job(command=["x"], memory=2000),
    "gpu": Job(command=["x"], nodes=2, gpus=8),
    "default": Job(nodes=3),
    "parameterized": Job(param={"computeIntensity": "high"}),
}


@pytest.mark.parametrize("name", JOBS)
def test_aws_s_own_model_accepts_the_request(name: str, card: Card, shape: Any) -> None:
    report = ParamValidator().validate(ask(JOBS[name], card), shape)
    assert not report.has_errors(), report.generate_report()


def test_a_gang_overrides_numnodes_and_the_one_open_range(card: Card) -> None:
    request = ask(JOBS["gang"], card)
    assert request["jobQueue"].endswith("job-queue/cpu-high")
    assert request["nodeOverrides"]["numNodes"] == 4
    [only] = request["nodeOverrides"]["nodePropertyOverrides"]
    assert only["targetNodes"] == "0:"
    assert only["containerOverrides"]["command"] == ["tutti-node", "--", "python", "x.py"]
    assert "containerOverrides" not in request


def test_a_single_job_overrides_its_container(card: Card) -> None:
    request = ask(JOBS["single"], card)
    assert "nodeOverrides" not in request
    assert {"type": "MEMORY", "value": "2000"} in request["containerOverrides"]["resourceRequirements"]


def test_what_the_nodes_read_is_what_the_user_said(card: Card) -> None:
    said = Settings.from_environment(environment(ask(JOBS["all"], card)))
    assert said == Settings(
        inputs=("s3://lab-data/a",),
        input_to=InputTo.SHARED,
        outputs=("shared:output/x",),
        secrets={"TOKEN": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:x"},
        timeout=7200,
        join_timeout=300,
        signal_before=300,
        hang_after=600,
    )


def test_the_nodes_know_the_definition_s_timeout_where_the_job_says_none(card: Card) -> None:
    assert Settings.from_environment(environment(ask(JOBS["gang"], card))).timeout == 3600


def test_a_submission_is_tagged_with_stack_group_user_name_and_labels(card: Card) -> None:
    assert ask(JOBS["all"], card)["tags"] == {
        "tutti:stack": "lab",
        "tutti:group": "astro",
        "tutti:user": "AIDAX",
        "tutti:job": "wave",
        "project": "m31",
    }


def test_one_code_of_the_user_s_is_retried_besides_ours_and_all_else_is_not(card: Card) -> None:
    strategy = ask(JOBS["all"], card)["retryStrategy"]
    assert strategy["attempts"] == 3
    assert {"onExitCode": "17", "action": "RETRY"} in strategy["evaluateOnExit"]
    assert strategy["evaluateOnExit"][-1] == {"onReason": "*", "action": "EXIT"}
    assert len(strategy["evaluateOnExit"]) <= 5


def test_a_payload_over_30_kib_is_refused_with_the_way_out(card: Card) -> None:
    with pytest.raises(InputError, match=r"AWS Batch allows 30,720\. Put long arguments and variables into a file"):
        ask(Job(command=["x"], nodes=2, env={"A": "x" * 31_000}), card)


def test_a_parameter_that_goes_nowhere_is_refused(card: Card) -> None:
    with pytest.raises(InputError, match="the command has no Ref::size"):
        ask(Job(command=["x"], nodes=2, param={"size": "4"}), card)
    with pytest.raises(
        InputError, match=r"no parameter 'intensity'.*allowed: inputDataPath, outputDataPath, computeIntensity"
    ):
        ask(Job(param={"intensity": "4"}), card)
    with pytest.raises(InputError, match=r"Ref::size has no value"):
        ask(Job(command=["Ref::size"], nodes=2), card)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["python", "-m", "mpi4py", "-m", "workload", "run", "ring", "--laps", "1"], "ring"),
        (["./wave.py", "x"], "wave"),
        (["bash", "-c", "echo a; b"], "echo-a-b"),
        (["/usr/bin/env", "python3.11", "/x/y/flow.py"], "flow"),
        (["..."], "mpi"),
        ([], "mpi"),
    ],
)
def test_a_job_is_named_after_its_program(command: list[str], name: str) -> None:
    assert batch.name_from(command, "mpi") == name


class Throttling:
    """A Batch that throttles some times and then answers; or refuses for good."""

    def __init__(self, *codes: str) -> None:
        self.codes = list(codes)
        self.calls = 0

    def submit_job(self, **_: object) -> dict[str, str]:
        self.calls += 1
        if self.codes:
            raise ClientError({"Error": {"Code": self.codes.pop(0), "Message": "slow down"}}, "SubmitJob")
        return {"jobId": "j-1"}


def test_throttling_is_answered_by_waiting_longer_each_time() -> None:
    waits: list[float] = []
    client = Throttling(*["TooManyRequestsException"] * 5)
    assert batch.send(client, {}, sleep=waits.append) == "j-1"  # type: ignore[arg-type]  # the one method that send calls
    assert client.calls == 6
    assert waits[-1] > 2 * waits[0]


def test_a_refusal_is_not_sent_again() -> None:
    client = Throttling("ClientException")
    with pytest.raises(ClientError):
        batch.send(client, {}, sleep=lambda _: None)  # type: ignore[arg-type]  # the one method that send calls
    assert client.calls == 1


def test_a_gang_is_told_how_often_nodes_of_its_pool_fail_where_that_is_known(card: Card) -> None:
    job = Job(command=["x"], nodes=2)
    assert "TUTTI_NODE_MTBF" not in environment(ask(job, card))
    known = card.but(queues=tuple(queue.but(node_mtbf_days=200) for queue in card.queues))
    assert environment(ask(job, known))["TUTTI_NODE_MTBF"] == "17280000"
