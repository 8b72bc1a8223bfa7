"""How long a gang takes to start, run and end, beside the AWS sample's way and beside mpiexec alone.

8 nodes, each in network, UTS, IPC, mount and PID namespaces of its own, a one-lap ring in C: from the last node's start
to the job's end. The sample's way: sshd on every node, children append themselves to a hostfile over ssh, main looks
each second, then mpirun (Open MPI 5). Medians of 5, interleaved. Needs root for sshd, and openssh-server
(`apt-get install openssh-server`); without either its row is empty and the reason is said.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tutti.twin.nodes import Drill, Isolation, NodeEnd, NodeHost, NodeSpec
from workload.contract import EVENT_MARK, Event

ROOT: Final = Path(__file__).parents[1]
BIN: Final = Path(sys.executable).parent
RING: Final = ROOT / "examples/hello/ring.c"
NODES: Final = 8
ROUNDS: Final = int(os.environ.get("ROUNDS", "5"))
MEMBERS: Final = 1000
PATIENCE_S: Final = 120.0
TRIES: Final = 3
PREFIXES: Final = {"mpich": BIN.parent, "openmpi": ROOT / ".mpi/openmpi", "intel": ROOT / ".mpi/intel"}
WANTED: Final = {
    "speedup_vs_ssh": (">=", 5.0),
    "overhead_s": ("<=", 0.8),
    "members_1000_s": ("<=", 2.0),
    "members_1000_mb": ("<=", 150.0),
}
# What the sample does, without its fixed sleeps.
SAMPLE_MAIN: Final = """
/usr/sbin/sshd -f $SSH/sshd_config -E $PWD/sshd.log
echo "$ADDRESS slots=1" >> hostfile
while [ $(sort hostfile | uniq | wc -l) -lt $AWS_BATCH_JOB_NUM_NODES ]; do sleep 1; done
sort hostfile | uniq > hostfile-deduped
exec mpirun --allow-run-as-root --prtemca plm_ssh_agent "ssh -F $SSH/ssh_config" --prtemca prte_if_include eth0 \
  --mca btl_tcp_if_include eth0 --hostfile hostfile-deduped -np $AWS_BATCH_JOB_NUM_NODES --bind-to none $PROGRAM
"""
SAMPLE_CHILD: Final = """
/usr/sbin/sshd -f $SSH/sshd_config -E $PWD/sshd.log
until echo "$ADDRESS slots=1" | ssh -F $SSH/ssh_config $AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS \
  "cat >> $MAIN_FOLDER/hostfile"; do sleep 0.2; done
exec sleep 1000
"""


class RunError(RuntimeError):
    """A run ended other than it should; the message has the end of main's log."""


class Cluster:
    """Runs of 8 nodes in one bridge's network."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.times: dict[str, float] = {}
        self.ends: dict[str, NodeEnd] = {}
        self.runs = 0
        self.host = NodeHost(
            Isolation.NETNS,
            name=f"bench-{os.getpid()}",
            on_start=lambda key, _pid: self.times.update({f"{key} started": time.monotonic()}),
            on_end=self._ended,
        )

    def _ended(self, end: NodeEnd) -> None:
        self.times[f"{end.key} ended"] = time.monotonic()
        self.ends[end.key] = end

    def start(self, argv: Callable[[int], list[str]], environment: Mapping[str, str], *, nodes: int = NODES) -> str:
        """Start all nodes of a run, main first; returns the run's name."""
        self.runs += 1
        run = f"run{self.runs}"
        for index in range(nodes):
            folder = self.folder / run / f"node-{index}"
            (folder / "tmp").mkdir(parents=True)
            own = {
                "HOME": str(folder),
                "TMPDIR": str(folder / "tmp"),
                "ADDRESS": address(index),
                "MAIN_FOLDER": str(self.folder / run / "node-0"),
                "AWS_BATCH_JOB_ID": f"{run}#{index}",
                "AWS_BATCH_JOB_ATTEMPT": "1",
                "AWS_BATCH_JOB_NODE_INDEX": str(index),
                "AWS_BATCH_JOB_NUM_NODES": str(nodes),
                "AWS_BATCH_JOB_MAIN_NODE_INDEX": "0",
                "TUTTI_ADDRESS": address(index),
                "TUTTI_SECRET": run,
                "TUTTI_CPUSET": "none",
                "TUTTI_NODE_SILENCE": "5",
            }
            if index:
                own["AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS"] = address(0)
            self.host.start(
                NodeSpec(
                    key=f"{run}#{index}",
                    argv=tuple(argv(index)),
                    environment={**own, **environment},
                    folder=str(folder),
                    log=str(folder / "log"),
                    address=address(index),
                    host_name=f"node-{index}",
                    hosts={f"node-{i}": address(i) for i in range(nodes)},
                )
            )
        return run

    def finish(self, run: str, *, code: int = 0, nodes: int = NODES) -> float:
        """Wait for main's end, end the others, and return the seconds from the last node's start to main's end."""
        self.await_(f"{run}#0 ended")
        for index in range(1, nodes):
            with contextlib.suppress(KeyError):
                self.host.drill(f"{run}#{index}", Drill.KILL)
        for index in range(1, nodes):
            self.await_(f"{run}#{index} ended")
        if self.ends[f"{run}#0"].code != code:
            raise RunError(f"{run} ended with {self.ends[f'{run}#0'].code}, not {code}:\n{self.log(run, 0)[-4000:]}")
        last = max(self.times[f"{run}#{index} started"] for index in range(nodes))
        return self.times[f"{run}#0 ended"] - last

    def await_(self, what: str) -> None:
        until = time.monotonic() + PATIENCE_S
        while what not in self.times:
            if time.monotonic() > until:
                raise RunError(f"not within {PATIENCE_S:g} s: {what}\n{self.log(what.partition('#')[0], 0)[-4000:]}")
            time.sleep(0.005)

    def log(self, run: str, index: int) -> str:
        path = self.folder / run / f"node-{index}" / "log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def event(self, run: str, event: Event, index: int = 0) -> dict[str, Any] | None:
        """The first `event` in a node's log."""
        for line in self.log(run, index).splitlines():
            _, mark, text = line.partition(EVENT_MARK)
            if mark and (told := json.loads(text))["event"] == event:
                return dict(told)
        return None


def address(index: int) -> str:
    return f"10.77.1.{index + 1}"


def clean(path: str, **more: str) -> dict[str, str]:
    return {"PATH": path, "LANG": "C.UTF-8", **more}


def environment_of(mpi: str) -> dict[str, str]:
    """What an image with this MPI has in its environment."""
    prefix = PREFIXES[mpi]
    path = f"{prefix}/bin:{BIN}:/usr/sbin:/usr/bin:/sbin:/bin"
    if mpi == "intel":
        return clean(path, I_MPI_ROOT=str(prefix), LD_LIBRARY_PATH=f"{prefix}/lib")
    return clean(path)


def compiled(mpi: str, folder: Path) -> str:
    """The ring in C, by this MPI's own mpicc."""
    program = folder / f"ring-{mpi}"
    environ = {**os.environ, **environment_of(mpi)}
    if not shutil.which("gcc"):
        zig = folder / "zigcc"
        zig.write_text(f'#!/bin/sh\nexec {sys.executable} -m ziglang cc "$@"\n', encoding="utf-8")
        zig.chmod(0o755)
        environ |= dict.fromkeys(("MPICH_CC", "OMPI_CC", "I_MPI_CC"), str(zig))
    subprocess.run([PREFIXES[mpi] / "bin/mpicc", "-O2", "-o", program, RING], check=True, env=environ)
    return str(program)


def ours(cluster: Cluster, mpi: str, program: str) -> float:
    argv = [str(BIN / "tutti-node"), "--", program, "--laps", "1"]
    run = cluster.start(lambda _: argv, {**environment_of(mpi), "TUTTI_MPI": mpi})
    return cluster.finish(run)


def by_ssh(cluster: Cluster, program: str, keys: Path) -> float:
    def argv(index: int) -> list[str]:
        return ["bash", "-c", SAMPLE_CHILD if index else SAMPLE_MAIN]

    environment = {**environment_of("openmpi"), "PROGRAM": f"{program} --laps 1", "SSH": str(keys)}
    for _ in range(TRIES):
        run = cluster.start(argv, environment)
        try:
            return cluster.finish(run)
        except RunError as error:
            # On a busy machine an sshd now and then does not answer: the rival gets another try.
            print(f"the SSH way failed and is tried again: {str(error).splitlines()[0]}")
    raise RunError(f"the SSH way failed {TRIES} times")


def bare(cluster: Cluster, program: str) -> float:
    """MPICH's mpiexec alone, on nodes that are up: from its start to its end."""
    run = cluster.start(lambda _: ["sleep", "1000"], environment_of("mpich"))
    for index in range(NODES):
        cluster.await_(f"{run}#{index} started")
    enter = cluster.folder / run / "enter"
    pids = {address(i): pid_of(cluster.folder / run / f"node-{i}") for i in range(NODES)}
    cases = "".join(f"{a}) pid={p};; " for a, p in pids.items())
    enter.write_text(
        f'#!/bin/sh\n[ "$1" = -x ] && shift\ncase $1 in {cases}esac\nshift\nexec nsenter -t $pid -n -u -i sh -c "$*"\n',
        encoding="utf-8",
    )
    enter.chmod(0o755)
    options = ["-launcher", "ssh", "-launcher-exec", str(enter), "-localhost", address(0), "-bind-to", "none"]
    hosts = ["-hosts", ",".join(pids), "-n", str(NODES)]
    environ = {**environment_of("mpich"), "FI_TCP_IFACE": "eth0", "UCX_NET_DEVICES": "eth0"}
    environ |= {"MPIR_CVAR_POLLS_BEFORE_YIELD": "1", "UCX_MEM_EVENTS": "no"}  # as the gang tells its ranks
    begun = time.monotonic()
    subprocess.run(
        [
            "nsenter",
            "-t",
            pids[address(0)],
            "-n",
            "-u",
            "-i",
            BIN / "mpiexec.hydra",
            *options,
            *hosts,
            program,
            "--laps",
            "1",
        ],
        check=True,
        env=environ,
        stdout=subprocess.DEVNULL,
        timeout=PATIENCE_S,
    )
    took = time.monotonic() - begun
    cluster.host.drill(f"{run}#0", Drill.KILL)
    cluster.finish(run, code=137)
    return took


def pid_of(folder: Path) -> str:
    """The node's main process as this process's PID namespace counts: it runs in the node's folder."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if (entry / "cwd").readlink() == folder and (entry / "comm").read_text() == "sleep\n":
                    return entry.name
    raise RunError(f"no process runs in {folder}")


def detected(cluster: Cluster, drill: Drill) -> float:
    """Seconds from a drill on a child of a running job to main's word that the node is lost."""
    argv = [str(BIN / "tutti-node"), "--", "sleep", "1000"]
    run = cluster.start(lambda _: argv, {**environment_of("mpich"), "TUTTI_MPI": "mpich"}, nodes=4)
    until = time.monotonic() + PATIENCE_S
    while cluster.event(run, Event.LAUNCHED) is None and time.monotonic() < until:
        time.sleep(0.05)
    begun = time.time()
    cluster.host.drill(f"{run}#3", drill)
    cluster.finish(run, code=221, nodes=4)
    lost = cluster.event(run, Event.LOST)
    if lost is None or lost["node"] != 3:
        raise RunError(f"the loss was not said:\n{cluster.log(run, 0)[-4000:]}")
    return float(lost["at"]) - begun


@contextlib.contextmanager
def ssh_keys(folder: Path) -> Iterator[Path | None]:
    """Keys and configuration for the sample's way; None, with the reason said, where there is no sshd."""
    if os.geteuid() != 0 or not Path("/usr/sbin/sshd").exists():
        print("the SSH way is left out: it needs root and openssh-server (apt-get install openssh-server)")
        yield None
        return
    keys = folder / "ssh"
    keys.mkdir(mode=0o700)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / name], check=True)
    (keys / "user.pub").rename(keys / "authorized_keys")
    (keys / "sshd_config").write_text(
        f"HostKey {keys}/host\nAuthorizedKeysFile {keys}/authorized_keys\nPidFile none\nStrictModes no\n"
        "PermitRootLogin yes\nUsePAM no\nUseDNS no\nMaxStartups 100\n",
        encoding="utf-8",
    )
    (keys / "ssh_config").write_text(
        f"IdentityFile {keys}/user\nStrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\n"
        "ConnectTimeout 5\n",
        encoding="utf-8",
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    yield keys


def members() -> tuple[float, float]:
    """Seconds for 1,000 members to join, and the MiB of the process that holds them all."""
    told = subprocess.run(
        [sys.executable, ROOT / "bench/members.py", str(MEMBERS)], check=True, capture_output=True, text=True
    )
    answer = json.loads(told.stdout.splitlines()[-1])
    return answer["seconds"], answer["mib"]


def main() -> int:
    folder = Path(tempfile.mkdtemp(prefix="tutti-bench-"))
    cluster = Cluster(folder)
    try:
        with ssh_keys(folder) as keys:
            result = measure(cluster, folder, keys)
    finally:
        cluster.host.close()
        shutil.rmtree(folder, ignore_errors=True)
    for key, value in result.items():
        sign, limit = WANTED.get(key, ("", 0.0))
        wanted = f"  wanted {sign} {limit:g}" if sign else ""
        print(f"  {key:16} {'-' if value is None else f'{value:.3f}':>9}{wanted}")
    print(json.dumps(result))
    return 0


def measure(cluster: Cluster, folder: Path, keys: Path | None) -> dict[str, float | None]:
    there = [mpi for mpi, prefix in PREFIXES.items() if (prefix / "bin/mpicc").exists()]
    programs = {mpi: compiled(mpi, folder) for mpi in there}
    ways: dict[str, Callable[[], float]] = {
        f"{mpi}_s": lambda mpi=mpi: ours(cluster, mpi, programs[mpi])  # type: ignore[misc]  # a default binds it
        for mpi in there
    }
    if keys:
        ways["ssh_s"] = lambda: by_ssh(cluster, programs["openmpi"], keys)
    if os.geteuid() == 0:
        ways["bare_mpiexec_s"] = lambda: bare(cluster, programs["mpich"])
    ways["detect_kill_s"] = lambda: detected(cluster, Drill.KILL)
    ways["detect_cut_s"] = lambda: detected(cluster, Drill.CUT)
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            taken[name].append(way())
    result: dict[str, float | None] = dict.fromkeys(
        ("mpich_s", "openmpi_s", "intel_s", "ssh_s", "bare_mpiexec_s", "speedup_vs_ssh", "overhead_s")
    )
    joined = [members() for _ in range(ROUNDS)]
    result["members_1000_s"] = statistics.median(s for s, _ in joined)
    result["members_1000_mb"] = statistics.median(m for _, m in joined)
    result |= {name: statistics.median(times) for name, times in taken.items()}
    ours_s, ssh_s, bare_s = (result[k] for k in ("mpich_s", "ssh_s", "bare_mpiexec_s"))
    if ours_s and ssh_s:
        result["speedup_vs_ssh"] = ssh_s / ours_s
    if ours_s and bare_s:
        result["overhead_s"] = ours_s - bare_s
    return result


if __name__ == "__main__":
    sys.exit(main())
