"""Which MPI is taken, and how each is called: pure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workload.contract import Mpi
from workload.gang.installed import Installation, LaunchError, choose, find_mpi, installations
from workload.gang.launch import Launch, daemon_environment, mpiexec_command, networks
from workload.gang.places import Host, Layout
from workload.interfaces import Interface
from workload.node import Node
from workload.settings import AUTO

MPICH = Installation(mpi=Mpi.MPICH, mpiexec="/usr/bin/mpiexec.mpich", version="4.0.2")
OPENMPI = Installation(mpi=Mpi.OPENMPI, mpiexec="/opt/amazon/openmpi5/bin/mpirun", version="5.0.6")
OPENMPI4 = Installation(mpi=Mpi.OPENMPI, mpiexec="/usr/bin/mpirun.openmpi", version="4.1.4")
INTEL = Installation(mpi=Mpi.INTEL, mpiexec="/opt/intel/bin/mpiexec.hydra", version="2021.18.1")


def launch(installation: Installation, **changes: Any) -> Launch:
    hosts = tuple(Host(index=i, address=f"10.0.0.{i + 1}", slots=4, network="10.0.0.0/24") for i in range(2))
    values: dict[str, Any] = {
        "installation": installation,
        "hosts": hosts,
        "layout": Layout(ranks_per_node=2, threads=2),
        "argv": ("./prog", "a b"),
        "address": "10.0.0.1",
        "interface": "eth1",
        "agent": "/run/agent",
        "shim": "/opt/shim.sh",
    }
    return Launch(**{**values, **changes})


def node(**changes: Any) -> Node:
    values: dict[str, Any] = {
        "job_id": "j",
        "attempt": 1,
        "index": 1,
        "count": 2,
        "main_index": 0,
        "address": "10.0.0.2",
        "main_address": "10.0.0.1",
        "port": 7340,
        "interface": Interface(name="eth1", address="10.0.0.2", network="10.0.0.0/24"),
        "cores": (0, 1),
        "bind": True,
        "memory_mib": 1,
        "gpus": 0,
        "efa": False,
        "shared_host": False,
        "shared": None,
        "scratch": Path("/scratch"),
        "silence_s": 30.0,
    }
    return Node(**{**values, **changes})


def test_auto_takes_the_mpi_of_the_programs_linkage_else_the_first() -> None:
    there = (OPENMPI, MPICH)
    assert choose(AUTO, there, ()) is OPENMPI
    assert choose(AUTO, there, (Mpi.INTEL, Mpi.MPICH)) is MPICH
    assert choose(AUTO, (*there, INTEL), (Mpi.INTEL, Mpi.MPICH)) is INTEL


def test_a_named_mpi_that_the_image_lacks_is_an_error_that_names_what_is_there() -> None:
    with pytest.raises(LaunchError, match=r"got intel; this image has openmpi 5\.0\.6, mpich 4\.0\.2"):
        choose("intel", (OPENMPI, MPICH), ())
    with pytest.raises(LaunchError, match="no mpiexec is on its PATH"):
        choose(AUTO, (), ())
    with pytest.raises(LaunchError, match=r"linked with openmpi, and this image has mpich 4\.0\.2"):
        choose(AUTO, (MPICH,), (Mpi.OPENMPI,))


def test_no_mpi_is_looked_for_where_none_is_wanted() -> None:
    assert find_mpi("none", {"PATH": "/nonexistent"}, ["hostname"]) is None


def test_what_only_has_the_name_of_a_launcher_is_none(tmp_path: Path) -> None:
    for name, says in (("mpiexec", "HYDRA build details:\n    Version:   4.3\n"), ("mpirun", "what?")):
        (tmp_path / name).write_text(f"#!/bin/sh\nprintf '{says}'\n", encoding="ascii")
        (tmp_path / name).chmod(0o755)
    found = [i for i in installations({"PATH": str(tmp_path)}) if i.mpiexec.startswith(str(tmp_path))]
    assert [str(i) for i in found] == ["mpich 4.3"]


@pytest.mark.parametrize("installation", [MPICH, OPENMPI, OPENMPI4, INTEL], ids=str)
def test_every_mpi_is_called_with_the_agent_the_shim_and_the_program_as_it_is(installation: Installation) -> None:
    argv = mpiexec_command(launch(installation))
    assert argv[0] == installation.mpiexec
    assert "/run/agent" in argv
    assert argv[-4:] == ("/bin/sh", "/opt/shim.sh", "./prog", "a b")
    assert argv[argv.index("-n") + 1] == "4"
    assert "-x" not in argv


def test_hydra_and_intel_mpi_pass_no_environment_on() -> None:
    for installation in (MPICH, INTEL):
        assert "-genvnone" in mpiexec_command(launch(installation))


def test_open_mpi_is_told_networks_and_daemons_stay_attached() -> None:
    five, four = mpiexec_command(launch(OPENMPI)), mpiexec_command(launch(OPENMPI4))
    for argv, own in ((five, "prte_if_include"), (four, "oob_tcp_if_include")):
        assert argv[argv.index(own) + 1] == "10.0.0.0/24"
        assert argv[argv.index("btl_tcp_if_include") + 1] == "10.0.0.0/24"
        assert "--leave-session-attached" in argv
    assert five[five.index("plm_ssh_no_tree_spawn") + 1] == four[four.index("plm_rsh_no_tree_spawn") + 1] == "1"


def test_networks_of_several_subnets_are_each_named_once() -> None:
    told = [
        Host(index=i, address="", slots=1, network=n)
        for i, n in enumerate(("10.0.0.0/24", "10.0.1.0/24", "10.0.0.0/24"))
    ]
    assert networks(told) == "10.0.0.0/24,10.0.1.0/24"
    assert networks([Host(index=0, address="", slots=1, network="127.0.0.0/8")], loopback=False) == ""


LAYOUT = Layout(ranks_per_node=2, threads=3)


def test_ranks_get_their_own_containers_environment_less_the_secret() -> None:
    got = daemon_environment(
        node(),
        LAYOUT,
        MPICH,
        {"A": "1", "TUTTI_SECRET": "s", "TUTTI_SECRET_FD": "3", "PMI_RANK": "7", "SLURM_JOBID": "1"},
    )
    assert got["A"] == "1"
    assert not {"TUTTI_SECRET", "TUTTI_SECRET_FD", "PMI_RANK", "SLURM_JOBID"} & set(got)
    assert {got[f"{lib}_NUM_THREADS"] for lib in ("OMP", "OPENBLAS", "MKL", "NUMBA")} == {"3"}
    assert got["TUTTI_JOB_FOLDER"] == str(node().job_folder)


def test_what_the_user_sets_wins_but_for_the_interface() -> None:
    got = daemon_environment(node(), LAYOUT, MPICH, {"OMP_NUM_THREADS": "1", "FI_TCP_IFACE": "ecs-eth0"})
    assert (got["OMP_NUM_THREADS"], got["FI_TCP_IFACE"], got["UCX_NET_DEVICES"]) == ("1", "eth1", "eth1")


def test_an_efa_pool_runs_over_efa_or_not_at_all() -> None:
    got = daemon_environment(node(efa=True), LAYOUT, OPENMPI, {})
    assert got["FI_PROVIDER"] == "efa"
    assert "UCX_NET_DEVICES" not in got


def test_ucx_watches_memory_only_where_a_card_or_a_gpu_must_know_it() -> None:
    assert daemon_environment(node(), LAYOUT, MPICH, {})["UCX_MEM_EVENTS"] == "no"
    for changes in ({"efa": True}, {"gpus": 1}):
        assert "UCX_MEM_EVENTS" not in daemon_environment(node(**changes), LAYOUT, MPICH, {})


def test_nodes_on_one_host_use_no_shared_memory_of_open_mpis() -> None:
    apart = daemon_environment(node(), LAYOUT, OPENMPI, {})
    assert "OMPI_MCA_btl" not in apart
    together = daemon_environment(node(shared_host=True), LAYOUT, OPENMPI, {})
    assert (together["OMPI_MCA_btl"], together["OMPI_MCA_osc"]) == ("self,tcp", "^sm")
    assert together["OMPI_MCA_coll"] == "^sm,han,xhc"


@pytest.mark.parametrize(
    ("installation", "variable"),
    [(MPICH, "MPIR_CVAR_POLLS_BEFORE_YIELD"), (OPENMPI, "OMPI_MCA_mpi_yield_when_idle"), (INTEL, "I_MPI_THREAD_YIELD")],
    ids=str,
)
def test_on_shared_cores_no_mpi_spins(installation: Installation, variable: str) -> None:
    assert variable in daemon_environment(node(bind=False), LAYOUT, installation, {})
    assert variable not in daemon_environment(node(bind=True), LAYOUT, installation, {})
