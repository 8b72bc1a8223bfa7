"""Nodes start, log, obey and end: with real processes, in each isolation."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tutti.twin.nodes import Drill, NodeHost, NodeHostError, NodeSpec
from tutti.twin.nodes.processes import marked

Make = Callable[..., NodeSpec]


def lines(spec: NodeSpec) -> list[str]:
    return [line.partition("\t")[2] for line in Path(spec.log).read_text().splitlines()]


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for an effect in the kernel that nothing announces."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def test_a_node_runs_its_command_with_its_own_environment_and_reports_its_code(
    any_host: NodeHost, node_spec: Make
) -> None:
    spec = node_spec(
        0, "sh", "-c", "echo out; echo err >&2; env | sort; exit 7", environment={"PATH": os.environ["PATH"], "A": "b"}
    )
    assert any_host.start(spec).wait(20).code == 7
    assert lines(spec)[:3] == ["out", "err", "A=b"]


def test_a_command_that_is_not_there_is_reported_with_its_name(any_host: NodeHost, node_spec: Make) -> None:
    spec = node_spec(0, "no-such-command")
    end = any_host.start(spec).wait(20)
    assert not end.started
    assert end.reason.startswith("CannotStartContainerError: no-such-command")
    assert any("no-such-command" in line for line in lines(spec))


def test_a_signal_reaches_the_main_process_and_a_death_by_signal_is_128_more(
    any_host: NodeHost, node_spec: Make
) -> None:
    node = any_host.start(node_spec(0, "sh", "-c", "trap 'exit 9' TERM; echo up; while :; do sleep 0.02; done"))
    until(lambda: Path(node.spec.log).exists() and "up" in lines(node.spec))
    node.signal(signal.SIGTERM)
    assert node.wait(20).code == 9
    other = any_host.start(node_spec(1, "sleep", "1000"))
    assert other.started.wait(20)
    other.drill(Drill.KILL)
    assert other.wait(20).code == 137


DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execvpe(sys.executable, [sys.executable, "-c", "import time; time.sleep(1000)"], {})
    os._exit(0)
os.wait()
"""


def test_what_daemonises_and_clears_its_environment_is_ended_with_its_node(any_host: NodeHost, node_spec: Make) -> None:
    end = any_host.start(node_spec(0, sys.executable, "-c", DAEMON)).wait(20)
    assert end.code == 0
    assert end.leftovers == (0 if any_host.pid_namespace else 1), "with a PID namespace the kernel ends it"
    daemons = [path for path in Path("/proc").glob("[0-9]*") if _argv(path)[-1:] == ["import time; time.sleep(1000)"]]
    assert daemons == []


def _argv(process: Path) -> list[str]:
    try:
        return (process / "cmdline").read_text().split("\0")[:-1]
    except OSError:
        return []


def test_a_flood_is_cut_with_a_line_that_says_so_and_its_last_lines_stay(
    process_host: NodeHost, node_spec: Make
) -> None:
    program = "import sys\nfor n in range(200_000): sys.stdout.write(f'line {n}\\n')"
    spec = node_spec(0, sys.executable, "-c", program, log_limit=100_000)
    process_host.start(spec).wait(60)
    got = lines(spec)
    assert any("this log is cut here: it has reached the limit of 100000 bytes" in line for line in got)
    assert got[-1] == "line 199999"
    assert Path(spec.log).stat().st_size < 600_000


def test_stopped_and_continued_node_goes_on(any_host: NodeHost, node_spec: Make) -> None:
    node = any_host.start(node_spec(0, "sh", "-c", "while :; do echo beat; sleep 0.01; done"))
    until(lambda: Path(node.spec.log).exists() and len(lines(node.spec)) > 2)
    node.drill(Drill.STOP)
    until(lambda: _state(node.pid) == "T")
    node.drill(Drill.CONT)
    before = len(lines(node.spec))
    until(lambda: len(lines(node.spec)) > before + 2)


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def test_nodes_end_when_the_host_is_killed_and_when_a_minder_is_killed(node_spec: Make, any_host: NodeHost) -> None:
    environment = {"PATH": os.environ["PATH"], "TUTTI_TWIN": f"{any_host.pid}-host"}
    nodes = [
        any_host.start(node_spec(n, "sh", "-c", "sleep 999 & sleep 999", environment=environment)) for n in range(3)
    ]
    assert all(node.started.wait(20) for node in nodes)
    minder = int(Path(f"/proc/{nodes[0].pid}/stat").read_text().rpartition(") ")[2].split()[1])
    os.kill(minder, signal.SIGKILL)
    assert nodes[0].wait(20).reason == "the node's minder was killed"
    os.kill(any_host.pid, signal.SIGKILL)
    assert [node.wait(20).reason for node in nodes[1:]] == ["the node host is gone"] * 2
    until(lambda: not marked(environment["TUTTI_TWIN"]))
    any_host.close()
    assert not list(Path("/sys/fs/cgroup").glob(f"*/{any_host.name}"))


@pytest.mark.netns
def test_each_netns_node_has_its_own_host_name_address_shm_and_hosts_file(
    netns_host: NodeHost, node_spec: Make
) -> None:
    script = (
        "hostname; cat /etc/hosts; wc -c < /etc/resolv.conf; touch /dev/shm/mine; ls /dev/shm; "
        'python3 -c "import socket; print(sorted(n for _, n in socket.if_nameindex()))"'
    )
    nodes = [netns_host.start(node_spec(n, "sh", "-c", script, hosts={"other": "10.77.1.9"})) for n in range(2)]
    for n, node in enumerate(nodes):
        assert node.wait(20).code == 0
        assert lines(node.spec) == [
            f"node-{n}",
            "127.0.0.1\tlocalhost",
            "10.77.1.9\tother",
            f"10.77.1.{n + 1}\tnode-{n}",
            "0",
            "mine",
            "['ecs-eth0', 'eth0', 'lo']",
        ]


CALLER = """
import socket, sys
s = socket.create_connection(("10.77.1.1", 5000), timeout=1)
s.sendall(b"x")
print(s.recv(1))
"""
LISTENER = """
import socket
listener = socket.create_server(("10.77.1.1", 5000))
print("ready", flush=True)
while True:
    connection, _ = listener.accept()
    connection.sendall(connection.recv(1))
"""


@pytest.mark.netns
def test_nodes_reach_each_other_and_a_cut_link_carries_nothing_until_mended(
    netns_host: NodeHost, node_spec: Make
) -> None:
    listener = netns_host.start(node_spec(0, sys.executable, "-c", LISTENER))
    until(lambda: Path(listener.spec.log).exists() and "ready" in lines(listener.spec))
    assert netns_host.start(node_spec(1, sys.executable, "-c", CALLER)).wait(20).code == 0
    listener.drill(Drill.CUT)
    assert netns_host.start(node_spec(2, sys.executable, "-c", CALLER)).wait(20).code == 1
    listener.drill(Drill.MEND)
    assert netns_host.start(node_spec(3, sys.executable, "-c", CALLER)).wait(20).code == 0


@pytest.mark.netns
def test_the_instance_metadata_address_answers_nothing(netns_host: NodeHost, node_spec: Make) -> None:
    program = "import socket; socket.create_connection(('169.254.169.254', 80), timeout=5)"
    spec = node_spec(0, sys.executable, "-c", program)
    assert netns_host.start(spec).wait(20).code == 1
    assert "Network is unreachable" in lines(spec)[-1]


@pytest.mark.netns
def test_the_twins_server_answers_in_the_nodes_network(netns_host: NodeHost, node_spec: Make) -> None:
    with netns_host.listen("169.254.170.2", 80) as listener:
        program = "import socket; print(socket.create_connection(('169.254.170.2', 80), timeout=5).recv(9))"
        node = netns_host.start(node_spec(0, sys.executable, "-c", program))
        connection, (caller, _) = listener.accept()
        with connection:
            connection.sendall(b"hello")
        assert node.wait(20).code == 0
        assert caller == "10.77.1.1"


@pytest.mark.netns
def test_the_twin_keeps_its_hardware_address_when_nodes_come_and_go(netns_host: NodeHost, node_spec: Make) -> None:
    program = (
        "import socket; socket.create_connection(('169.254.170.2', 80), timeout=5).recv(1);"
        "print('seen', *[line.split()[3] for line in open('/proc/net/arp') if line.startswith('169.254.170.2 ')])"
    )
    seen = set()
    with netns_host.listen("169.254.170.2", 80) as listener:
        for index in range(3):
            node = netns_host.start(node_spec(index, sys.executable, "-c", program))
            connection, _ = listener.accept()
            connection.close()
            assert node.wait(20).code == 0
            seen.add(lines(node.spec)[-1].partition("seen ")[2])
    assert len(seen) == 1
    assert seen != {""}


def test_process_isolation_refuses_to_cut_a_link_and_says_what_does(process_host: NodeHost, node_spec: Make) -> None:
    node = process_host.start(node_spec(0, "sleep", "1000"))
    with pytest.raises(NodeHostError, match="--isolation netns"):
        node.drill(Drill.CUT)


def _needs_cgroup(host: NodeHost) -> None:
    if host.contained == "none":
        if os.environ.get("CI") == "true":
            pytest.fail("no control group can be had here")
        pytest.skip("no control group can be had here")


def test_a_fork_bomb_is_held_and_ended_where_a_cgroup_can_be_had(any_host: NodeHost, node_spec: Make) -> None:
    _needs_cgroup(any_host)
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: print('held', flush=True); break"
    node = any_host.start(node_spec(0, sys.executable, "-c", bomb + "\nimport time; time.sleep(1000)", processes=64))
    until(lambda: Path(node.spec.log).exists() and "held" in lines(node.spec))
    node.drill(Drill.KILL)
    assert node.wait(20).code == 137


def test_a_memory_hog_is_killed_and_named_so_where_a_cgroup_can_be_had(any_host: NodeHost, node_spec: Make) -> None:
    _needs_cgroup(any_host)
    node = any_host.start(node_spec(0, sys.executable, "-c", "b'x' * (1 << 30)", memory_mib=64))
    end = node.wait(30)
    assert (end.code, end.out_of_memory) == (137, True)
