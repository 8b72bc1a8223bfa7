"""The points of a sweep: grids, lists, random draws; their values put into a job's text. Pure and reproducible."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

Point = dict[str, Any]
DRAWS: Final = ("uniform", "log_uniform", "integer", "choice")


def grid(axes: Mapping[str, Sequence[Any]]) -> list[Point]:
    """Every combination; the last axis runs fastest."""
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def draw(axes: Mapping[str, Mapping[str, Any]], *, count: int, seed: int) -> list[Point]:
    """`count` random points; the same for the same seed, on every machine. Axes: `{uniform: [0, 1]}` and so on."""
    generator = random.Random(seed)  # noqa: S311  reproducible points, nothing secret
    return [{name: _one(generator, axis) for name, axis in axes.items()} for _ in range(count)]


def _one(generator: random.Random, axis: Mapping[str, Any]) -> Any:
    [(kind, bounds)] = axis.items()
    match kind:
        case "uniform":
            return generator.uniform(*bounds)
        case "log_uniform":
            low, high = (math.log(b) for b in bounds)
            return math.exp(generator.uniform(low, high))
        case "integer":
            return generator.randint(*bounds)
        case _:
            return generator.choice(bounds)


def wrong_draw(axis: object) -> str | None:
    """What is wrong with one axis of random points, or None."""
    allowed = "allowed: {uniform: [LOW, HIGH]}, {log_uniform: [LOW, HIGH]}, {integer: [LOW, HIGH]}, {choice: [...]}"
    if not isinstance(axis, Mapping) or len(axis) != 1:
        return f"got {axis!r}; {allowed}"
    [(kind, bounds)] = axis.items()
    if kind not in DRAWS or not isinstance(bounds, list) or not bounds:
        return f"got {dict(axis)!r}; {allowed}"
    if kind == "choice":
        return None
    numbers = [b for b in bounds if isinstance(b, int | float) and not isinstance(b, bool)]
    if len(bounds) != 2 or len(numbers) != 2 or not numbers[0] <= numbers[1]:
        return f"got {dict(axis)!r}; allowed: two numbers, the lower first"
    if kind == "log_uniform" and numbers[0] <= 0:
        return f"got {dict(axis)!r}; a logarithm needs numbers above 0"
    if kind == "integer" and not all(isinstance(b, int) for b in bounds):
        return f"got {dict(axis)!r}; allowed: two whole numbers"
    return None


def filled(value: Any, point: Mapping[str, Any]) -> Any:
    """A job's keys with `{name}` replaced by the point's values, wherever text stands; other braces stay."""
    if isinstance(value, str):
        return _PLACE.sub(lambda m: _text(point[m[1]]) if m[1] in point else m[0], value)
    if isinstance(value, Mapping):
        return {key: filled(item, point) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [filled(item, point) for item in value]
    return value


_PLACE: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def unused(value: Any, names: Sequence[str]) -> list[str]:
    """Names of a point that stand nowhere in a job: a sweep over them would run the same job again and again."""
    found = set(_PLACE.findall(json.dumps(value, default=str)))
    return [name for name in names if name not in found]


def digest(content: Any) -> str:
    """Six hexadecimal digits that say which sweep it is: the same content, the same sweep."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:6]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
