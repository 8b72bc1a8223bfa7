"""What the twin's tests share."""

import os
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config

from tutti.errors import TuttiError
from tutti.home import Home
from tutti.twin import control
from tutti.twin.nodes import Isolation, NodeHost, NodeHostError, NodeSpec
from tutti.twin.options import TwinOptions


def start_host(isolation: Isolation, *, user_namespace: bool | None = None) -> NodeHost:
    """A node host; where this machine does not permit it: a failure in CI, a skip elsewhere."""
    try:
        return NodeHost(isolation, name=f"tutti-test-{uuid4().hex[:8]}", user_namespace=user_namespace)
    except NodeHostError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))


@pytest.fixture
def process_host() -> Iterator[NodeHost]:
    with start_host(Isolation.PROCESS) as host:
        yield host


@pytest.fixture
def netns_host() -> Iterator[NodeHost]:
    with start_host(Isolation.NETNS) as host:
        yield host


@pytest.fixture(params=["process", "netns", "netns in a user namespace"])
def any_host(request: pytest.FixtureRequest) -> Iterator[NodeHost]:
    isolation = Isolation(request.param.split()[0])
    with start_host(isolation, user_namespace="user" in request.param or None) as host:
        yield host


@pytest.fixture
def node_spec(tmp_path: Path) -> Callable[..., NodeSpec]:
    """`node_spec(N, *argv, **fields)`: node N, with its own address, folder and log."""

    def make(index: int, *argv: str, **fields: Any) -> NodeSpec:
        defaults: dict[str, Any] = {
            "environment": {"PATH": os.environ["PATH"]},
            "folder": str(tmp_path / f"node-{index}"),
            "log": str(tmp_path / f"node-{index}.log"),
            "address": f"10.77.1.{index + 1}",
            "host_name": f"node-{index}",
        }
        return NodeSpec(key=f"job#{index}", argv=argv, **{**defaults, **fields})

    return make


MAIN_LAST = """
code=$?
here=$TUTTI_SHARED/work/${AWS_BATCH_JOB_ID%#*}.$AWS_BATCH_JOB_ATTEMPT
mkdir -p $here
touch $here/$AWS_BATCH_JOB_NODE_INDEX
if [ $AWS_BATCH_JOB_NODE_INDEX = 0 ]; then
  while [ $(ls $here | wc -l) -lt $AWS_BATCH_JOB_NUM_NODES ]; do sleep 0.02; done
fi
exit $code"""


class Desk:
    """A running twin and boto3 clients that speak to it, as any AWS client would."""

    def __init__(self, home: Home, options: TwinOptions) -> None:
        self.home = home
        self.options = options
        self.up()

    def up(self) -> None:
        self.about = control.up(self.home, self.options)
        self.card = control.card(self.home)
        assert self.card.twin is not None
        self.twin = self.card.twin

    def client(self, service: str, **options: Any) -> Any:
        own = {
            "aws_access_key_id": self.twin.access_key_id,
            "aws_secret_access_key": self.twin.secret_access_key,
        }
        return boto3.client(  # type: ignore[call-overload]  # the name is only known when it runs
            service,
            endpoint_url=self.twin.endpoint,
            region_name=self.card.region,
            **{"config": Config(retries={"total_max_attempts": 1}, read_timeout=30), **own, **options},
        )

    @cached_property
    def batch(self) -> Any:
        return self.client("batch")

    @cached_property
    def logs(self) -> Any:
        return self.client("logs")

    @cached_property
    def s3(self) -> Any:
        return self.client("s3")

    def gang(
        self, script: str, *, nodes: int = 2, queue: str = "twin-mpi-high", main_last: bool = False, **request: Any
    ) -> str:
        """Submit a multi-node job that runs `script` with sh on each node; its id.

        With `main_last` main waits, before it ends, until every child has run the script.
        """
        script = f"({script}){MAIN_LAST}" if main_last else script
        override = {"targetNodes": "0:", "containerOverrides": {"command": ["sh", "-c", script], **small()}}
        overrides = {"numNodes": nodes, "nodePropertyOverrides": [override]}
        request = {"jobName": "gang", "jobDefinition": "twin-mpi", "nodeOverrides": overrides, **request}
        return str(self.batch.submit_job(jobQueue=queue, **request)["jobId"])

    def single(self, script: str, *, queue: str = "twin-single-high", **request: Any) -> str:
        overrides = {"command": ["sh", "-c", script], **small()}
        request = {"jobName": "single", "jobDefinition": "twin-single", "containerOverrides": overrides, **request}
        return str(self.batch.submit_job(jobQueue=queue, **request)["jobId"])

    def describe(self, job_id: str) -> Any:
        return self.batch.describe_jobs(jobs=[job_id])["jobs"][0]

    def until(self, job_id: str, *statuses: str, seconds: float = 40) -> Any:
        """Wait for a status (by default one of the last two); what DescribeJobs then says."""
        wanted = statuses or ("SUCCEEDED", "FAILED")
        deadline = time.monotonic() + seconds
        while (found := self.describe(job_id))["status"] not in wanted:
            assert found["status"] not in {"SUCCEEDED", "FAILED"}, found
            assert time.monotonic() < deadline, found
            time.sleep(0.02)
        return found

    def log(self, job_id: str) -> list[str]:
        """Lines of a node (`ID#N`) or of a single job."""
        container = self.describe(job_id)["container"]
        events = self.logs.get_log_events(
            logGroupName=container.get("logConfiguration", {})
            .get("options", {})
            .get("awslogs-group", "/aws/batch/job"),
            logStreamName=container["logStreamName"],
            startFromHead=True,
        )
        return [event["message"] for event in events["events"]]

    def until_log(self, job_id: str, text: str, seconds: float = 20) -> None:
        """Wait until a node has written a line with `text` in it."""
        deadline = time.monotonic() + seconds
        while True:
            container = self.describe(job_id)["container"]
            if "logStreamName" in container and any(text in line for line in self.log(job_id)):
                return
            assert time.monotonic() < deadline, f"{job_id} has not written {text!r}"
            time.sleep(0.02)


def small() -> dict[str, Any]:
    return {"resourceRequirements": [{"type": "VCPU", "value": "2"}, {"type": "MEMORY", "value": "256"}]}


@pytest.fixture(scope="session")
def new_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Desk]]:
    """`new_desk(**options)`: a twin of one's own, which ends with the session at the latest."""
    desks: list[Desk] = []

    def make(**options: Any) -> Desk:
        defaults: dict[str, Any] = {"isolation": Isolation.PROCESS, "max_vcpus": 16, "child_spread_s": 0.05}
        desks.append(Desk(Home(root=tmp_path_factory.mktemp("home")), TwinOptions(**{**defaults, **options})))
        return desks[-1]

    yield make
    for desk in desks:
        control.down(desk.home)


@pytest.fixture(scope="session")
def desk(new_desk: Callable[..., Desk]) -> Desk:
    """One twin for all tests that leave it as it was: plain processes, two pools for MPI."""
    return new_desk(pools=2)


@pytest.fixture(scope="session")
def netns_desk(new_desk: Callable[..., Desk]) -> Desk:
    """One twin with nodes in network namespaces; where they cannot be had: a failure in CI, a skip elsewhere."""
    try:
        return new_desk(isolation=Isolation.NETNS)
    except TuttiError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
