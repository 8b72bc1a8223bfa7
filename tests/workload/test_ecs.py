"""What the ECS agent says, asked over a real socket: with care, for it is not ours."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator

import pytest

from workload import ecs

# As the Developer Guide shows it ("Example task metadata response"), shortened.
TASK = {
    "Cluster": "AWSBatch-tutti-dev-1",
    "TaskARN": "arn:aws:ecs:us-west-2:111122223333:task/AWSBatch-tutti-dev-1/158d1c8083dd49d6b527399fd6414f5c",
    "PullStartedAt": "2020-10-02T00:43:06.202617438Z",
    "PullStoppedAt": "2020-10-02T00:43:07.31288465Z",
    "Containers": [{"Name": "default", "Networks": [{"NetworkMode": "awsvpc", "IPv4Addresses": ["10.0.2.106"]}]}],
}
Agent = Callable[[bytes], str]


@pytest.fixture
def agent() -> Iterator[Agent]:
    """`agent(body)`: the address of an agent that answers so below `/task`, and 404 elsewhere."""
    bodies: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = bodies.get(self.path)
            self.send_response(404 if body is None else 200)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            return

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def made(body: bytes) -> str:
            bodies["/v4/x/task"] = body
            return f"http://127.0.0.1:{server.server_port}/v4/x"

        yield made
        server.shutdown()


def test_a_pull_is_told_as_the_agent_has_it(agent: Agent) -> None:
    assert ecs.pull(agent(json.dumps(TASK).encode())) == (TASK["PullStartedAt"], TASK["PullStoppedAt"])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[]",
        b"{}",
        json.dumps({**TASK, "PullStoppedAt": None}).encode(),
        json.dumps({**TASK, "PullStoppedAt": "soon"}).encode(),
        json.dumps({**TASK, "PullStoppedAt": f"{TASK['PullStoppedAt']} and more"}).encode(),
        b" " * (ecs.MOST_BYTES + 1),
    ],
    ids=["nothing", "words", "a list", "an empty object", "not yet pulled", "no time", "more than a time", "too much"],
)
def test_an_answer_that_does_not_say_it_is_one_error(agent: Agent, body: bytes) -> None:
    with pytest.raises(ecs.MetadataError, match="does not say when it pulled"):
        ecs.pull(agent(body))


def test_nobody_there_is_the_same_error(agent: Agent) -> None:
    with pytest.raises(ecs.MetadataError, match="404"):
        ecs.pull(agent(b"") + "/elsewhere")
    with pytest.raises(ecs.MetadataError, match="does not say this node's address"):
        ecs.address("http://127.0.0.1:1/v4/x")
