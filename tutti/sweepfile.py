"""Sweep files: one job and the points that it runs at; every problem at its line, all at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tutti import values
from tutti.core.points import Point, digest, draw, filled, grid, unused, wrong_draw
from tutti.errors import InputError, Problem, likely
from tutti.job import Job
from tutti.jobfile import Where, check, load, text_of

KEYS: Final = ("name", "job", "grid", "list", "random", "max_running")
WAYS: Final = ("grid", "list", "random")
MOST_POINTS: Final = 100_000
NOT_HERE: Final = {  # a job file's keys that a sweep's job cannot have, and why
    **{
        key: f"{key} is the sweep's own business; leave it out"
        for key in ("name", "wait", "json", "dry_run", "max_cost")
    },
    "upload": "a sweep brings no code along; put it in the bucket (tutti data put) and stage it with `input`",
    "compile": "a sweep brings no code along, so there is nothing to compile; bring the program as it runs",
    "env_except": "a sweep takes nothing of the desk's environment along; leave it out",
    "at": "a schedule submits one job, and a sweep is driven by its command; leave it out",
    "every": "a schedule submits one job, and a sweep is driven by its command; leave it out",
    "notify": "a sweep sends no notices; `tutti sweep --wait` ends when every point has ended",
}
MOST_NAME: Final = 100  # with digest, point and round it stays within Batch's 128


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A sweep as its file says it. `id` is the same for the same content: whoever starts it again goes on with it."""

    name: str
    job: Mapping[str, Any]
    points: tuple[Point, ...]
    max_running: int | None = None

    @property
    def id(self) -> str:
        return f"{self.name}-{digest({'job': self.job, 'points': self.points})}"

    def keys(self, point: int) -> dict[str, Any]:
        """The job's keys at a point."""
        known = {**self.points[point], "point": point}
        keys: dict[str, Any] = filled(dict(self.job), known)
        return keys

    def after(self) -> list[str]:
        """What the points' jobs start after, each once."""
        if "after" not in self.job:
            return []
        said = (values.listed(self.keys(point)["after"]) for point in range(len(self.points)))
        return list(dict.fromkeys(word for words in said for word in words))

    def job_at(self, point: int, name: str) -> Job:
        """The job of a point, under its name."""
        return check({**self.keys(point), "name": name}, {}).job()

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "job": self.job, "points": list(self.points), "max_running": self.max_running}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Sweep:
        return cls(
            name=data["name"], job=data["job"], points=tuple(data["points"]), max_running=data.get("max_running")
        )


def read_sweep(path: Path) -> Sweep:
    """The sweep in a file.

    Raises
    ------
    InputError
        All that is wrong in it, the jobs of its points included.
    """
    keys, where = load(text_of(path), str(path))
    if not keys:
        what = "is empty; allowed: job and one of grid, list, random"
        raise InputError([Problem(where=str(path), what=what)])
    problems = list(_wrong_keys(keys, where, str(path)))
    if problems:
        raise InputError(problems)
    way = next(w for w in WAYS if w in keys)
    points = _points(way, keys[way])
    name = keys.get("name") or path.stem
    sweep = Sweep(name=name, job=keys["job"], points=tuple(points), max_running=keys.get("max_running"))
    _check_jobs(sweep, where)
    return sweep


def _wrong_keys(keys: Mapping[str, Any], where: Where, file: str) -> list[Problem]:
    found = [
        Problem(where=where[k], what=f"unknown key {k!r}{likely(k, KEYS)}; allowed: {', '.join(KEYS)}")
        for k in keys
        if k not in KEYS
    ]
    if not isinstance(keys.get("job"), dict):
        told = f"got {keys['job']!r}" if "job" in keys else "job is missing"
        what = f"{told}; allowed: the keys of a job file, such as `nodes: 2`"
        found.append(Problem(where=where.get("job", file), what=what))
    ways = [w for w in WAYS if w in keys]
    if len(ways) != 1:
        told = f"got {' and '.join(ways)}" if ways else "none is there"
        found.append(Problem(where=where.get(ways[1] if ways else "", file), what=f"one of {', '.join(WAYS)}: {told}"))
    else:
        found += [Problem(where=where.get(k, where[ways[0]]), what=w) for k, w in _wrong_points(ways[0], keys[ways[0]])]
    for key, reader in (("name", _name), ("max_running", values.whole(1))):
        if key in keys:
            try:
                reader(keys[key])
            except ValueError as error:
                found.append(Problem(where=where[key], what=str(error)))
    return found


_name = values.matching(
    rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{MOST_NAME - 1}}}", f"letters, digits, - and _, at most {MOST_NAME}"
)


def _wrong_points(way: str, said: Any) -> list[tuple[str, str]]:
    """What is wrong with the points: (key, words)."""
    if way == "list":
        good = isinstance(said, list) and said and all(isinstance(p, dict) and p for p in said)
        return [] if good else [(way, "allowed: a list of points, each `{NAME: VALUE, ...}`, at least one")]
    if not isinstance(said, dict) or not said:
        return [(way, f"got {said!r}; allowed: axes, such as `{{alpha: [1, 2, 3]}}`")]
    if way == "grid":
        wrong = [
            (f"grid.{n}", f"got {v!r}; allowed: a list of values")
            for n, v in said.items()
            if not (isinstance(v, list) and v)
        ]
        size = 1
        for axis in said.values():
            size *= len(axis) if isinstance(axis, list) else 1
        return wrong or ([(way, f"{size:,} points; allowed: {MOST_POINTS:,}")] if size > MOST_POINTS else [])
    found = []
    try:
        values.whole(1, MOST_POINTS)(said.get("count"))
    except ValueError as error:
        found.append(("random.count", f"count: {error}"))
    try:
        values.whole(0)(said.get("seed", 0))
    except ValueError as error:
        found.append(("random.seed", str(error)))
    axes = _axes(said)
    if not axes:
        found.append((way, "has no axes; allowed: such as `alpha: {uniform: [0, 1]}`"))
    return found + [(f"random.{n}", words) for n, axis in axes.items() if (words := wrong_draw(axis))]


def _axes(said: Mapping[str, Any]) -> dict[str, Any]:
    return {n: v for n, v in said.items() if n not in {"count", "seed"}}


def _points(way: str, said: Any) -> list[Point]:
    if way == "grid":
        return grid(said)
    if way == "list":
        return [dict(p) for p in said]
    return draw(_axes(said), count=int(said["count"]), seed=int(said.get("seed", 0)))


def _check_jobs(sweep: Sweep, where: Where) -> None:
    """Every point's job; the same problem of many points is told once, with the first point that has it."""
    places = {key.removeprefix("job."): place for key, place in where.items() if key.startswith("job.")}
    problems: dict[str, Problem] = {}
    for key in unused(sweep.job, list(dict.fromkeys(n for p in sweep.points for n in p))):
        what = f"nothing in the job says {{{key}}}: every point would run the same"
        problems[key] = Problem(
            where=where.get(f"grid.{key}") or where.get(f"random.{key}") or where.get("list", ""), what=what
        )
    for key, why in NOT_HERE.items():
        if key in sweep.job:
            problems[key] = Problem(where=places.get(key, key), what=why)
    for point in range(len(sweep.points)):
        try:
            check(sweep.keys(point), places)
        except InputError as error:
            for problem in error.problems:
                problems.setdefault(str(problem), problem)
            if len(problems) > 20:
                break
    if not problems:
        problems = {word: no_any(word, places.get("after", "after")) for word in sweep.after() if word.endswith(":any")}
    if problems:
        raise InputError(list(problems.values()))


def no_any(word: str, where: str = "after") -> Problem:
    """Why a sweep starts after no job's end whatever it was: only a client can wait for that (`tutti.after`)."""
    what = f"got {word!r}; AWS Batch cannot start points whatever became of a job; allowed: ID, ID:ok, ID:each"
    return Problem(where=where, what=what, remedy=f"Leave it out and run first: tutti wait {word.partition(':')[0]}")
