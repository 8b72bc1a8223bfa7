"""Sweep files: every problem at its line, the jobs of the points included."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tutti.errors import InputError
from tutti.job import ALONG, Job
from tutti.jobfile import JobFile
from tutti.sweepfile import NOT_HERE, Sweep, read_sweep

GOOD = """name: scan
job:
  command: [./a.out, "--alpha={alpha}"]
  nodes: "{nodes}"
grid:
  alpha: [0.1, 0.2]
  nodes: [1, 2, 4]
max_running: 3
"""


def read(tmp_path: Path, text: str) -> Sweep:
    file = tmp_path / "sweep.yaml"
    file.write_text(text)
    return read_sweep(file)


def test_a_sweep_has_a_job_for_every_point(tmp_path: Path) -> None:
    sweep = read(tmp_path, GOOD)
    jobs = [sweep.job_at(n, f"j-{n}") for n in range(len(sweep.points))]
    assert [(j.nodes, j.command[1]) for j in jobs[:4]] == [
        (1, "--alpha=0.1"),
        (2, "--alpha=0.1"),
        (4, "--alpha=0.1"),
        (1, "--alpha=0.2"),
    ]
    assert (len(jobs), sweep.max_running, jobs[5].name) == (6, 3, "j-5")


def test_the_same_file_is_the_same_sweep_and_it_travels_as_json(tmp_path: Path) -> None:
    sweep = read(tmp_path, GOOD)
    assert Sweep.from_json(sweep.to_json()).id == sweep.id == read(tmp_path, GOOD).id
    assert read(tmp_path, GOOD.replace("0.2", "0.3")).id != sweep.id


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD.replace("4]", "0]"), ["sweep.yaml:4: job.nodes: got 0; allowed: a whole number from 1 to 1,000"]),
        (GOOD.replace("{alpha}", "{aplha}"), ["sweep.yaml:6: grid.alpha: nothing in the job says {alpha}: every point would run the same"]),
        (GOOD.replace("grid", "gird"), ["sweep.yaml:5: gird: unknown key 'gird'; did you mean 'grid'?; allowed: name, job, grid, list, random, max_running", "sweep.yaml: one of grid, list, random: none is there"]),
        (GOOD + "list: [{alpha: 1}]\n", ["sweep.yaml:9: list: one of grid, list, random: got grid and list"]),
        (GOOD.replace("[0.1, 0.2]", "0.1"), ["sweep.yaml:6: grid.alpha: got 0.1; allowed: a list of values"]),
        (GOOD.replace("max_running: 3", "max_running: 0"), ["sweep.yaml:8: max_running: got 0; allowed: a whole number, 1 or more"]),
        ("job: {command: x}\nrandom: {seed: 1, a: {uniform: [2, 1]}}\n", ["sweep.yaml:2: random: count: got None; allowed: a whole number from 1 to 100,000", "sweep.yaml:2: random.a: got {'uniform': [2, 1]}; allowed: two numbers, the lower first"]),
        ("job: {command: x}\nrandom: {count: 2}\n", ["sweep.yaml:2: random: has no axes; allowed: such as `alpha: {uniform: [0, 1]}`"]),
        (GOOD.replace("job:\n", "job:\n  after: [a, b:any]\n"), ["sweep.yaml:3: job.after: got 'b:any'; AWS Batch cannot start points whatever became of a job; allowed: ID, ID:ok, ID:each. Leave it out and run first: tutti wait b"]),
        ("job:\n  nodes: 2\n  comm", ["sweep.yaml:3: is not YAML: could not find expected ':'"]),
    ],
    ids=["job", "name", "key", "ways", "axis", "running", "random", "axes", "any", "half"],
)  # fmt: skip
def test_what_is_wrong_is_told_at_its_line(tmp_path: Path, text: str, expected: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert [str(p).removeprefix(f"{tmp_path}/") for p in caught.value.problems] == expected


def test_what_a_sweep_would_drop_is_refused_all_at_once_with_its_reason(tmp_path: Path) -> None:
    """Every key of a job file that is not of the job itself: nothing that is said goes nowhere."""
    assert set(NOT_HERE) == {
        f.alias or n for n, f in JobFile.model_fields.items() if n not in Job.model_fields or n in ALONG
    } | {"name"}
    dropped = {"upload": "src", "compile": "make", "at": "+2h", "every": "1d", "notify": "a@example.org"}
    text = GOOD.replace("job:\n", "job:\n" + "".join(f"  {k}: {v}\n" for k, v in dropped.items()))
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert [(p.where.removeprefix(f"{tmp_path}/"), p.what) for p in caught.value.problems] == [
        (f"sweep.yaml:{line}: job.{key}", NOT_HERE[key]) for line, key in enumerate(dropped, start=3)
    ]


def test_the_page_s_random_points_are_drawn_as_it_says(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "sweeps.md").read_text()
    [said] = re.findall(r"```yaml\n(random:.*?)```", page, re.DOTALL)
    sweep = read(tmp_path, f'job: {{command: "x {{alpha}}"}}\n{said}')
    assert len(sweep.points) == yaml.safe_load(said)["random"]["count"]
    assert all(0.001 <= p["alpha"] <= 1 for p in sweep.points)
