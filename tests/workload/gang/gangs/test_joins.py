"""Who may join: exactly this attempt's nodes, each once; everyone else is refused and the gang is not disturbed."""

from __future__ import annotations

import contextlib
import resource
import socket
import sys
import time
from pathlib import Path
from typing import Any

from workload.contract import DEFAULT_PORT

LONG = ("sh", "-c", "echo in; sleep 2")
IMPOSTOR = ("echo", "never runs")


def test_missing_children_are_named_at_the_deadline(mpich_gang: Any) -> None:
    for index in (0, 2):
        mpich_gang.start(index, 5, ["hostname"], TUTTI_JOIN_TIMEOUT="1")
    assert mpich_gang.codes() == [220, 0]
    assert "nodes 1, 3-4 of 5 did not join within 1 s" in mpich_gang.log()


def test_the_deadline_is_at_most_three_tenths_of_the_timeout(mpich_gang: Any) -> None:
    mpich_gang.start(0, 2, ["hostname"], TUTTI_TIMEOUT="60", TUTTI_JOIN_TIMEOUT="1200")
    mpich_gang.until_said("node 0 is in")
    mpich_gang.nodes["0"].terminate()
    assert mpich_gang.codes() == [224]
    # 18 s are the unit test's to check (`join_deadline`): here, that nobody waits 20 minutes for a SIGTERM.


def test_impostors_are_refused_and_logged_and_the_gang_is_not_disturbed(mpich_gang: Any) -> None:
    deadline = {"TUTTI_JOIN_TIMEOUT": "2"}
    mpich_gang.start(0, 2, LONG)
    mpich_gang.until_said("node 0 is in")
    mpich_gang.start(1, 2, IMPOSTOR, name="other-stack", TUTTI_SECRET="another", **deadline)
    mpich_gang.start(1, 2, IMPOSTOR, name="late", AWS_BATCH_JOB_ATTEMPT="2", **deadline)
    mpich_gang.start(1, 2, IMPOSTOR, name="other-job", AWS_BATCH_JOB_ID="job-x#1", **deadline)
    mpich_gang.start(7, 8, IMPOSTOR, name="out-of-range", **deadline)
    for name in ("other-stack", "late", "other-job", "out-of-range"):
        assert mpich_gang.until_ended(name) == 211
        assert "does not take this node's key" in mpich_gang.log(name)
    mpich_gang.start(1, 2, LONG)
    mpich_gang.until_said("in", 1)
    mpich_gang.start(1, 2, IMPOSTOR, name="taken", **deadline)
    assert mpich_gang.until_ended("taken") == 211
    assert "node 1 is here already" in mpich_gang.log("taken")
    assert [mpich_gang.until_ended(0), mpich_gang.until_ended(1)] == [0, 0]
    assert "never runs" not in mpich_gang.logs()
    log = mpich_gang.log()
    assert "refused a connection" in log
    assert "its key is of no member of this job's attempt" in log  # node 7
    assert "node 1 is here already" in log


def test_ten_thousand_connections_neither_keep_a_node_out_nor_disturb_the_gang(
    mpich_gang: Any,
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        mpich_gang.start(0, 2, LONG)
        mpich_gang.until_said("node 0 is in")
        with contextlib.ExitStack() as strangers:
            for number in range(10_000):
                stranger = strangers.enter_context(socket.socket())
                stranger.setblocking(False)
                stranger.connect_ex((mpich_gang.address(0), DEFAULT_PORT))
                if number % 100 == 0:
                    with contextlib.suppress(OSError):
                        stranger.send(b"GET / HTTP/1.1\r\n\r\n")
            mpich_gang.start(1, 2, LONG)
            assert mpich_gang.codes() == [0, 0]
        assert "node 1 is in" in mpich_gang.log()
        assert "refused a connection" in mpich_gang.log()
        assert "lost" not in mpich_gang.events()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_another_version_of_the_mpi_ends_the_gang_with_210_and_both_are_named(mpich_gang: Any, tmp_path: Path) -> None:
    fake = tmp_path / "mpiexec.hydra"
    fake.write_text("#!/bin/sh\necho HYDRA build details:\necho '    Version:    4.3.2'\n", encoding="utf-8")
    fake.chmod(0o755)
    mpich_gang.start(0, 3, ["hostname"])
    mpich_gang.until_said("node 0 is in")
    begun = time.monotonic()
    mpich_gang.start(1, 3, ["hostname"], PATH=f"{tmp_path}:/usr/bin:/bin")
    assert mpich_gang.until_ended(0) == 210
    assert time.monotonic() - begun < 10  # at once, and not at the deadline: node 2 never came
    assert "mpich: node 0 has 5.0.2, node 1 has 4.3.2" in mpich_gang.log()
    assert mpich_gang.until_ended(1) == 211


def test_another_version_of_tutti_ends_the_gang_with_210_and_both_are_named(mpich_gang: Any) -> None:
    old = (
        "import sys; from workload import contract, entrypoint; contract.VERSION = '0.0.9'; sys.exit(entrypoint.main())"
    )
    mpich_gang.start(0, 2, ["hostname"])
    mpich_gang.start(1, 2, ["hostname"], command=[sys.executable, "-c", old])
    assert mpich_gang.until_ended(0) == 210
    assert "tutti: node 0 has 0.1.0, node 1 has 0.0.9" in mpich_gang.log()


def test_a_gang_without_a_secret_is_refused_by_every_node(mpich_gang: Any) -> None:
    mpich_gang.start_all(2, ["hostname"], TUTTI_SECRET="")
    assert mpich_gang.codes() == [210, 210]
    assert "TUTTI_SECRET is not set" in mpich_gang.log()


def test_bad_settings_are_all_named_before_anything_happens(mpich_gang: Any) -> None:
    mpich_gang.start(0, 2, ["hostname"], TUTTI_GRACE="-1", TUTTI_TIMEOUT="5", TUTTI_THREADS="few")
    assert mpich_gang.codes() == [210]
    for name in ("grace", "timeout", "TUTTI_THREADS"):
        assert name in mpich_gang.log()


def test_an_mpi_that_the_image_lacks_is_210_and_what_is_there_is_named(mpich_gang: Any) -> None:
    mpich_gang.start(0, 1, ["hostname"], TUTTI_MPI="intel")
    assert mpich_gang.codes() == [210]
    assert "mpich 5.0.2" in mpich_gang.log()


def test_a_container_without_a_home_runs_either_mpi(gang: Any, victim: str) -> None:
    """Open MPI 5, its `mpiexec --version` too, fails where HOME is not set."""
    node = ("env", "-u", "HOME", str(Path(sys.executable).parent / "tutti-node"))
    argv = [victim, "0", "exit", "0", "0", "1", "exit", "0", "0"]
    for index in range(2):
        gang.start(index, 2, argv, command=node)
    assert gang.codes() == [0, 0]


def test_a_launcher_that_does_not_run_is_named_with_what_it_says(mpich_gang: Any, tmp_path: Path) -> None:
    (tmp_path / "mpiexec").write_text(
        "#!/bin/sh\necho 'libhwloc.so.15: no such file' >&2; exit 127\n", encoding="utf-8"
    )
    (tmp_path / "mpiexec").chmod(0o755)
    mpich_gang.start(0, 1, ["hostname"], TUTTI_MPI="openmpi", PATH=f"{tmp_path}:{mpich_gang.path}")
    assert mpich_gang.codes() == [210]
    log = mpich_gang.log()
    assert "got openmpi; this image has mpich 5.0.2" in log
    assert f"{tmp_path}/mpiexec: --version says 'libhwloc.so.15: no such file' (exit code 127)" in log


def test_a_shared_folder_that_is_not_the_same_is_223_and_says_where(mpich_gang: Any, tmp_path: Path) -> None:
    for index, name in enumerate(("one", "two")):
        (tmp_path / name).mkdir()
        mpich_gang.start(index, 2, ["hostname"], TUTTI_SHARED=str(tmp_path / name))
    assert mpich_gang.codes() == [223, 0]
    assert "preflight failed: node 1" in mpich_gang.log()


def test_the_same_shared_folder_passes_and_is_left_clean(mpich_gang: Any, tmp_path: Path) -> None:
    mpich_gang.start_all(2, ["hostname"], TUTTI_SHARED=str(tmp_path))
    assert mpich_gang.codes() == [0, 0]
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
