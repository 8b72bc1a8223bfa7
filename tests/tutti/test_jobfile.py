"""Job files and flags: one set of keys, every problem at once, each at its place."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tutti.cli import submit
from tutti.errors import InputError
from tutti.job import Job
from tutti.jobfile import JobFile, check, inherited, load, overlay, read_job

KEYS = [field.alias or name for name, field in JobFile.model_fields.items()]


def problems(text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        check(*load(text, "job.yaml"))
    return [str(p) for p in caught.value.problems]


def test_every_key_is_a_flag_and_every_flag_a_key() -> None:
    flags = set(inspect.signature(submit._command).parameters) - {"context", "source"}
    assert flags == set(KEYS) - {"command"}  # the command comes behind --


@pytest.mark.parametrize(
    "flag",
    [
        "nodes",
        "ranks_per_node",
        "threads",
        "mpi",
        "input",
        "input_to",
        "output",
        "env",
        "secret",
        "vcpus",
        "memory",
        "instance_type",
        "param",
        "label",
        "timeout",
        "signal_before",
        "retries",
        "retry_on",
        "hang_after",
        "join_timeout",
        "priority",
        "array",
        "after",
        "name",
        "queue",
        "wait",
        "json",
    ],
)
def test_a_flag_of_the_manual_exists(flag: str) -> None:
    assert flag in KEYS


def test_a_whole_job_file_is_read() -> None:
    job = check(
        *load(
            """
            name: wave
            command: python -m wave --steps 100 "a b"
            nodes: 4
            ranks_per_node: cores
            mpi: OpenMPI
            input: [s3://lab-data/in/a.npy, "shared:input/b"]
            input_to: shared
            memory: 8GiB
            timeout: 1h30m
            env: {LEVEL: 3, FLAG: true}
            json: yes
            """,
            "job.yaml",
        )
    )
    assert job.command == ("python", "-m", "wave", "--steps", "100", "a b")
    assert (job.nodes, job.ranks_per_node, job.mpi, job.memory, job.timeout) == (4, None, "openmpi", 8192, 5400)
    assert job.env == {"LEVEL": "3", "FLAG": "true"}
    assert job.json_
    assert job.job().name == "wave"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nodes: 0", "job.yaml:1: nodes: got 0; allowed: a whole number from 1 to 1,000"),
        ("nodes: 1001", "job.yaml:1: nodes: got 1001; allowed: a whole number from 1 to 1,000"),
        ("nodes: 2.5", "job.yaml:1: nodes: got 2.5; allowed: a whole number from 1 to 1,000"),
        ("nodes: true", "job.yaml:1: nodes: got True; allowed: a whole number from 1 to 1,000"),
        ("timeout: 59", "job.yaml:1: timeout: got 59 s; allowed: 60 s or more (AWS Batch's limit)"),
        (
            "timeout: soon",
            "job.yaml:1: timeout: got 'soon'; allowed: seconds, or a time such as 90s, 10m, 1h30m, 2h, 1:30:00",
        ),
        ("memory: 8 apples", "job.yaml:1: memory: got '8 apples'; allowed: MiB, or a size such as 4096M, 8G, 8GiB"),
        (
            "mpi: mpisch",
            "job.yaml:1: mpi: got 'mpisch'; allowed: auto, none, mpich, openmpi, intel; did you mean 'mpich'?",
        ),
        (
            "env: {AWS_BATCH_X: 1}",
            "job.yaml:1: env.AWS_BATCH_X: names that start with AWS_BATCH are AWS Batch's own; choose another name",
        ),
        (
            "env: {TUTTI_MPI: x}",
            "job.yaml:1: env.TUTTI_MPI: names that start with TUTTI_ are Tutti's own; settings have flags and keys",
        ),
        ("env: {A: ''}", "job.yaml:1: env.A: AWS Batch drops variables with an empty value; give one or leave it out"),
        ("secret: {A: word}", "job.yaml:1: secret.A: got 'word'; allowed: the ARN of a secret in Secrets Manager"),
        (
            "secret: {A: 'arn:aws:ssm:eu-west-1:123456789012:parameter/a'}",
            "job.yaml:1: secret.A: got 'arn:aws:ssm:eu-west-1:123456789012:parameter/a'; allowed: the ARN of a secret in Secrets Manager",
        ),
        ("retries: 10", "job.yaml:1: retries: got 10; allowed: a whole number from 0 to 9"),
        ("retry_on: [1, 2]", "job.yaml:1: retry_on: got [1, 2]; allowed: a whole number from 1 to 255"),
        ("array: 1", "job.yaml:1: array: got 1; allowed: a whole number from 2 to 10,000"),
        (
            "name: -x",
            "job.yaml:1: name: got '-x'; allowed: a letter or digit, then letters, digits, - and _, at most 128",
        ),
        ("- nodes", "job.yaml:1: a job file is a mapping of keys, such as `nodes: 4`"),
        (
            "a: [",
            "job.yaml:1: is not YAML: expected the node content, but found '<stream end>'. It ends in the middle: is all of it there?",
        ),
        ("nodes: 1\nnodes: 2", "job.yaml:2: nodes: stands here and in line 1; keep one of them"),
    ],
)
def test_a_wrong_value_is_named_with_line_value_and_what_is_allowed(text: str, expected: str) -> None:
    assert problems(text) == [expected]


def test_a_local_path_is_refused_with_the_way_to_put_it_there() -> None:
    assert "tutti data put x.npy" in problems("input: x.npy")[0]


def test_an_unknown_key_gets_a_likely_spelling_and_all_that_is_allowed() -> None:
    [told] = problems("nodess: 4")
    assert told.startswith(
        "job.yaml:1: nodess: unknown key 'nodess'; did you mean 'nodes'?; allowed: command, name, nodes"
    )


def test_all_problems_come_at_once_even_those_between_keys() -> None:
    told = problems("nodes: 0\nmpi: x\nnod: 1\ntimeout: 30\nenv:\n  OK: 1\n  AWS_BATCH_A: 1\narray: 4\n")
    assert [t.split(": ")[0] for t in told] == [f"job.yaml:{n}" for n in (1, 2, 3, 4, 7)]


def test_array_and_nodes_are_refused_together() -> None:
    assert "tutti sweep" in problems("array: 4\nnodes: 2")[0]


def test_a_flag_wins_over_the_file_and_maps_are_joined(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("nodes: 2\nenv: {A: 1, B: 2}\ninput: [s3://lab-data/a]\n")
    job, where = read_job(file, {"nodes": "8", "env": ["B=3", "C=x=y"], "input": ["s3://lab-data/b"]})
    assert (job.nodes, job.env, job.input) == (8, {"A": "1", "B": "3", "C": "x=y"}, ("s3://lab-data/b",))
    assert (where["nodes"], where["env.A"], where["env.B"]) == ("--nodes", f"{file}:2: env.A", "--env")


def test_a_wrong_flag_is_named_as_the_flag() -> None:
    with pytest.raises(InputError, match=r"^--ranks-per-node: got 'many'; allowed: a whole number, 1 or more$"):
        check(*overlay({}, {}, {"ranks_per_node": "many"}))


plain = st.text(alphabet=st.characters(codec="ascii", min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)


@given(
    nodes=st.integers(1, 1000),
    env=st.dictionaries(
        st.from_regex(r"[A-S][A-Z_]{0,8}", fullmatch=True).filter(lambda n: not n.startswith("AWS_BATCH")),
        plain,
        max_size=4,
    ),
    command=st.lists(plain, max_size=5),
    timeout=st.integers(60, 10**6),
)
def test_a_job_written_as_yaml_and_read_again_is_the_same(
    nodes: int, env: dict[str, str], command: list[str], timeout: int
) -> None:
    keys: dict[str, Any] = {"nodes": nodes, "env": env, "command": command, "timeout": timeout}
    again = check(*load(yaml.safe_dump(keys), "job.yaml"))
    assert again.job() == Job(**keys)


@pytest.mark.parametrize("said", [["A=1", "MODEL"], {"A": "1", "MODEL": None}], ids=["flags", "file"])
def test_a_variable_without_a_value_has_the_caller_s(said: Any) -> None:
    keys = inherited({"command": ["x"], "env": said}, {}, {"MODEL": "big=1"})
    assert check(keys, {}).env == {"A": "1", "MODEL": "big=1"}
    with pytest.raises(InputError, match="--env: MODEL is not set here; set it, or give its value: MODEL=VALUE"):
        inherited({"env": said}, {"env": "--env"}, {})


@pytest.mark.parametrize(
    "said", [["OMP_PLACES=sockets", "*"], {"OMP_PLACES": "sockets", "*": None}], ids=["flags", "file"]
)
def test_a_pattern_takes_the_caller_s_variables_but_no_secret_and_nothing_of_the_desk(said: Any) -> None:
    desk = {
        "HOME": "/home/me",
        "AWS_PROFILE": "lab",
        "GITHUB_TOKEN": "x",
        "API_KEY": "x",
        "MY_PASSWORD": "x",
        "npm_config_token": "x",
        "GPG_PASSPHRASE": "x",
        "MYSQL_PWD": "x",
        "https_proxy": "http://me:word@proxy.example:3128",
        "EMPTY": "",
    }
    ours = {"OMP_PLACES": "cores", "MODEL": "big", "EDITOR": "vi", "SITE": "https://example.org:8080/a@b"}
    keys = inherited({"command": ["x"], "env": said}, {}, {**desk, **ours}, ["EDI*"])
    assert check(keys, {}).env == {"OMP_PLACES": "sockets", "MODEL": "big", "SITE": ours["SITE"]}
    by_name = inherited({"command": ["x"], "env": ["GITHUB_TOKEN"]}, {}, desk)
    assert check(by_name, {}).env == {"GITHUB_TOKEN": "x"}


def test_a_pattern_that_nothing_fits_is_told() -> None:
    with pytest.raises(InputError, match=r"--env: no variable that is set here, and may travel, fits WRF_\*$"):
        inherited({"env": ["WRF_*"]}, {"env": "--env"}, {"MODEL": "big"})


def test_a_flag_s_variable_without_a_value_goes_over_a_file_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL", "big")
    (tmp_path / "job.yaml").write_text("command: x\nenv: {A: 1, MODEL: small}\n")
    assert submit.read(str(tmp_path / "job.yaml"), {"env": ["MODEL"]})[0].env == {"A": "1", "MODEL": "big"}
