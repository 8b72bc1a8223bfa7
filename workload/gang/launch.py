"""What starts the ranks: each MPI's command line and the environment of its daemons and ranks. Pure.

Sources: `mpiexec.hydra --help` (MPICH 5.0), Intel MPI 2021 developer reference (Hydra options), Open MPI 4.1
`mpirun(1)`, Open MPI 5 / PRRTE 3 `prterun(1)`; what was measured of each is in docs/adr/0016.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from workload.contract import SECRET_PREFIX, Mpi, Variable
from workload.gang.installed import Installation
from workload.gang.places import Host, Layout
from workload.node import Node
from workload.record import Record

# Newer instances drop idle connections after 350 s, tests after 10 s (traps 5). Many probes: a link that is cut for a
# minute must not end a job that the watch lets live.
KEEPALIVE_S: Final = 8
KEEPALIVE_PROBES: Final = 30
THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
# Variables of an MPI that is around the container's start, not in this job: a launcher would believe them.
INHERITED: Final = (
    *("PMI_", "PMIX_RANK", "PMIX_NAMESPACE", "PMIX_SERVER", "OMPI_COMM_", "OMPI_UNIVERSE_SIZE", "PRTE_LAUNCHED"),
    *("HYDI_", "MPI_LOCAL", "SLURM_", "PBS_", "LSB_"),
)
LOOPBACK: Final = "127."
# Open MPI 5 names three components of shared memory; 4.1 has the first two and fails on a name that it does not know.
SHARED_MEMORY_OFF: Final = {
    5: {"btl": "self,tcp", "coll": "^sm,han,xhc", "osc": "^sm"},
    4: {"btl": "self,tcp", "coll": "^sm,han", "osc": "^sm"},
}


class Launch(Record):
    """One job's launch, as main knows it. `hosts` by index, main among them."""

    installation: Installation
    hosts: tuple[Host, ...]
    layout: Layout
    argv: tuple[str, ...]  # the program
    address: str  # main's
    interface: str = ""  # of main's, by name
    agent: str
    shim: str

    @property
    def ranks(self) -> int:
        return len(self.hosts) * self.layout.ranks_per_node


def mpiexec_command(launch: Launch) -> tuple[str, ...]:
    """The argv with which main starts the job. To be run in "/": every node has that, and the shims leave it."""
    match launch.installation.mpi, launch.installation.major:
        case Mpi.MPICH, _:
            options = _mpich(launch)
        case Mpi.INTEL, _:
            options = _intel(launch)
        case Mpi.OPENMPI, major if major >= 5:
            options = _openmpi5(launch)
        case _:
            options = _openmpi4(launch)
    # By sh: then the installed file needs no bit of its mode.
    return (launch.installation.mpiexec, *options, "/bin/sh", launch.shim, *launch.argv)


def _mpich(launch: Launch) -> list[str]:
    each = launch.layout.ranks_per_node
    return [
        *("-launcher", "ssh", "-launcher-exec", launch.agent),
        # The default gives every rank main's own environment: node index, credentials and all (traps 1).
        "-genvnone",
        # What the proxies connect to. `-iface` would name an interface that each node must have under the same name.
        *("-localhost", launch.address),
        *("-hosts", ",".join(f"{h.address}:{each}" for h in launch.hosts)),
        *("-bind-to", "none"),
        *("-wdir", "/"),
        *("-n", str(launch.ranks)),
    ]


def _intel(launch: Launch) -> list[str]:
    return [
        *("-bootstrap", "ssh", "-bootstrap-exec", launch.agent),
        "-genvnone",
        # Measured: Intel's proxies are told main's host name whatever -localhost says, and its address with -iface.
        *(("-iface", launch.interface) if launch.interface else ()),
        *("-hosts", ",".join(h.address for h in launch.hosts)),
        *("-ppn", str(launch.layout.ranks_per_node)),
        *("-wdir", "/"),
        *("-n", str(launch.ranks)),
    ]


def _openmpi5(launch: Launch) -> list[str]:
    parameters = {
        "plm_ssh_agent": launch.agent,
        "plm_ssh_no_tree_spawn": "1",
        # By network: the names of interfaces differ, and `ecs-eth0` has the same address on every host (traps 4).
        "prte_if_include": networks(launch.hosts, loopback=False),
        "prte_keep_fqdn_hostnames": "1",
        "prte_allowed_exit_without_sync": "1",  # before MPI_Finalize: what comes of a rank's end is main's to say
        **{f"oob_tcp_{k}": v for k, v in _KEEPALIVE.items()},
    }
    return [
        "--leave-session-attached",
        *_pairs("--prtemca", parameters),
        *_openmpi_places(launch),
    ]


def _openmpi4(launch: Launch) -> list[str]:
    parameters = {
        "plm_rsh_agent": launch.agent,
        "plm_rsh_no_tree_spawn": "1",
        "oob_tcp_if_include": networks(launch.hosts, loopback=False),
        "orte_keep_fqdn_hostnames": "1",
        "orte_allowed_exit_without_sync": "1",
        **{f"oob_tcp_{k}": v for k, v in _KEEPALIVE.items()},
    }
    return [
        "--leave-session-attached",
        *_pairs("--mca", parameters),
        *_openmpi_places(launch),
    ]


_KEEPALIVE: Final = {
    "keepalive_time": str(KEEPALIVE_S),
    "keepalive_intvl": str(KEEPALIVE_S),
    "keepalive_probes": str(KEEPALIVE_PROBES),
}


def _openmpi_places(launch: Launch) -> list[str]:
    each = launch.layout.ranks_per_node
    return [
        *_pairs("--mca", {"btl_tcp_if_include": networks(launch.hosts)}),
        *("--host", ",".join(f"{h.address}:{each}" for h in launch.hosts)),
        *("--map-by", f"ppr:{each}:node"),
        *("--bind-to", "none"),
        *("--wdir", "/"),
        *("-n", str(launch.ranks)),
    ]


def networks(hosts: Sequence[Host], *, loopback: bool = True) -> str:
    """The networks of all nodes, each once: a pool may lie in more than one subnet.

    Without `loopback` none where the nodes share a host's: Open MPI's daemons refuse that one when told to use it, and
    find another interface of the host when not (openpmix/prrte pull request 1436).
    """
    found = dict.fromkeys(h.network for h in hosts if h.network)
    return ",".join(n for n in found if loopback or not n.startswith(LOOPBACK))


def daemon_environment(
    node: Node, layout: Layout, installation: Installation | None, environ: Mapping[str, str]
) -> dict[str, str]:
    """What the daemons and ranks of `node` get: its own container's environment and what its MPI must be told.

    What the user set by `--env` is in `environ` already and wins over our choices, but for the interface, without which
    the job would hang, and the threads where the job says them.
    """
    kept = {k: v for k, v in environ.items() if not k.startswith((SECRET_PREFIX, *INHERITED))}
    threads = str(layout.threads)
    ours = {
        **dict.fromkeys(THREAD_VARIABLES, threads),
        # A stalled or crashed Python program can then show where it was.
        "PYTHONFAULTHANDLER": "1",
        # A rank's lines are worth most when it dies: block buffering would keep them from the log.
        "PYTHONUNBUFFERED": "1",
    }
    if installation:
        ours |= _tuning(installation, node)
        if installation.library:
            # mpi4py's wheels run with any MPI, and take the first that they find: this one.
            ours["MPI4PY_LIBMPI"] = str(installation.library)
    forced = {Variable.JOB_FOLDER.value: str(node.job_folder)}
    if installation:
        forced |= _interface(installation, node)
    return ours | kept | forced


def _interface(installation: Installation, node: Node) -> dict[str, str]:
    name = node.interface.name
    chosen = {"FI_TCP_IFACE": name, "FI_SOCKETS_IFACE": name}
    if installation.mpi is not Mpi.OPENMPI:  # which is told networks on its command line
        chosen |= {"MPIR_CVAR_CH3_INTERFACE_HOSTNAME": node.address, "MPICH_INTERFACE_HOSTNAME": node.address}
    if node.efa:
        return chosen | {"FI_PROVIDER": "efa"}
    return chosen | {"UCX_NET_DEVICES": name}


def _tuning(installation: Installation, node: Node) -> dict[str, str]:
    chosen: dict[str, str] = {"UCX_TCP_KEEPIDLE": f"{KEEPALIVE_S}s"}
    if not node.efa and not node.gpus:
        # UCX's hooks in malloc and mmap serve memory that a network card or a GPU must know. TCP knows none: without
        # them a rank of MPICH's starts in two thirds of the CPU time.
        chosen["UCX_MEM_EVENTS"] = "no"
    if installation.mpi is Mpi.OPENMPI:
        # Images may run as root; both versions refuse that unless told twice.
        chosen |= {f"{p}_ALLOW_RUN_AS_ROOT{c}": "1" for p in ("OMPI", "PRTE") for c in ("", "_CONFIRM")}
        if node.shared_host:
            off = SHARED_MEMORY_OFF[5 if installation.major >= 5 else 4]
            chosen |= {f"OMPI_MCA_{k}": v for k, v in off.items()}
        if not node.bind:
            chosen["OMPI_MCA_mpi_yield_when_idle"] = "1"
    elif installation.mpi is Mpi.INTEL:
        chosen |= {
            "I_MPI_PIN": "0",  # the shim binds
            "I_MPI_HYDRA_BRANCH_COUNT": "0",  # flat: a tree of more than 16 nodes would call the agent on children
            "I_MPI_ROOT": str(installation.prefix),
            "FI_PROVIDER_PATH": f"{installation.prefix}/lib:{installation.prefix}/opt/mpi/libfabric/lib/prov",
        }
        if not node.bind:
            chosen["I_MPI_THREAD_YIELD"] = "2"
    elif not node.bind:
        chosen["MPIR_CVAR_POLLS_BEFORE_YIELD"] = "1"
    return chosen


def _pairs(flag: str, parameters: Mapping[str, str]) -> list[str]:
    return [word for name, value in parameters.items() if value for word in (flag, name, value)]
