"""The launch agent and main's side of it: real agents, called as mpiexec calls them."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from workload.gang.agents import AgentCall, AgentServer, holder
from workload.gang.loop import Loop


class Desk:
    """Main's side for two hosts, with what it heard."""

    def __init__(self, folder: Path) -> None:
        self.loop = Loop()
        self.calls: list[AgentCall] = []
        self.gone: list[AgentCall] = []
        self.refused: list[str] = []
        self.server = AgentServer(
            self.loop,
            folder,
            ["10.0.0.1", "10.0.0.2"],
            on_call=self.calls.append,
            on_gone=self.gone.append,
            refused=self.refused.append,
        )
        self.folder = Path(self.server.agent).parent

    def agent(self, *argv: str) -> subprocess.Popen[str]:
        return subprocess.Popen([self.server.agent, *argv], stderr=subprocess.PIPE, text=True)

    def until(self, what: Callable[[], bool]) -> None:
        end = time.monotonic() + 20
        while not what():
            assert time.monotonic() < end, (self.calls, self.refused)
            self.loop.turn(0.05)


@pytest.fixture
def desk(short_path: Path) -> Iterator[Desk]:
    one = Desk(short_path)
    yield one
    one.server.close()
    one.loop.close()


def ended(agent: subprocess.Popen[str]) -> int:
    _, _ = agent.communicate(timeout=20)
    return agent.returncode


@pytest.fixture
def reaped_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the test, and not the loop, wait for the agents."""
    monkeypatch.setattr(Loop, "_reap", lambda self: None)


@pytest.mark.parametrize(
    "argv",
    [
        ("-x", "10.0.0.2", "proxy", "--port", "h:1"),
        ("-q", "-o", "BatchMode=yes", "-l", "me", "10.0.0.2", "proxy --port h:1"),
        ("me@10.0.0.2", "proxy", "--port h:1"),
    ],
)
def test_the_command_comes_as_ssh_would_join_it(desk: Desk, reaped_here: None, argv: tuple[str, ...]) -> None:
    agent = desk.agent(*argv)
    desk.until(lambda: bool(desk.calls))
    assert (desk.calls[0].host, desk.calls[0].command) == ("10.0.0.2", "proxy --port h:1")
    desk.calls[0].finish(3)
    assert ended(agent) == 3
    desk.until(lambda: desk.server._pipes["10.0.0.2"].alive is None)
    assert desk.gone == []


def test_a_command_longer_than_a_pipe_is_whole(desk: Desk, reaped_here: None) -> None:
    long = "A='" + "x" * 100_000 + "' daemon"
    agent = desk.agent("10.0.0.1", long)
    desk.until(lambda: bool(desk.calls))
    assert desk.calls[0].command == long
    desk.calls[0].finish(0)
    assert ended(agent) == 0


def test_an_agent_that_mpiexec_ends_is_told(desk: Desk, reaped_here: None) -> None:
    agent = desk.agent("10.0.0.1", "daemon")
    desk.until(lambda: bool(desk.calls))
    agent.kill()
    ended(agent)
    desk.until(lambda: bool(desk.gone))
    assert desk.gone == desk.calls
    assert desk.calls[0].finished


def test_agents_end_when_main_does(desk: Desk, reaped_here: None) -> None:
    agent = desk.agent("10.0.0.1", "daemon")
    desk.until(lambda: bool(desk.calls))
    desk.server.close()
    assert ended(agent) == 255


def test_a_host_that_is_not_in_the_gang_is_refused_by_name(desk: Desk, reaped_here: None) -> None:
    agent = desk.agent("10.9.9.9", "daemon")
    _, said = agent.communicate(timeout=20)
    assert agent.returncode == 255
    assert "'10.9.9.9', which is not in this gang" in said


def test_only_this_user_can_enter(desk: Desk) -> None:
    assert desk.folder.stat().st_mode & 0o777 == 0o700
    assert all(p.stat().st_mode & 0o077 == 0 for p in desk.folder.iterdir())


def test_who_asks_must_hold_the_pipe_and_be_this_user(desk: Desk) -> None:
    pipe = desk.folder / "10.0.0.1.ask"
    fd = holder(str(os.getpid()).encode(), pipe)  # this process has it open: it serves it
    assert fd is not None
    os.close(fd)
    assert holder(b"1", pipe) is None
    assert holder(b"99999999", pipe) is None
    assert holder(b"no number", pipe) is None


def test_a_request_in_anothers_name_is_refused(desk: Desk) -> None:
    with (desk.folder / "10.0.0.1.ask").open("wb") as pipe:
        pipe.write(b"1\nrm -rf /\0")
        pipe.flush()
        desk.until(lambda: bool(desk.refused))
    assert "does not hold this user's pipe" in desk.refused[0]
    assert desk.calls == []
