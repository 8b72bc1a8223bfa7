"""Settings travel as TUTTI_* variables: what the client writes is what the node reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workload.contract import Mpi, Variable
from workload.settings import AUTO, NONE, InputTo, Settings, SettingsError, variable

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
uris = st.one_of(texts.map("s3://b/{}".format), texts.map("shared:{}".format))
settings = st.builds(
    Settings,
    mpi=st.sampled_from([AUTO, NONE, *Mpi]),
    ranks_per_node=st.none() | st.integers(1, 512),
    threads=st.none() | st.integers(1, 512),
    oversubscribe=st.booleans(),
    inputs=st.lists(uris, max_size=3).map(tuple),
    input_to=st.sampled_from(InputTo),
    outputs=st.lists(uris, max_size=3).map(tuple),
    secrets=st.none() | st.dictionaries(texts, texts, max_size=3),
    timeout=st.integers(60, 10**6),
    join_timeout=st.integers(1, 10**6),
    grace=st.integers(0, 100),
    signal_before=st.integers(0, 59),
    hang_after=st.integers(0, 10**5),
    preflight=st.booleans(),
    metrics=st.booleans(),
    checkpoint=st.just("") | uris,
    workdir=st.just("") | texts,
)


@given(settings)
def test_what_is_written_is_read(given_settings: Settings) -> None:
    assert Settings.from_environment(given_settings.to_environment()) == given_settings


def test_defaults_need_no_variable() -> None:
    assert Settings().to_environment() == {}
    assert Settings.from_environment({}) == Settings()


def test_no_setting_takes_a_variable_of_the_place() -> None:
    assert not set(map(variable, Settings.FIELDS)) & set(Variable)


def test_every_problem_is_told_at_once() -> None:
    environ = {"TUTTI_MPI": "mpi-ch", "TUTTI_TIMEOUT": "soon", "TUTTI_THREADS": "0", "TUTTI_INPUTS": '["/etc/passwd"]'}
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(environ)
    text = str(caught.value)
    for part in (
        "mpi-ch",
        "mpich, openmpi, intel",
        "TUTTI_TIMEOUT",
        "soon",
        "threads: got 0",
        "/etc/passwd",
        "shared:PATH",
    ):
        assert part in text


@given(st.integers(60, 10**6), st.integers(1, 10**6))
def test_joining_never_eats_more_than_three_tenths_of_the_timeout(timeout: int, join: int) -> None:
    assert Settings(timeout=timeout, join_timeout=join).join_deadline <= 0.3 * timeout
