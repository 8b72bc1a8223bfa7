"""Addresses and CPUs of nodes."""

from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from tutti.twin.addresses import PLACES, AddressBook, cpu_list, cpu_shares
from tutti.twin.nodes import Isolation
from workload.node import parse_cpus


@given(
    st.lists(st.tuples(st.integers(1, 1000), st.booleans()), max_size=30),
    st.sampled_from([Isolation.PROCESS, Isolation.NETNS]),
)
def test_no_two_nodes_that_run_share_an_address(jobs: list[tuple[int, bool]], isolation: Isolation) -> None:
    book = AddressBook(isolation)
    held: dict[str, list[str]] = {}
    for number, (nodes, leaves) in enumerate(jobs):
        held[f"j{number}"] = book.allot(f"j{number}", nodes)
        assert len(held[f"j{number}"]) == nodes
        everything = [address for addresses in held.values() for address in addresses]
        assert len(set(everything)) == len(everything)
        if leaves:
            gone = min(held)
            book.release(gone)
            del held[gone]
    for address in (a for addresses in held.values() for a in addresses):
        parsed = IPv4Address(address)
        assert parsed.is_loopback if isolation is Isolation.PROCESS else str(parsed).startswith("10.77.")
        assert not address.startswith("127.0.0.")
        assert address != "10.77.0.1"


def test_a_jobs_addresses_stay_the_same_until_released_and_are_used_again_late() -> None:
    book = AddressBook(Isolation.PROCESS)
    first = book.allot("a", 4)
    assert book.allot("a", 4) == first
    book.release("a")
    assert book.allot("b", 4) != first


@given(st.sets(st.integers(0, 63), max_size=16), st.integers(1, 20), st.integers(1, 8))
def test_shares_of_cpus_are_disjoint_equal_and_none_where_nodes_outnumber_them(
    cpus: set[int], nodes: int, vcpus: int
) -> None:
    free = sorted(cpus)
    shares = cpu_shares(free, nodes, vcpus)
    assert len(shares) == nodes
    given_out = [cpu for share in shares for cpu in share]
    assert len(set(given_out)) == len(given_out)
    assert set(given_out) <= cpus
    assert len({len(share) for share in shares}) == 1
    assert bool(shares[0]) == (len(free) >= nodes)
    assert len(shares[0]) <= vcpus


@given(st.sets(st.integers(0, 63), min_size=1, max_size=20))
def test_a_list_of_cpus_is_what_the_node_reads(cpus: set[int]) -> None:
    assert set(parse_cpus(cpu_list(sorted(cpus)))) == cpus
    assert cpu_list(()) == "none"


def test_twins_on_one_machine_begin_in_different_places() -> None:
    """Both take loopback addresses and the same port: a job of one must not meet a job of the other."""
    first, second = (AddressBook(Isolation.PROCESS, first=start) for start in (0, PLACES // 2))
    mine = {address for job in range(50) for address in first.allot(f"a{job}", 4)}
    theirs = {address for job in range(50) for address in second.allot(f"b{job}", 4)}
    assert not mine & theirs
